"""Verdicts: judge a case by the rules, and keep what was judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.added import table_of
from reports.cases import Case, completed, inputs_hash
from reports.conditions import Finding
from reports.evidence import Evidence
from reports.fingerprints import Table, own_table
from reports.rules import RULES, RULES_VERSION, Rule
from storage.records import Verdict
from storage.store import Store


def version_with(table: Table) -> str:
    """Return what a verdict was judged by: the rules' version, and the fingerprints added to it."""
    return f"{RULES_VERSION}+{table.version}" if table.version else RULES_VERSION


def judge(case: Case, fingerprints: Table | None = None) -> Verdict:
    """Return the verdict for one case: a pure function of records, rules and fingerprints.

    Without `fingerprints` it is judged by those that come with the program.
    """
    table = own_table() if fingerprints is None else fingerprints
    evidence = Evidence(case, table)
    fired = _fire(evidence, [rule for rule in RULES if not rule.fallback])
    if not any(rule.status for rule, _ in fired):
        fallbacks = _fire(evidence, [rule for rule in RULES if rule.fallback])
        fired = [*fallbacks[:1], *fired]
    fired.sort(key=lambda pair: pair[0].status is None)
    deciding, finding = fired[0]
    assert deciding.status is not None  # the last fallback always fires and has one
    alleged = deciding.certainty is not None
    return Verdict(
        rules_version=version_with(table),
        status=deciding.status,
        layer=finding.layer if alleged else None,
        technique=finding.technique if alleged else None,
        certainty=deciding.certainty,
        blocked_name=evidence.name if deciding.status == "blocked" else None,
        interference=_interference(fired),
        rules=[rule.id for rule, _ in fired],
        reasons=[rule.reason.format(**finding.words) for rule, finding in fired],
    )


def judge_all(store: Store, cases: Sequence[Case]) -> dict[str, Verdict]:
    """Return the verdicts of `cases` by measurement id, judging only what is not kept already.

    They are judged with the fingerprints that were added to this database.
    """
    table = table_of(store)
    inputs = {case.id: inputs_hash(case) for case in cases}
    verdicts = store.verdicts(inputs, version_with(table))
    fresh = {
        case.id: judge(completed(case, store, bodies=table.wants_bodies), table)
        for case in cases
        if case.id not in verdicts
    }
    if fresh:
        store.put_verdicts((id, inputs[id], verdict) for id, verdict in fresh.items())
    return {**verdicts, **fresh}


def judge_anew(store: Store, case: Case) -> Verdict:
    """Return the verdict of one case with all that the database adds to it."""
    table = table_of(store)
    return judge(completed(case, store, bodies=table.wants_bodies), table)


def _fire(evidence: Evidence, rules: Iterable[Rule]) -> list[tuple[Rule, Finding]]:
    fired = []
    for rule in rules:
        finding = rule.condition(evidence)
        if finding is not None:
            fired.append((rule, finding))
    return fired


def _interference(fired: Iterable[tuple[Rule, Finding]]) -> list[str]:
    paths = [
        f"{finding.layer}.{finding.technique}"
        for rule, finding in fired
        if finding.layer is not None and (rule.certainty is not None or rule.status is None)
    ]
    return list(dict.fromkeys(paths))
