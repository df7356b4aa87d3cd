"""Every row of the table: one case in which it fires, and a near miss in which it does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reports.cases import Case
from reports.fingerprints import Table, own_table, read_table
from reports.rules import RULES
from reports.verdicts import judge
from storage.records import Exchange, Handshake, HelperAnswer, HelperEndpoint, Line, Quic, Step
from tests.answer_cases import WHOLE, names, turns
from tests.cases import (
    DOH,
    FORGED,
    NEIGHBOUR,
    RESET,
    SITE,
    TIMEOUT,
    arms,
    case,
    chain,
    connection,
    helper,
    loads,
    lookup,
    measurement,
)
from tests.experiment_cases import (
    NAMED,
    PLAIN,
    STRANGE,
    answer,
    clear_loads,
    hellos,
    neutral_site,
    paired,
    requests,
    round_with,
    strange_loads,
)
from tests.name_cases import (
    AT_HOME,
    IN_CLEAR,
    STRANGER,
    at_edge,
    denied,
    led_to,
    questions,
    rotated,
    twice_blocked,
)

UP = Line(state="up", ipv4=True, resolver_at_home=False)
ABROAD = [helper()]
OTHERS_PAGE = [helper(title="News")]
NOBODY = [helper(False)]
STATES: dict[str, Any] = {
    **STRANGE,
    "certificates": chain("a.example", issuer="CN=Information Security Certification Authority"),
}
KNOWN = "x.1,isp,body,contains,This site is forbidden by order 12,8,{country}\n"


def of(steps: list[Step], contrast: list[Step] | None = None, **how: Any) -> Case:
    """Return a case of a measurement with these steps, at an https URL without helpers."""
    return case(measurement(steps, **{"line": UP, **how}), contrast=contrast or [])


def clear(
    steps: list[Step], contrast: list[Step] | None = None, helpers: list[HelperAnswer] | None = None
) -> Case:
    return of(steps, contrast, url=PLAIN, helpers=ABROAD if helpers is None else helpers)


def beside(found: Case, *, got: list[Step], url: str = "") -> Case:
    """Return the case with another network of the country that met `got`."""
    witness = measurement(got, vantage=NEIGHBOUR, url=url or found.measurement.url)
    return case(found.measurement, witnesses=[witness])


def in_clear(attempts: int = 1, **how: Any) -> list[Step]:
    steps: list[Step] = []
    for attempt in range(attempts):
        steps += [lookup(attempt=attempt)]
        steps += connection(secure=False, attempt=attempt, number=attempt + 1, **how)
    return steps


def denials(encrypted: list[str], failure: str | None = None) -> list[Step]:
    trusted = lookup(encrypted, resolver=DOH, failure=failure, rcode=3 if failure else 0)
    works = connection(number=9) if encrypted else []
    denied_here = (lookup([], failure="dns_nxdomain_error", attempt=n) for n in range(3))
    return [trusted, *works, *denied_here]


def reserved(*more: Step) -> list[Step]:
    steps: list[Step] = [lookup(resolver=DOH), *connection(number=9), *more]
    for attempt in range(3):
        steps += [lookup(["10.10.34.35"], attempt=attempt)]
        steps += connection(address="10.10.34.35", tcp=TIMEOUT, attempt=attempt)
    return steps


def with_body(body: bytes, steps: list[Step]) -> Case:
    kept = [
        msgspec.structs.replace(step, body="sha256:1") if isinstance(step, Exchange) else step
        for step in steps
    ]
    return msgspec.structs.replace(clear(kept, helpers=OTHERS_PAGE), bodies={"sha256:1": body})


def strange(*, trusted_here: bool) -> list[Step]:
    """Return loads that meet an unknown authority, with this machine's own word on it."""
    return [
        msgspec.structs.replace(step, valid_by_system=trusted_here)
        if isinstance(step, Handshake)
        else step
        for step in strange_loads()
    ]


def opened_up(neutral: str) -> Case:
    """Return interception by an authority that neutral sites of the round show as `neutral`."""
    shown = {**STRANGE, "certificates": chain("a", issuer=neutral)}
    found = of(strange(trusted_here=False))
    return msgspec.structs.replace(found, round=round_with(*neutral_site(**shown)))


def unknown_authority(*, reached: bool) -> Case:
    found = of(strange_loads(), hellos(["name@site"], **STRANGE), helpers=[helper(reached)])
    return msgspec.structs.replace(found, round=round_with(*neutral_site()))


def silent_quic(neutral: str | None) -> Case:
    own = Quic(
        purpose="main",
        address=SITE,
        port=443,
        server_name="foreignpolicy.com",
        datagrams_received=0,
        failure=TIMEOUT,
        start="2017-06-20T05:00:00.000000Z",
        duration_us=1,
    )
    turn: dict[str, Any] = {"purpose": "contrast"}
    passed = {"arm": "neutral@site", "server_name": "www.example.com", "failure": neutral}
    came = {"datagrams_received": 0 if neutral else 3}
    again: list[Step] = [
        msgspec.structs.replace(own, **turn, **passed, **came),
        msgspec.structs.replace(own, **turn, arm="name@site"),
    ]
    return of([*loads(1), own], again)


