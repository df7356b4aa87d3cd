"""Rules that remark on interference, and the last ones, which say what is left open."""

from __future__ import annotations

from reports import answer_conditions as answers
from reports import conditions, name_conditions, page_conditions
from reports import experiment_conditions as experiments
from reports import partial_conditions as partial
from reports.rule import Rule

# Weights: see `reports.rules`.
REST: tuple[Rule, ...] = (
    Rule(
        id="dns.race-seen",
        status=None,
        layer="dns",
        technique="injected",
        weight=1.78,
        needs="Two differing answers to one query, one with the site's address, one without.",
        reason="Two differing answers to one query for {name} arrived.",
        condition=name_conditions.race_seen,
    ),
    Rule(
        id="dns.lies-too",
        status=None,
        layer="dns",
        weight=1.78,
        needs="The system's resolver denies the name or leads to a reserved address, where that is "
        "no filter at home, and at the address that others give the name alone is cut off.",
        reason="Apart from that {what} ({path}), while others gave {site} for {name}.",
        condition=experiments.resolver_lies_too,
    ),
    Rule(
        id="dns.answers-seen",
        status=None,
        layer="dns",
        weight=3.0,
        needs="An address that runs no resolver answers for the name and for no other name.",
        reason="A question for {name} sent to {neutral}, where no resolver is, was answered.",
        condition=experiments.answered_for,
    ),
    Rule(
        id="http.throttled",
        status=None,
        layer="http",
        technique="throttled",
        weight=1.60,
        needs="The page came; paired downloads from the same address were several times slower "
        "under the name than under a neutral one.",
        reason="{name} is slowed down: in {slower} of {pairs} pairs of downloads from the same "
        "server it was at most a third as fast as under a neutral name.",
        condition=experiments.transfer_throttled,
    ),
    Rule(
        id="http.path-alone",
        status=None,
        layer="http",
        weight=1.52,
        needs="A page in clear failed while the front page of the same host, asked for beside it, "
        "came.",
        reason="Only part of {name} is affected: its front page came while {what} ({path}).",
        condition=answers.path_alone,
    ),
    Rule(
        id="tcp.some-addresses",
        status=None,
        layer="tcp",
        weight=1.52,
        needs="The page came; some of the site's addresses failed at every try here although a "
        "helper opened them in the same minutes.",
        reason="Only some addresses of {name} are affected: {addresses} failed here and was "
        "opened from abroad, while {others} worked.",
        condition=partial.some_addresses,
    ),
    Rule(
        id="tls.state-chain-seen",
        status=None,
        layer="tls",
        technique="mitm",
        weight=3.0,
        needs="The page came; in some load a chain as for `tls.state-interception` was shown.",
        reason="On one connection the certificate shown for {name} was issued by “{issuer}”, while "
        "the site was reached {where} at the same time.",
        condition=conditions.state_chain_seen,
    ),
    Rule(
        id="tls.some-connections",
        status=None,
        layer="tls",
        weight=3.0,
        needs="The page came over some connection; the contrast experiment shows that the name "
        "alone is cut off on others.",
        reason="Only some connections are affected: at {site} {what}, for {name} alone, in the "
        "experiment, while the page came all the same.",
        condition=partial.some_connections,
    ),
    Rule(
        id="quic.name-fails",
        status=None,
        layer="quic",
        weight=1.52,
        needs="QUIC handshakes with the name got no word at all, at least twice, and one with a "
        "neutral name did at the same address in between.",
        reason="Over QUIC nothing answered to {name}, while the same server answered to another "
        "name in the same minute.",
        condition=partial.quic_alone,
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
