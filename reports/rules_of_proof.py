"""Rules that prove interference: experiments in which only the name differs, known artefacts."""

from __future__ import annotations

from reports import conditions, name_conditions, page_conditions
from reports import experiment_conditions as experiments
from reports.rule import Rule

# Weights: see `reports.rules`.
PROOF: tuple[Rule, ...] = (
    Rule(
        id="tls.name-blocked",
        status="blocked",
        certainty="confirmed",
        layer="tls",
        weight=3.0,
        needs="The contrast experiment, in ClientHellos: the name fails in the same way at the "
        "site's address and at a neutral one, the neutral name passes at the site's address, a "
        "foreign name at the neutral one.",
        reason="Only the name decides: for {name} {what}, at the site's address {site} and at "
        "the unrelated address {neutral} alike, while other names passed at both.",
        condition=experiments.hello_blocked,
    ),
    Rule(
        id="tls.name-blocked-beside",
        status="blocked",
        certainty="confirmed",
        layer="tls",
        weight=3.0,
        needs="The contrast experiment, in ClientHellos, at an address that the system's resolver "
        "did not give, or at one of several that it did, while loads failed before the name was "
        "sent: by the resolver's answer, or unopened.",
        reason="Only the name decides: for {name} {what}, at the address {site}, which the "
        "system's resolver {led}, and at the unrelated address {neutral} alike, while other names "
        "passed at both.",
        condition=experiments.hello_blocked_beside,
    ),
    Rule(
        id="http.name-blocked",
        status="blocked",
        certainty="confirmed",
        layer="http",
        weight=3.0,
        needs="The same contrast experiment, in requests in clear.",
        reason="Only the name decides: for {name} {what}, at the site's address {site} and at "
        "the unrelated address {neutral} alike, while other names passed at both.",
        condition=experiments.request_blocked,
    ),
    Rule(
        id="http.page-forged",
        status="blocked",
        certainty="confirmed",
        layer="http",
        technique="block-page",
        weight=3.0,
        needs="The same contrast experiment: one and the same page or redirect came for the name "
        "from the site's address and from a neutral one, and others for other names at both.",
        reason="Only the name decides: the same {page} came for {name} from the site's address "
        "{site} and from the unrelated address {neutral}, while other names got other answers.",
        condition=experiments.page_forged,
    ),
    Rule(
        id="http.known-page",
        status="blocked",
        certainty="confirmed",
        layer="http",
        technique="block-page",
        weight=1.78,
        needs="A page or redirect in clear that is known as a block page of this country, and "
        "that no view from abroad got.",
        reason="What came for {name} is known as a block page of this country ({known}, {source}).",
        condition=page_conditions.known_block_page,
    ),
    Rule(
        id="dns.answered-for",
        status="blocked",
        certainty="confirmed",
        layer="dns",
        weight=3.0,
        needs="Repeats; the resolver's answer fails or is false, and an address that runs no "
        "resolver answers questions for the name and for no other name.",
        reason="Somebody on the way answers for {name}: a question sent to {neutral}, where no "
        "resolver is, was answered, and questions there for other names were not.",
        condition=experiments.injected_for_certain,
    ),
    Rule(
        id="dns.known-address",
        status="blocked",
        certainty="confirmed",
        layer="dns",
        weight=1.78,
        needs="Repeats; the system's resolver gave an address that is known as what this "
        "country's censors answer, and nobody else knows it as the site's.",
        reason="The resolver gave {address} for {name}, which is known as a forged answer of this "
        "country ({known}).",
        condition=name_conditions.known_address,
    ),
    Rule(
        id="dns.page-at-known-address",
        status="blocked",
        certainty="confirmed",
        layer="dns",
        weight=1.78,
        needs="A page in clear, in two loads, that no view from abroad got and that came from an "
        "address that only the system's resolver gave; that address, or the further name that it "
        "led to, is known as what this country's censors answer.",
        reason="The page of {name} came from where the resolver led, {address}, which is known as "
        "a forged answer of this country ({known}).",
        condition=page_conditions.page_at_known_address,
    ),
    Rule(
        id="dns.forged-artefact",
        status="blocked",
        certainty="confirmed",
        layer="dns",
        weight=1.78,
        needs="Repeats; the system's resolver and a public one give the same reserved address; one "
        "that others give completes valid TLS; a view from abroad reached the site.",
        reason="Two resolvers gave {address} for {name}, which can belong to no public site, while "
        "the address from {source} completed valid TLS.",
        condition=name_conditions.forged_artefact,
    ),
    Rule(
        id="tls.state-interception",
        status="blocked",
        certainty="confirmed",
        layer="tls",
        technique="mitm",
        weight=3.0,
        needs="In any load a chain by an authority that calls itself a known state authority, at "
        "an address that others know as the site's, while the site is reached from abroad or by "
        "another network of the country.",
        reason="The certificate shown for {name} was issued by “{issuer}”, while the site was "
        "reached {where} at the same time.",
        condition=conditions.state_interception,
    ),
)