def dead_beside(opened: bool) -> Case:
    other, seen = "192.0.66.99", helper()
    steps = [lookup([SITE, other]), *connection()]
    steps += connection(address=other, tcp=TIMEOUT, number=2)
    there = {f"{other}:443": HelperEndpoint(status=opened)}
    return of(steps, helpers=[msgspec.structs.replace(seen, connect={**seen.connect, **there})])


def one_path(front: str | None) -> list[Step]:
    """Return the contrast of an article beside its front page."""
    shown = answer("name@site", "foreignpolicy.com", SITE, number=60, failure=front)
    return [*of_an_article(requests(NAMED, failure=RESET)), shown]


def of_an_article(steps: list[Step]) -> list[Step]:
    return [
        msgspec.structs.replace(step, url=f"{step.url.rstrip('/')}/banned")
        if isinstance(step, Exchange)
        else step
        for step in steps
    ]


PAY: dict[str, Any] = {"title": "Pay", "body_bytes": 900}
CUT_IN_CLEAR = clear_loads(failure=RESET)
ARTICLE = of_an_article(CUT_IN_CLEAR)
ONCE_CUT = [lookup(), *connection(tls=TIMEOUT), lookup(attempt=1), *connection(attempt=1, number=2)]
ONCE_STATE = [
    *[lookup(resolver=DOH), lookup(), *connection(**STATES)],
    *[lookup(attempt=1), *connection(attempt=1, number=2)],
]
LATE_RACE = [lookup(replies=[[SITE], [FORGED]]), *connection()]

