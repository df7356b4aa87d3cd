"""Rules of transfers, walks and parts of a site: each fires, and a near miss does not."""

from __future__ import annotations

import msgspec
import pytest

from reports.verdicts import judge
from storage.records import (
    Arm,
    Connect,
    Exchange,
    HelperEndpoint,
    Quic,
    Step,
    WalkHop,
)
from tests.cases import (
    FIELD,
    NAME,
    NEIGHBOUR,
    NEUTRAL,
    SITE,
    START,
    TIMEOUT,
    case,
    connection,
    essence,
    helper,
    loads,
    lookup,
    measurement,
    walk,
)
from tests.experiment_cases import (
    BESIDE,
    NEXT,
    paired,
    stopped,
)


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


OPEN = walk(SITE, answered_at=9, answer="peer", last_router=8)


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
