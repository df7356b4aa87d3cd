"""Rules: the ordered table by which a measurement is judged, and its version.

Every rule whose condition holds is kept; the first with a status decides. Rules marked as
fallbacks are asked only while nothing has decided. Change RULES_VERSION with any change here or
in the conditions: kept verdicts of another version are judged again.
"""

from __future__ import annotations

from reports.rule import Rule as Rule
from reports.rules_of_access import ACCESS
from reports.rules_of_proof import PROOF
from reports.rules_of_rest import REST
from reports.rules_of_witness import WITNESS
from storage.records import Verdict

RULES_VERSION = "2026.11.17"

# Weights without another source are those fitted on the hand-labelled set of the field's largest
# public data (log10 likelihood ratios: certificate valid -1.08, TLS reset with a good control
# +2.04, other TLS failure with a good control +1.60, DNS failure with a good control +1.61, bogus
# answer +1.78, wrong certificate +1.55, TCP failure with a good control +1.52, an answer that
# nothing matched +0.58). Experiments have no published figure: +3.0 is an assumption of ours, that
# they mislead less than once in a thousand.
RULES: tuple[Rule, ...] = (*ACCESS, *PROOF, *WITNESS, *REST)

_WEIGHTS = {rule.id: rule.weight for rule in RULES}


def weight_of(verdict: Verdict) -> float:
    """Return the strongest weight among the verdict's rules: they share a cause and never add."""
    return max((_WEIGHTS.get(rule, 0.0) for rule in verdict.rules), key=abs, default=0.0)


def table_markdown() -> str:
    """Return docs/rules.md: the table for people, generated so that it cannot go stale."""
    lines = [
        "# The rules",
        "",
        f"Version {RULES_VERSION}. The first rule with a status that fires decides; all that fire",
        "are named in the verdict. Rules marked *last* are asked only while nothing has decided.",
        "Weights are base-10 logarithms of likelihood ratios; they rank evidence and are not",
        "calibrated probabilities.",
        "",
        "| rule | verdict | layer, technique | needs | weight |",
        "|---|---|---|---|---|",
    ]
    for rule in RULES:
        verdict = " ".join(filter(None, (rule.status or "remark", rule.certainty)))
        path = ".".join(filter(None, (rule.layer, rule.technique))) or (
            "as seen" if rule.certainty else "–"
        )
        last = " (*last*)" if rule.fallback else ""
        lines.append(
            f"| `{rule.id}`{last} | {verdict} | {path} | {rule.needs} | {rule.weight:+.2f} |"
        )
    return "\n".join(lines) + "\n"
