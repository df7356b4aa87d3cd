"""Rules: the ordered table by which a measurement is judged, and its version.

Every rule whose condition holds is kept; the first with a status decides. Rules marked as
fallbacks are asked only while nothing has decided. Change RULES_VERSION with any change here or
in the conditions: kept verdicts of another version are judged again.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from reports import conditions, page_conditions
from reports.conditions import Finding
from reports.evidence import Evidence
from storage.records import Certainty, Status, Verdict

RULES_VERSION = "2026.11"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    `status` None: the rule remarks on interference without deciding. `technique` "" stands for
    whatever the measurement shows. `weight` is the base-10 log likelihood ratio of interference
    against none; weights of rules that share a cause are never added (see `weight_of`).
    """

    id: str
    status: Status | None
    certainty: Certainty | None = None
    layer: str = ""
    technique: str = ""
    needs: str
    weight: float = 0.0
    reason: str
    condition: Callable[[Evidence], Finding | None]
    fallback: bool = False


# Weights without another source are those fitted on the hand-labelled set of the field's largest
# public data (log10 likelihood ratios: certificate valid -1.08, TLS reset with a good control
# +2.04, other TLS failure with a good control +1.60, DNS failure with a good control +1.61, bogus
# answer +1.78, wrong certificate +1.55, TCP failure with a good control +1.52, an answer that
# nothing matched +0.58). Experiments have no published figure: +3.0 is an assumption of ours, that
# they mislead less than once in a thousand.
RULES: tuple[Rule, ...] = (
    Rule(
        id="record.incomplete",
        status="inconclusive",
        needs="The measurement was stopped before its end.",
        reason="The measurement was stopped before its end.",
        condition=conditions.incomplete,
    ),
    Rule(
        id="line.not-up",
        status="offline",
        needs="The vantage's own line was not up.",
        reason="The vantage's own line was {state}.",
        condition=conditions.line_not_up,
    ),
    Rule(
        id="record.empty",
        status="inconclusive",
        needs="Nothing was tried.",
        reason="Nothing was tried.",
        condition=conditions.nothing_tried,
    ),
    Rule(
        id="site.refused",
        status="restricted",
        weight=-1.08,
        needs="A refusal (403, 429, 451 or a challenge) inside TLS that is valid for the name.",
        reason="The server of {name} itself refused this visitor with status {status}, inside "
        "TLS that is valid for its name.",
        condition=page_conditions.refused_by_site,
    ),
    Rule(
        id="site.error",
        status="down",
        weight=-1.08,
        needs="A server error (5xx) inside TLS that is valid for the name.",
        reason="The server of {name} itself answered with error {status}, inside TLS that is "
        "valid for its name.",
        condition=page_conditions.broken_by_site,
    ),
    Rule(
        id="site.reached",
        status="accessible",
        weight=-1.08,
        needs="The final page inside TLS that is valid for the name, at an address from the "
        "system's resolver.",
        reason="The page of {name} came with status {status} inside TLS that is valid for its "
        "name.",
        condition=page_conditions.reached_verified,
    ),
    Rule(
        id="http.refused-everywhere",
        status="restricted",
        needs="A refusal over plain HTTP that a helper met as well.",
        reason="{name} refused with status {status}, and did so to a helper as well.",
        condition=page_conditions.same_refusal_plain,
    ),
    Rule(
        id="http.error-everywhere",
        status="down",
        needs="A server error over plain HTTP that a helper met as well.",
        reason="{name} answered with error {status}, and did so to a helper as well.",
        condition=page_conditions.same_error_plain,
    ),
    Rule(
        id="http.agrees",
        status="accessible",
        weight=-0.98,  # as an answer that agrees with the control
        needs="A page over plain HTTP that agrees with a helper's in status and title or length.",
        reason="The page of {name} came with status {status} and agrees with a helper's.",
        condition=page_conditions.reached_plain,
    ),
    Rule(
        id="http.unremarkable",
        status="accessible",
        weight=-0.24,  # as a bare TCP connection that worked
        needs="A page over plain HTTP; no helper answered and nothing looks wrong.",
        reason="The page of {name} came with status {status}; no helper could be compared and "
        "nothing in it points to interference.",
        condition=page_conditions.unremarkable_plain,
    ),
    Rule(
        id="tls.name-blocked",
        status="blocked",
        certainty="confirmed",
        layer="tls",
        weight=3.0,
        needs="The contrast experiment: the name fails at the site's address and at a neutral "
        "one, the neutral name passes at the site's address, a foreign name at the neutral one.",
        reason="Only the name decides: {name} was cut off at the site's address {site} and at "
        "the unrelated address {neutral}, while other names passed at both.",
        condition=conditions.name_blocked,
    ),
    Rule(
        id="dns.forged-artefact",
        status="blocked",
        certainty="confirmed",
        layer="dns",
        technique="forged-address",
        weight=1.78,
        needs="Repeats; the system's resolver and a public one give the same reserved address; an "
        "encrypted resolver's completes valid TLS; a view from abroad reached the site.",
        reason="Two resolvers gave {address} for {name}, which can belong to no public site, while "
        "the address from an encrypted resolver completed valid TLS.",
        condition=conditions.forged_artefact,
    ),
    Rule(
        id="tls.state-interception",
        status="blocked",
        certainty="confirmed",
        layer="tls",
        technique="mitm",
        weight=3.0,
        needs="A chain by an authority that calls itself a known state authority, at an address "
        "that others know as the site's, while the site is reached from abroad.",
        reason="The certificate shown for {name} was issued by “{issuer}”, while the site was "
        "reached from abroad at the same time.",
        condition=conditions.state_interception,
    ),
    Rule(
        id="site.down",
        status="down",
        weight=-1.0,
        needs="A view from abroad failed in the same way, and none reached the site.",
        reason="{name} could not be reached from abroad either ({helpers} outside views failed "
        "in the same way: {path}).",
        condition=conditions.down_abroad,
    ),
    Rule(
        id="site.no-such-name",
        status="down",
        weight=-1.0,
        needs="The encrypted resolvers too say that the name does not exist.",
        reason="Encrypted resolvers too say that {name} does not exist.",
        condition=conditions.no_such_name,
    ),
    Rule(
        id="dns.injected",
        status="blocked",
        certainty="likely",
        layer="dns",
        technique="injected",
        weight=1.78,
        needs="Repeats; two differing answers to one query, and the one that was believed is not "
        "the site's while an encrypted resolver's completes valid TLS.",
        reason="A forged answer raced the true one for {name}: it named {address}, which is not "
        "the site's, while the address from an encrypted resolver completed valid TLS.",
        condition=conditions.injected,
    ),
    Rule(
        id="dns.forged",
        status="blocked",
        certainty="likely",
        layer="dns",
        technique="forged-address",
        weight=1.55,
        needs="Repeats; the system resolver's address completes no valid TLS and nobody else "
        "knows it; an encrypted resolver's does; a view from abroad reached the site.",
        reason="The system's resolver gave {address} for {name}, which completes no valid TLS "
        "and which nobody else knows; the address from an encrypted resolver does.",
        condition=conditions.forged_likely,
    ),
    Rule(
        id="dns.refuses",
        status="blocked",
        certainty="likely",
        layer="dns",
        weight=1.61,
        needs="Repeats; no address from the system's resolver; an encrypted resolver's address "
        "completes valid TLS; a view from abroad reached the site.",
        reason="For {name} {what} ({path}), while the address from an encrypted resolver "
        "completed valid TLS and the site was reached from abroad.",
        condition=conditions.resolver_lies,
    ),
    Rule(
        id="tls.interception",
        status="blocked",
        certainty="likely",
        layer="tls",
        technique="mitm",
        weight=1.55,
        needs="Repeats; a chain by an unknown authority at the site's own address; the site is "
        "reached from abroad; a neutral site's chain is untouched on this machine.",
        reason="The certificate shown for {name} was issued by the unknown “{issuer}”; the site "
        "was reached from abroad and a neutral site's certificate was untouched here.",
        condition=conditions.interception_likely,
    ),
    Rule(
        id="two-witnesses",
        status="blocked",
        certainty="likely",
        weight=1.60,
        needs="Repeats; a view from abroad reached the site; and a contrast or another network "
        "of the country speaks against the server refusing it.",
        reason="For {name} {what} ({path}) again and again; it was reached from abroad, and "
        "{second}.",
        condition=conditions.two_witnesses,
    ),
    Rule(
        id="dns.race-seen",
        status=None,
        layer="dns",
        technique="injected",
        weight=1.78,
        needs="Two differing answers to one query, one with the site's address, one without.",
        reason="Two differing answers to one query for {name} arrived.",
        condition=conditions.race_seen,
    ),
    Rule(
        id="http.differs",
        status="inconclusive",
        certainty="suspected",
        layer="http",
        weight=0.58,
        needs="A page that no TLS ties to the site and that differs from every helper's.",
        reason="The page of {name} differs from what every helper got ({path}).",
        condition=page_conditions.altered_plain,
        fallback=True,
    ),
    Rule(
        id="site.trouble",
        status="inconclusive",
        needs="Views from abroad failed too, though in another way.",
        reason="{name} was in trouble abroad too, though in another way ({helpers} outside views "
        "failed).",
        condition=conditions.trouble_abroad,
        fallback=True,
    ),
    Rule(
        id="failure.unexplained",
        status="inconclusive",
        certainty="suspected",
        weight=0.58,
        needs="A failure that the network could have caused, and too little to say so.",
        reason="For {name} {what} ({path}); too little speaks for or against interference.",
        condition=conditions.unexplained,
        fallback=True,
    ),
    Rule(
        id="failure.own",
        status="inconclusive",
        needs="A failure that names no technique (this machine's, or the site's own mistake).",
        reason="{name} failed with {failure}, which alleges nothing.",
        condition=conditions.own_machine,
        fallback=True,
    ),
    Rule(
        id="record.unjudged",
        status="inconclusive",
        needs="No other rule decides.",
        reason="Nothing that was seen decides about {name}.",
        condition=conditions.anything,
        fallback=True,
    ),
)

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
