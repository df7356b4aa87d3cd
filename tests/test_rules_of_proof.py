"""Rules by experiment and by whose fault else it may be: each fires, and a near miss does not."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from reports.verdicts import judge
from storage.records import (
    Arm,
    Connect,
    Exchange,
    Handshake,
    HelperEndpoint,
    Instrument,
    Line,
    Purpose,
    Quic,
    Round,
    Step,
    Verdict,
    WalkHop,
)
from tests.cases import (
    DOH,
    FIELD,
    NAME,
    NEIGHBOUR,
    NEUTRAL,
    SITE,
    START,
    TIMEOUT,
    case,
    chain,
    connection,
    helper,
    loads,
    lookup,
    measurement,
    walk,
)

NEXT = "192.0.66.89"  # the address beside the site's
ARMS: list[tuple[Arm, str, str]] = [
    ("neutral@neutral", "www.example.com", NEUTRAL),
    ("neutral@site", "www.example.com", SITE),
    ("foreign@neutral", "www.iana.org", NEUTRAL),
    ("name@neutral", NAME, NEUTRAL),
    ("name@site", NAME, SITE),
]
PLAIN = f"http://{NAME}/"


def essence(verdict: Verdict) -> tuple[str | None, ...]:
    return verdict.status, verdict.layer, verdict.technique, verdict.certainty


# --- requests in clear --------------------------------------------------------------------------


def answer(
    arm: Arm | None,
    name: str,
    address: str,
    *,
    number: int = 1,
    attempt: int = 0,
    failure: str | None = None,
    title: str = "",
    status: int = 200,
    location: str | None = None,
) -> Exchange:
    purpose: Purpose = "contrast" if arm else "repeat" if attempt else "main"
    return Exchange(
        purpose=purpose,
        attempt=attempt,
        arm=arm,
        connection=number,
        url=f"http://{name}/",
        address=address,
        status=None if failure else status,
        headers=[("Location", location)] if location else [],
        title=title or None,
        body_sha256=f"{title}{location}".encode().hex(),
        body_bytes=900,
        failure=failure,
        start=START,
        duration_us=50_000,
    )


def clear_loads(**how: object) -> list[Step]:
    steps: list[Step] = [lookup()]
    for attempt in range(3):
        opened = connection(secure=False, attempt=attempt, number=attempt + 1)[0]
        shown = answer(None, NAME, SITE, number=attempt + 1, attempt=attempt, **how)  # type: ignore[arg-type]
        steps += [opened, shown]
    return steps


def requests(forged: Sequence[Arm], **how: object) -> list[Step]:
    """Return the arms; `forged` ones end as `how` says, others with their server's own page."""
    return [
        answer(arm, name, address, number=n, **how)  # type: ignore[arg-type]
        if arm in forged
        else answer(arm, name, address, number=n, title=f"{name} at {address}")
        for n, (arm, name, address) in enumerate(ARMS, start=20)
    ]


NAMED: list[Arm] = ["name@site", "name@neutral"]


def clear(how: dict[str, object], forged: Sequence[Arm]) -> Verdict:
    record = measurement(clear_loads(**how), url=PLAIN, helpers=[helper(title="News")])
    return judge(case(record, contrast=requests(forged, **how)))


@pytest.mark.parametrize(
    ("how", "technique", "rule"),
    [
        ({"failure": TIMEOUT}, "timeout", "http.name-blocked"),
        ({"failure": "connection_reset"}, "reset", "http.name-blocked"),
        ({"title": "Blocked"}, "block-page", "http.page-forged"),
        ({"status": 302, "location": "http://stop.example/?u=1"}, "redirect", "http.page-forged"),
    ],
)
def test_a_name_in_clear_that_alone_decides_is_confirmed(
    how: dict[str, object], technique: str, rule: str
) -> None:
    verdict = clear(how, NAMED)
    assert essence(verdict) == ("blocked", "http", technique, "confirmed")
    assert verdict.rules[0] == rule


@pytest.mark.parametrize("how", [{"failure": TIMEOUT}, {"title": "Blocked"}])
@pytest.mark.parametrize(
    "forged",
    [
        ["name@site"],
        ["name@site", "name@neutral", "foreign@neutral"],
        ["name@site", "name@neutral", "neutral@site"],
    ],
    ids=["its own page", "every strange name", "the server says so to all"],
)
def test_an_answer_that_others_get_too_proves_nothing(
    how: dict[str, object], forged: list[Arm]
) -> None:
    assert clear(how, forged).certainty != "confirmed"


