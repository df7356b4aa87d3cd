"""Judge what the database holds once more, one site at a time, and say what changed."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from reports.cases import gather, inputs_hash
from reports.verdicts import judge_all, judge_anew
from storage.records import Verdict
from storage.store import Store


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement whose verdict is another one now; `before` None: it had none."""

    id: str
    url: str
    time: str
    before: Verdict | None
    after: Verdict


class Rejudged(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one site: measurements with a verdict, those left as they were, changes."""

    url: str
    judged: int
    left: int
    changed: list[Changed]


def rejudge(store: Store, *, everything: bool) -> Iterator[Rejudged]:
    """Judge site after site: all of it anew, or only what the kept verdicts do not cover.

    Verdicts that thinning has fixed are left as they were and counted. A change is another
    status, layer, technique or certainty.
    """
    for url in store.urls():
        rows = list(store.judged(urls=[url]))
        before = {row.id: row.verdict for row in rows}
        fixed = {row.id for row in rows if row.fixed}
        cases = gather(store.measurements(urls=[url]))
        if everything:
            after = {case.id: judge_anew(store, case) for case in cases if case.id not in fixed}
            store.put_verdicts(
                (case.id, inputs_hash(case), after[case.id]) for case in cases if case.id in after
            )
        else:
            after = judge_all(store, cases)
        changed = [
            Changed(
                id=case.id,
                url=url,
                time=case.measurement.time,
                before=before.get(case.id),
                after=after[case.id],
            )
            for case in cases
            if case.id in after and _differs(before.get(case.id), after[case.id])
        ]
        judged = len(after.keys() - fixed)
        yield Rejudged(url=url, judged=judged, left=len(fixed), changed=changed)


def _differs(before: Verdict | None, after: Verdict) -> bool:
    return before is None or _essence(before) != _essence(after)


def _essence(verdict: Verdict) -> tuple[str | None, ...]:
    return verdict.status, verdict.layer, verdict.technique, verdict.certainty