# For each rule a case in which it fires, and one that is nearly the same.
EXAMPLES: dict[str, tuple[Case, Case]] = {
    "record.incomplete": (of(loads(1), complete=False), of(loads(1))),
    "line.not-up": (of(loads(1), line=Line(state="captive")), of(loads(1))),
    "record.empty": (of([]), of([lookup()])),
    "site.refused": (of(loads(1, status=403)), of(loads(1, status=404))),
    "site.error": (of(loads(1, status=502)), of(loads(1, status=404))),
    "site.reached": (of(loads(1)), of(loads(1, status=503))),
    "http.refused-everywhere": (
        clear(in_clear(status=403), helpers=[helper(status=403)]),
        clear(in_clear(status=403)),
    ),
    "http.error-everywhere": (
        clear(in_clear(status=502), helpers=[helper(status=502)]),
        clear(in_clear(status=502)),
    ),
    "http.agrees": (clear(in_clear()), clear(in_clear(title="Blocked"))),
    "http.unremarkable": (clear(in_clear(), helpers=[]), clear(in_clear())),
    "tls.name-blocked": (
        of(loads(1, tls=TIMEOUT), arms()),
        of(loads(1, tls=TIMEOUT), arms(["name@site"])),
    ),
    "http.name-blocked": (
        clear(CUT_IN_CLEAR, requests(NAMED, failure=RESET)),
        clear(CUT_IN_CLEAR, requests(["name@site"], failure=RESET)),
    ),
    "tls.name-blocked-beside": (
        case(twice_blocked(), contrast=arms()),
        case(twice_blocked(), contrast=arms(["name@site"])),
    ),
    "http.page-forged": (
        clear(clear_loads(title="Stop"), requests(NAMED, title="Stop")),
        clear(clear_loads(title="Stop"), requests(["name@site"], title="Stop")),
    ),
    "http.known-page": (
        with_body(b"This site is forbidden by order 12", in_clear(title="Stop")),
        with_body(b"This site is forbidden by order 13", in_clear(title="Stop")),
    ),
    "dns.answered-for": (
        of(denials([]), questions(NAMED)),
        of(denials([]), questions([*NAMED, "foreign@neutral"])),
    ),
    "dns.known-address": (
        of(reserved(), vantage=msgspec.structs.replace(NEIGHBOUR, country="IR")),
        of(reserved()),
    ),
    "dns.page-at-known-address": (
        case(led_to("10.10.34.36", country="IR")),
        case(led_to("10.10.34.36", country="KZ")),
    ),
    "dns.forged-artefact": (
        of(reserved(lookup(["10.10.34.35"], resolver="udp")), helpers=ABROAD),
        of(reserved(lookup(resolver="udp")), helpers=ABROAD),
    ),
    "tls.state-interception": (
        of([*loads(3, **STATES), lookup(resolver=DOH)], helpers=ABROAD),
        of([*loads(3, **STATES), lookup(resolver=DOH)]),
    ),
    "site.down": (
        of(loads(3, tcp=TIMEOUT), helpers=NOBODY),
        of(loads(3, tls=RESET), helpers=NOBODY),
    ),
    "site.no-such-name": (of(denials([], "dns_nxdomain_error")), of(denials([]))),
    "machine.interception": (of(strange(trusted_here=True)), of(strange(trusted_here=False))),
    "line.interception": (opened_up("CN=Gateway"), opened_up("CN=Another")),
    "home.filter": (of(denied(AT_HOME), line=AT_HOME), of(denied(UP))),
    "dns.injected": (of(rotated(["1.2.3.4"] * 3)), of(rotated(["1.2.3.4"] * 3, racing=False))),
    "dns.forged": (
        of(at_edge(*STRANGER), helpers=ABROAD),
        of(at_edge(*STRANGER), helpers=[helper(dns=[SITE, FORGED])]),
    ),
    "dns.refuses": (of(denials([SITE]), helpers=ABROAD), of(denials([SITE]))),
    "dns.lies-in-clear": (
        of([lookup(resolver=DOH, rcode=0), *denials([])[1:]], url=IN_CLEAR, helpers=ABROAD),
        of([lookup([FORGED], resolver=DOH), *denials([])[1:]], url=IN_CLEAR, helpers=ABROAD),
    ),
    "dns.page-at-reserved": (case(led_to("10.99.1.1")), case(led_to("10.99.1.1", known=[]))),
    "tls.interception": (unknown_authority(reached=True), unknown_authority(reached=False)),
    "http.transfer-stopped": (
        of(loads(3, http=TIMEOUT), paired(3, 0), helpers=ABROAD),
        of(loads(3, http=TIMEOUT), paired(3, 1), helpers=ABROAD),
    ),
    "http.likely-page": (
        with_body(b"This site is forbidden by order 12", in_clear(2, title="Stop")),
        with_body(b"This site is forbidden by order 12", in_clear(1, title="Stop")),
    ),
    "http.altered-here": (
        beside(clear(in_clear(2, **PAY)), got=in_clear()),
        beside(clear(in_clear(2, **PAY, status=403)), got=in_clear()),
    ),
    "http.answer-cut": (
        clear(CUT_IN_CLEAR, [*names(["name@site"], RESET), *turns(failure=RESET)], WHOLE),
        clear(CUT_IN_CLEAR, names(["name@site"], RESET), WHOLE),
    ),
    "http.answer-altered": (
        clear(clear_loads(title="Stop"), [*names([], RESET), *turns(length=19_900)], WHOLE),
        clear(clear_loads(title="Stop"), [*names([], RESET), *turns()], WHOLE),
    ),
    "two-witnesses": (
        beside(of(loads(3, tls=RESET), helpers=ABROAD), got=loads(1)),
        beside(of(loads(3, tls=RESET)), got=loads(1)),
    ),
    "dns.race-seen": (of(LATE_RACE), of([lookup(replies=[[SITE], [SITE]]), *connection()])),
    "dns.answers-seen": (of(loads(1), questions(NAMED)), of(loads(1), questions(["name@site"]))),
    "dns.lies-too": (
        case(twice_blocked(), contrast=arms()),
        case(twice_blocked(line=AT_HOME), contrast=arms()),
    ),
    "http.throttled": (of(loads(1), paired(3, 0)), of(loads(1), paired(3, 1))),
    "http.path-alone": (clear(ARTICLE, one_path(None)), clear(ARTICLE, one_path(RESET))),
    "tcp.some-addresses": (dead_beside(opened=True), dead_beside(opened=False)),
    "tls.state-chain-seen": (of(ONCE_STATE, helpers=ABROAD), of(ONCE_STATE)),
    "tls.some-connections": (of(ONCE_CUT, arms()), of(ONCE_CUT, arms(["name@site"]))),
    "quic.name-fails": (silent_quic(None), silent_quic(TIMEOUT)),
    "http.differs": (clear(in_clear(**PAY)), clear(in_clear())),
    "site.trouble": (of(loads(3, tls=RESET), helpers=NOBODY), of(loads(3, tls=RESET), helpers=[])),
    "failure.unexplained": (of(loads(3, tls=RESET)), of(loads(3, tcp="permission_denied"))),
    "failure.own": (of(loads(3, tcp="permission_denied")), of(loads(3, tcp=TIMEOUT))),
    "record.unjudged": (clear(in_clear(status=403), helpers=[]), of(loads(1))),
}
COLUMNS = "name,scope,location_found,pattern_type,pattern,confidence_no_fp,expected_countries\n"


def table_for(rule: str) -> Table:
    """Return our fingerprints with the one that some examples are about."""
    known = KNOWN.format(country="KZ" if rule == "http.known-page" else "IR")
    return Table([*own_table().rows, *read_table(COLUMNS + known, "examples")])


def test_every_rule_has_an_example_and_a_near_miss() -> None:
    assert set(EXAMPLES) == {rule.id for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_a_rule_fires_in_its_example_and_not_in_its_near_miss(rule: Any) -> None:
    example, near = EXAMPLES[rule.id]
    fired, missed = (judge(found, table_for(rule.id)) for found in (example, near))
    assert rule.id in fired.rules
    assert rule.id not in missed.rules
    if rule.status is not None:
        assert (fired.rules[0], fired.status, fired.certainty) == (
            rule.id,
            rule.status,
            rule.certainty,
        )
    assert "{" not in fired.reasons[fired.rules.index(rule.id)]  # every placeholder is filled