def test_servers_that_send_every_name_to_its_own_https_are_honest() -> None:
    own = {"status": 301, "location": f"https://{NAME}/"}
    assert clear(own, NAMED).certainty != "confirmed"
    sister = {"status": 301, "location": f"https://www.{NAME}/"}
    assert clear(sister, NAMED).certainty != "confirmed"


def test_two_addresses_of_one_network_of_servers_are_no_experiment() -> None:
    shown = {"title": "Foreign Policy for visitors"}
    arms = [
        msgspec.structs.replace(step, title="Example Domain")
        if isinstance(step, Exchange) and step.arm in ("neutral@neutral", "neutral@site")
        else step
        for step in requests(NAMED, **shown)
    ]
    record = measurement(clear_loads(**shown), url=PLAIN, helpers=[helper(title="News")])
    assert judge(case(record, contrast=arms)).certainty == "suspected"


# --- what is said in the server's place ---------------------------------------------------------


def hellos(failing: Sequence[Arm], **how: object) -> list[Step]:
    steps: list[Step] = []
    for number, (arm, name, address) in enumerate(ARMS, start=20):
        given = how if arm in failing else {}
        steps += connection(arm=arm, name=name, address=address, number=number, **given)  # type: ignore[arg-type]
    return steps


@pytest.mark.parametrize(
    ("failure", "technique"), [("ssl_alert_received", "alert"), ("ssl_not_tls", "not-tls")]
)
def test_words_in_the_servers_place_for_one_name_alone_are_confirmed(
    failure: str, technique: str
) -> None:
    record = measurement(loads(3, tls=failure), helpers=[helper()])
    verdict = judge(case(record, contrast=hellos(NAMED, tls=failure, bytes_received=7)))
    assert essence(verdict) == ("blocked", "tls", technique, "confirmed")
    strict = hellos([*NAMED, "foreign@neutral"], tls=failure, bytes_received=7)
    assert judge(case(record, contrast=strict)).certainty == "suspected"


FALSE = chain(NAME, issuer="CN=Gateway")
STRANGE = {"tls": "ssl_unknown_authority", "certificates": FALSE, "valid": False}


def strange_loads() -> list[Step]:
    return [*loads(3, **STRANGE), lookup(resolver=DOH)]


def test_one_authority_for_the_name_at_both_addresses_is_confirmed() -> None:
    record = measurement(strange_loads(), helpers=[helper()])
    verdict = judge(case(record, contrast=hellos(NAMED, **STRANGE)))
    assert essence(verdict) == ("blocked", "tls", "mitm", "confirmed")
    everybody = hellos([arm for arm, _, _ in ARMS], **STRANGE)
    assert judge(case(record, contrast=everybody)).certainty == "suspected"


def round_with(*steps: Step, age: int | None = 30) -> Round:
    return Round(
        simulated=True,
        tool="sitewatch 0.1.0",
        time=START,
        vantage=FIELD,
        line=Line(state="up", ipv4=True),
        steps=list(steps),
        targets=1,
        instrument=Instrument(roots_age_days=age),
    )


def neutral_site(**how: object) -> list[Step]:
    return connection(name="www.example.com", address=NEUTRAL, **how)  # type: ignore[arg-type]


def test_an_authority_met_at_neutral_sites_too_is_this_machines_or_its_networks() -> None:
    found = case(measurement(strange_loads(), helpers=[helper()]))
    own = msgspec.structs.replace(found, round=round_with(*neutral_site(**STRANGE)))
    verdict = judge(own)
    assert (verdict.status, verdict.certainty) == ("inconclusive", None)
    assert verdict.rules[0] == "machine.interception"
    untouched = msgspec.structs.replace(found, round=round_with(*neutral_site()))
    assert essence(judge(untouched)) == ("inconclusive", "tls", "mitm", "suspected")


@pytest.mark.parametrize(
    ("trusted", "rule", "certainty"),
    [
        (True, "machine.interception", None),
        (None, "machine.interception", None),  # it has no roots of its own to be asked
        (False, "line.interception", "suspected"),
    ],
)
def test_who_opens_up_everything_is_told_by_whether_this_machine_trusts_it(
    trusted: bool | None, rule: str, certainty: str | None
) -> None:
    steps = [
        msgspec.structs.replace(s, valid_by_system=trusted) if isinstance(s, Handshake) else s
        for s in strange_loads()
    ]
    found = case(measurement(steps, helpers=[helper(answered=False)]))
    everywhere = msgspec.structs.replace(found, round=round_with(*neutral_site(**STRANGE)))
    verdict = judge(everywhere)
    assert (verdict.status, verdict.rules[0]) == ("inconclusive", rule)
    assert (verdict.layer, verdict.certainty) == ("tls" if certainty else None, certainty)
    if trusted is not True:
        one = msgspec.structs.replace(found, round=round_with(*neutral_site()))
        assert judge(one).rules[0] not in ("machine.interception", "line.interception")


