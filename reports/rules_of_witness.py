"""Rules for what is down, for what is this machine's own, and for interference by witnesses."""

from __future__ import annotations

from reports import answer_conditions as answers
from reports import conditions, name_conditions, page_conditions
from reports import experiment_conditions as experiments
from reports.rule import Rule

# Weights: see `reports.rules`.
WITNESS: tuple[Rule, ...] = (
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
        id="machine.interception",
        status="inconclusive",
        needs="This machine's own root store trusts the unknown authority of the chain, or there "
        "is none to be asked and neutral sites show the same authority.",
        reason="“{issuer}” is trusted by this machine or vouches for other sites on this line too: "
        "a program here or in the local network looks into the connections, and what it showed for "
        "{name} says nothing of the site.",
        condition=conditions.intercepted_here,
    ),
    Rule(
        id="line.interception",
        status="inconclusive",
        certainty="suspected",
        layer="tls",
        technique="mitm",
        weight=0.58,
        needs="The unknown authority of the chain vouches for neutral sites too, and this "
        "machine's own root store does not trust it.",
        reason="“{issuer}”, which this machine does not trust, opens up the connections to other "
        "sites on this line too, not to {name} alone: whoever does it stands between this machine "
        "and all of them.",
        condition=conditions.intercepted_on_the_line,
    ),
    Rule(
        id="home.filter",
        status="inconclusive",
        certainty="suspected",
        layer="dns",
        weight=0.58,
        needs="Only the resolver in the volunteer's own network (or beyond a tunnel) says so, "
        "while public resolvers, asked in clear, do not.",
        reason="For {name} {what} ({path}), but only from the resolver in the volunteer's own "
        "network or beyond a tunnel: a filter there would look the same.",
        condition=name_conditions.filtered_at_home,
    ),
    Rule(
        id="dns.injected",
        status="blocked",
        certainty="likely",
        layer="dns",
        technique="injected",
        weight=1.78,
        needs="Repeats; two differing answers to one query, and the one that was believed is not "
        "the site's, or denies the name, while an address that others give completes valid TLS.",
        reason="A forged answer raced the true one for {name}: {said}, while the address from "
        "{source} completed valid TLS.",
        condition=name_conditions.injected,
    ),
    Rule(
        id="dns.forged",
        status="blocked",
        certainty="likely",
        layer="dns",
        weight=1.55,
        needs="Repeats; the system resolver's address completes no valid TLS and nobody else "
        "knows it, but somebody else answers or refuses there, or it is reserved, or a public one "
        "gives it; one that others give does; a view from abroad reached the site.",
        reason="The system's resolver gave {address} for {name}, which completes no valid TLS "
        "and which nobody else knows; the address from {source} does.",
        condition=name_conditions.forged_likely,
    ),
    Rule(
        id="dns.refuses",
        status="blocked",
        certainty="likely",
        layer="dns",
        weight=1.61,
        needs="Repeats; no address from the system's resolver, which does not blame the name's own "
        "servers (RFC 8914) and, where it is silent or fails, sends the site's address at no try; "
        "one that others give completes valid TLS; a view from abroad reached the site.",
        reason="For {name} {what} ({path}), while the address from {source} completed valid TLS "
        "and the site was reached from abroad.",
        condition=name_conditions.resolver_lies,
    ),
    Rule(
        id="dns.lies-in-clear",
        status="blocked",
        certainty="likely",
        layer="dns",
        weight=1.61,
        needs="Repeats; at an http URL, where no TLS proves an address; the system's resolver "
        "denies the name (not for its own servers' sake) or gives reserved addresses alone; an "
        "encrypted resolver and a helper that reached the site agree on another address.",
        reason="For {name} {what} ({path}), while an encrypted resolver and helpers that reached "
        "the site agree on {address}.",
        condition=name_conditions.lies_in_clear,
    ),
    Rule(
        id="dns.page-at-reserved",
        status="blocked",
        certainty="likely",
        layer="dns",
        weight=1.78,
        needs="A page in clear, in two loads, that differs from every helper's and came from a "
        "reserved address, which is no filter at home, while an encrypted resolver and a helper "
        "that reached the site agree on another address.",
        reason="The resolver gave {address} for {name}, which can belong to no public site; from "
        "there another page came than views from abroad got at {true}.",
        condition=page_conditions.page_at_reserved_address,
    ),
    Rule(
        id="tls.interception",
        status="blocked",
        certainty="likely",
        layer="tls",
        technique="mitm",
        weight=1.55,
        needs="Repeats; a chain by an unknown authority at the site's own address; the site is "
        "reached from abroad; a neutral site's chain is untouched on this machine; a neutral "
        "name passes at the address, and the server does not show it under every name; the root "
        "store is no older than a year.",
        reason="The certificate shown for {name} was issued by the unknown “{issuer}”; the site "
        "was reached from abroad and a neutral site's certificate was untouched here.",
        condition=conditions.interception_likely,
    ),
    Rule(
        id="http.transfer-stopped",
        status="blocked",
        certainty="likely",
        layer="http",
        weight=1.60,
        needs="Repeats; a page inside valid TLS does not end; downloads from the same address "
        "under a neutral name are several times as fast beside it; a view from abroad reached it.",
        reason="For {name} {what} ({path}); in {slower} of {pairs} pairs of downloads from the "
        "same server it was at most a third as fast as under a neutral name; where it stopped, no "
        "more than {bytes} bytes had come.",
        condition=experiments.transfer_stopped,
    ),
    Rule(
        id="http.likely-page",
        status="blocked",
        certainty="likely",
        layer="http",
        technique="block-page",
        weight=1.55,
        needs="Repeats; a page or redirect in clear that is known as a block page somewhere, and "
        "a view from abroad got another.",
        reason="What came for {name} looks like the block page {known} ({source}), and views from "
        "abroad got another page.",
        condition=page_conditions.likely_block_page,
    ),
    Rule(
        id="http.altered-here",
        status="blocked",
        certainty="likely",
        layer="http",
        weight=1.55,
        needs="Repeats; the page in clear differs from every helper's, and another network of "
        "the country got the helper's.",
        reason="The page of {name} differs from what abroad and {who} in the same country got "
        "({path}).",
        condition=page_conditions.altered_for_certain_places,
    ),
    Rule(
        id="http.answer-cut",
        status="blocked",
        certainty="likely",
        layer="http",
        weight=1.60,
        needs="Repeats; a page in clear is cut off each time, in short segments too, while its "
        "HEAD, asked for in turns, gives the status and length that a view from abroad got (in "
        "half our patience); if the page had begun, a long transfer under a neutral name went on.",
        reason="For {name} {what} ({path}) each time the page itself was asked for, while the "
        "server told this visitor each time of the same page of {length} bytes that abroad got.",
        condition=answers.answer_cut,
    ),
    Rule(
        id="http.answer-altered",
        status="blocked",
        certainty="likely",
        layer="http",
        weight=1.55,
        needs="Repeats; a page in clear that differs from every helper's and has another length "
        "than its HEAD, asked for in turns, says each time: the very length that abroad got.",
        reason="The page of {name} was changed on the way: {length} bytes came each time, while "
        "its server told this visitor of the {declared} bytes that abroad got.",
        condition=answers.answer_altered,
    ),
    Rule(
        id="two-witnesses",
        status="blocked",
        certainty="likely",
        weight=1.60,
        needs="Repeats; a view from abroad reached the site; and a contrast, another network of "
        "the country, or walks that show where packets end speak against the server refusing it.",
        reason="For {name} {what} ({path}) again and again; it was reached from abroad, and "
        "{second}.",
        condition=conditions.two_witnesses,
    ),
)
