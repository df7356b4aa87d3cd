"""Judge what was just measured, with what other vantages in the database saw at the same time."""

from __future__ import annotations

from probes.measure import Measured
from probes.rounds import RoundDone
from reports.cases import WITNESS_SECONDS, Case, gather, inputs_hash
from reports.verdicts import judge, judge_anew
from storage.records import Measurement, Verdict, corrected_seconds, utc_text
from storage.store import Store, Stored


def case_of(store: Store, measured: Measured) -> Case:
    """Return the case of one measurement: its follow-ups and its witnesses from the store."""
    moment = corrected_seconds(measured.measurement)
    around = store.measurements(
        since=utc_text(moment - 2 * WITNESS_SECONDS),  # twice: clocks are corrected by `gather`
        until=utc_text(moment + 2 * WITNESS_SECONDS),
        urls=[measured.measurement.url],
    )
    others = [stored for stored in around if stored.id != measured.id]
    this = [
        Stored(measured.id, measured.measurement),
        *(Stored(id, follow_up) for id, follow_up in measured.follow_ups),
    ]
    known = {stored.id for stored in this}
    cases = gather([*this, *(stored for stored in others if stored.id not in known)])
    return next(case for case in cases if case.id == measured.id)


def case_of_id(store: Store, id: str) -> Case | None:
    """Return the case of a measurement in the store, or of what it follows; None: not there."""
    stored = store.measurement(id)
    if stored is not None and stored.record.follows is not None:
        stored = store.measurement(stored.record.follows)
    if stored is None:
        return None
    followed = tuple((each.id, each.record) for each in store.follow_ups(stored.id))
    return case_of(store, Measured(stored.id, stored.record, followed))


def judge_and_keep(store: Store, measured: Measured) -> Verdict:
    """Return the verdict and put it into the cache."""
    case = case_of(store, measured)
    verdict = judge_anew(store, case)
    store.put_verdicts([(case.id, inputs_hash(case), verdict)])
    return verdict


def offline(done: RoundDone, url: str) -> tuple[Measurement, Verdict]:
    """Return what a round whose line was not up means for a URL: derived, never stored."""
    derived = Measurement(
        simulated=done.round.simulated,
        tool=done.round.tool,
        url=url,
        time=done.round.time,
        round=done.id,
        vantage=done.round.vantage,
        line=done.round.line,
    )
    return derived, judge(Case(id="", measurement=derived))