def test_an_authority_that_this_machine_trusts_is_no_interception_by_others() -> None:
    steps = [
        msgspec.structs.replace(s, valid_by_system=True) if isinstance(s, Handshake) else s
        for s in strange_loads()
    ]
    record = measurement(steps, helpers=[helper()])
    verdict = judge(case(record, contrast=hellos(NAMED, **STRANGE)))
    assert (verdict.status, verdict.rules[0]) == ("inconclusive", "machine.interception")


def test_an_authority_that_the_server_shows_under_every_name_may_be_its_own() -> None:
    record = measurement(strange_loads(), helpers=[helper()])
    server = hellos(["name@site", "neutral@site"], **STRANGE)
    assert judge(case(record, contrast=server)).certainty == "suspected"
    name = hellos(["name@site"], **STRANGE)
    assert judge(case(record, contrast=name)).certainty == "likely"


@pytest.mark.parametrize(("age", "certainty"), [(365, "likely"), (366, "suspected")])
def test_old_roots_cap_an_unknown_authority(age: int, certainty: str) -> None:
    record = measurement(strange_loads(), helpers=[helper()])
    found = case(record, contrast=hellos(["name@site"], **STRANGE))
    aged = msgspec.structs.replace(found, round=round_with(*neutral_site(), age=age))
    assert judge(aged).certainty == certainty


# --- transfers, walks, parts --------------------------------------------------------------------


def paired(slow: int, fair: int) -> list[Step]:
    steps: list[Step] = []
    pairs: list[tuple[Arm, str]] = [("name@site", NAME), ("neutral@site", "www.example.com")]
    for attempt in range(slow + fair):
        for number, (arm, name) in enumerate(pairs):
            n = 100 + 2 * attempt + number
            held = attempt < slow and arm == "name@site"
            shaken = connection(arm=arm, name=name, number=n, attempt=attempt)
            load = answer(arm, NAME, SITE, number=n, attempt=attempt, title="x")
            rate = {"received_bytes": 90_000, "last_byte_us": 9_000_000 if held else 100_000}
            steps += [*shaken, msgspec.structs.replace(load, **rate)]
    return steps


@pytest.mark.parametrize(("slow", "fair", "told"), [(3, 0, True), (2, 0, False), (3, 1, False)])
def test_a_page_much_slower_than_a_neutral_one_is_throttled(
    slow: int, fair: int, told: bool
) -> None:
    verdict = judge(case(measurement(loads(1)), contrast=paired(slow, fair)))
    assert verdict.status == "accessible"
    assert verdict.interference == (["http.throttled"] if told else [])


@pytest.mark.parametrize("other", [{"status": 421}, {"received_bytes": 900}])
def test_another_page_for_the_neutral_name_is_no_comparison(other: dict[str, int]) -> None:
    steps = [
        msgspec.structs.replace(step, **other)
        if isinstance(step, Exchange) and step.arm == "neutral@site"
        else step
        for step in paired(3, 0)
    ]
    assert judge(case(measurement(loads(1)), contrast=steps)).interference == []


def test_a_transfer_that_stops_for_the_name_alone_is_likely_blocked() -> None:
    record = measurement(loads(3, http=TIMEOUT, status=200), helpers=[helper()])
    assert judge(case(record)).certainty == "suspected"
    verdict = judge(case(record, contrast=paired(3, 0)))
    assert (verdict.status, verdict.layer, verdict.certainty) == ("blocked", "http", "likely")
    alone = measurement(loads(3, http=TIMEOUT, status=200))
    assert judge(case(alone, contrast=paired(3, 0))).certainty == "suspected"


# Nobody is at the address beside the site's: packets to it pass eight routers and are lost.
BESIDE = walk(NEXT, last_router=8)
HERE: dict[str, dict[str, object]] = {
    "silence": {"last_router": 3},
    "reset": {"answered_at": 4, "answer": "reset"},
    "unreachable": {"answered_at": 4, "answer": "unreachable", "last_router": 3},
}
OPEN = walk(SITE, answered_at=9, answer="peer", last_router=8)


def stopped(how: str = "silence", pairs: int = 2, **facts: object) -> list[Step]:
    """Return pairs of walks: to the site, which end at the fourth hop, and beside it."""
    return [walk(SITE, **{**HERE[how], **facts}), BESIDE] * pairs


@pytest.mark.parametrize(
    ("failure", "technique", "how"),
    [
        (TIMEOUT, "timeout", "silence"),
        ("connection_refused", "refused", "reset"),
        ("host_unreachable", "unreachable", "unreachable"),
    ],
)
def test_an_address_is_likely_blocked_where_its_packets_end_and_its_neighbours_do_not(
    failure: str, technique: str, how: str
) -> None:
    record = measurement(loads(3, tcp=failure), helpers=[helper()])
    verdict = judge(case(record, contrast=stopped(how)))
    assert essence(verdict) == ("blocked", "tcp", technique, "likely")
    assert "at hop 4, " in verdict.reasons[0]


@pytest.mark.parametrize(
    ("here", "end", "certainty"),
    [(8, 9, "likely"), (9, 9, "suspected"), (FIELD.asn, FIELD.asn, "likely"), (None, 9, "likely")],
)
def test_what_ends_in_the_sites_own_network_is_left_open(
    here: int | None, end: int, certainty: str
) -> None:
    hops = [
        WalkHop(ttl=ttl, answer="router", asn=asn, after_us=1) for ttl, asn in ((4, here), (8, end))
    ]
    passed = [walk(SITE, last_router=3), walk(NEXT, last_router=8, hops=hops)] * 2
    record = measurement(loads(3, tcp=TIMEOUT), helpers=[helper()])
    assert judge(case(record, contrast=passed)).certainty == certainty


def test_the_network_in_which_packets_end_is_named_where_it_is_known() -> None:
    networks = ((3, 7), (4, 8), (8, 9))
    hops = [WalkHop(ttl=ttl, answer="router", asn=asn, after_us=1) for ttl, asn in networks]
    record = measurement(loads(3, tcp=TIMEOUT), helpers=[helper()])
    ended = [walk(SITE, last_router=3, hops=hops[:1]), BESIDE] * 2
    assert "at hop 4 (AS7)," in judge(case(record, contrast=ended)).reasons[0]
    passed = [walk(SITE, last_router=3), walk(NEXT, last_router=8, hops=hops)] * 2
    assert "at hop 4 (AS8)," in judge(case(record, contrast=passed)).reasons[0]


NEAR_MISSES: dict[str, list[Step]] = {
    "one pair": stopped(pairs=1),
    "no neighbour": [stopped()[0]] * 2,
    "once further": [*stopped(), walk(SITE, last_router=8)],
    "as far": [walk(SITE, last_router=8), BESIDE] * 2,
    "the last router": stopped(last_router=7),
    "refused by the site": stopped("reset", answered_at=9),
    "refused by its gate": stopped("reset", answered_at=8),
    "in the own home": stopped(public_from=None),
    "before the first public router": stopped(public_from=4),
    "another port's": [walk(SITE, port=80, last_router=3), BESIDE] * 2,
    "a stranger's neighbour": [walk(SITE, last_router=3), walk("192.0.66.99", last_router=8)] * 2,
}


@pytest.mark.parametrize("walks", NEAR_MISSES.values(), ids=list(NEAR_MISSES))
def test_walks_that_end_elsewhere_or_say_less_leave_it_open(walks: list[Step]) -> None:
    record = measurement(loads(3, tcp=TIMEOUT), helpers=[helper()])
    assert judge(case(record, contrast=walks)).certainty == "suspected"


def test_an_address_that_no_helper_opens_is_not_held_to_be_cut_off() -> None:
    record = measurement(loads(3, tcp=TIMEOUT), helpers=[helper()])
    other = msgspec.structs.replace(
        helper(), connect={"192.0.66.99:443": HelperEndpoint(status=True)}
    )
    elsewhere = msgspec.structs.replace(record, helpers=[other])
    assert judge(case(elsewhere, contrast=stopped())).certainty == "suspected"
    assert judge(case(record, contrast=stopped())).certainty == "likely"
    tunnelled = msgspec.structs.replace(record.line, tunnelled=True)
    through = msgspec.structs.replace(record, line=tunnelled)
    assert judge(case(through, contrast=stopped())).certainty == "suspected"


@pytest.mark.parametrize(
    ("at", "certainty"), [(4, "likely"), (7, "likely"), (8, "suspected"), (9, "suspected")]
)
def test_a_reset_of_what_was_just_opened_is_the_sites_own_unless_it_comes_from_the_way(
    at: int, certainty: str
) -> None:
    record = measurement(loads(3, tls="connection_reset"), helpers=[helper()])
    ack = walk(SITE, method="ack", answered_at=at, answer="reset", last_router=at - 1)
    verdict = judge(case(record, contrast=[OPEN, BESIDE, ack] * 2))
    assert verdict.certainty == certainty
    assert verdict.layer == ("tcp" if certainty == "likely" else "tls")


def test_another_port_that_opens_counts_unless_packets_go_all_the_way() -> None:
    record = measurement(loads(3, tcp=TIMEOUT), helpers=[helper()])
    opened: list[Step] = [
        Connect(purpose="contrast", connection=9, address=SITE, port=80, start=START, duration_us=1)
    ]
    assert judge(case(record, contrast=opened)).certainty == "likely"
    as_far = [*opened, walk(SITE, last_router=8), BESIDE]
    assert judge(case(record, contrast=as_far)).certainty == "suspected"


@pytest.mark.parametrize(("icmp", "asn", "certainty"), [
    ("3/13", FIELD.asn, "likely"),
    ("3/1", FIELD.asn, "suspected"),
    ("3/13", 65000, "suspected"),
])  # fmt: skip
def test_a_ban_by_the_own_network_is_a_witness_and_other_errors_are_not(
    icmp: str, asn: int, certainty: str
) -> None:
    steps = [
        msgspec.structs.replace(s, icmp=icmp, icmp_asn=asn, icmp_from_peer=False)
        if isinstance(s, Connect)
        else s
        for s in loads(3, tcp="host_unreachable")
    ]
    record = measurement(steps, helpers=[helper()])
    assert judge(case(record)).certainty == certainty


def test_a_penalty_that_keeps_the_address_silent_is_a_repetition() -> None:
    steps = [*loads(1, tls=TIMEOUT)]
    for attempt in (1, 2):
        steps += [lookup(attempt=attempt), *connection(attempt=attempt, tcp=TIMEOUT, number=5)]
    witness = measurement(loads(1), vantage=NEIGHBOUR)
    verdict = judge(case(measurement(steps, helpers=[helper()]), witnesses=[witness]))
    assert essence(verdict) == ("blocked", "tls", "timeout", "likely")


def test_one_dead_address_of_two_is_remarked_on_only_where_abroad_opens_it() -> None:
    other = "192.0.66.99"
    steps = [
        lookup([SITE, other]),
        *connection(),
        *connection(address=other, tcp=TIMEOUT, number=2),
    ]
    seen = helper()
    opened = msgspec.structs.replace(
        seen, connect={**seen.connect, f"{other}:443": HelperEndpoint(status=True)}
    )
    verdict = judge(case(measurement(steps, helpers=[opened])))
    assert (verdict.status, verdict.interference) == ("accessible", ["tcp.timeout"])
    assert other in verdict.reasons[1]
    assert judge(case(measurement(steps, helpers=[seen]))).interference == []


def quic(arm: Arm | None, failure: str | None, *, address: str = SITE) -> Quic:
    return Quic(
        purpose="contrast" if arm else "main",
        arm=arm,
        address=address,
        port=443,
        server_name="www.example.com" if arm == "neutral@site" else NAME,
        datagrams_received=0 if failure else 3,
        failure=failure,
        start=START,
        duration_us=1,
    )


REFUSED = "connection_refused"
SILENT, GONE = quic(None, TIMEOUT), quic(None, REFUSED)


@pytest.mark.parametrize(
    ("main", "turns", "told"),
    [
        (SILENT, [quic("neutral@site", None), quic("name@site", TIMEOUT)], ["quic.timeout"]),
        (GONE, [quic("neutral@site", None), quic("name@site", REFUSED)], ["quic.refused"]),
        (SILENT, [quic("neutral@site", TIMEOUT)], []),  # no UDP at all
        (SILENT, [quic("neutral@site", None), quic("name@site", None)], []),  # it was a loss
        (SILENT, [quic("neutral@site", None), quic("name@site", REFUSED)], []),
        (SILENT, [quic("neutral@site", None)], []),
        (SILENT, [quic("neutral@site", None, address=NEUTRAL), quic("name@site", TIMEOUT)], []),
    ],
)
def test_quic_is_interfered_with_only_where_a_neutral_name_passes_there(
    main: Quic, turns: list[Step], told: list[str]
) -> None:
    verdict = judge(case(measurement([*loads(1), main]), contrast=turns))
    assert (verdict.status, verdict.interference) == ("accessible", told)
