"""What is found follows from what the walks say together."""

from __future__ import annotations

import msgspec
import pytest

from reports.locating import located
from storage.records import Walk, WalkHop

NOW = "2026-11-23T12:00:00.000000Z"


def walk(method: str, **facts: object) -> Walk:
    fields = {"address": "192.0.2.9", "port": 443, "start": NOW, "duration_us": 1, **facts}
    return msgspec.convert({"kind": "walk", "method": method, **fields}, Walk)


SYN = walk("syn", answered_at=9, answer="peer", last_router=8)
NEXT = "192.0.2.8"
BESIDE = walk("syn", address=NEXT, silent_from=9, last_router=8)
CUT = walk("syn", silent_from=5, last_router=4)
# What an answer to a packet takes, of a connection that took as long to open.
SOON = {"round_trip_us": 80_000, "answered_after_us": 90_000}
CONTROL = msgspec.structs.replace(
    walk("one-hello", name="n.example", arm="neutral@site", answered_at=9, answer="data"),
    **SOON,
    open_us=9_000_000,
)


def named(**facts: object) -> Walk:
    fields = {**SOON, "open_us": 4_000_000, **facts}
    return walk("one-hello", name="s.example", arm="name@site", **fields)


def control(**facts: object) -> Walk:
    return msgspec.structs.replace(CONTROL, **facts)


MANY = msgspec.structs.replace(
    named(answered_at=4, answer="reset"), method="many-hellos", round_trip_us=None, open_us=None
)


NOTHING = ("unknown", None)
SILENT = ("swallowed", 4)


@pytest.mark.parametrize(
    ("walks", "what", "hop"),
    [
        ([SYN, CONTROL, named(silent_from=4, last_router=3)], "swallowed", 4),
        ([SYN, CONTROL, named(answered_at=4, answer="reset")], "answered", 4),
        ([SYN, CONTROL, named(answered_at=9, answer="data")], "reached", 9),
        ([SYN, CONTROL, named(answered_at=9, answer="reset")], "reached", 9),
        ([CUT, BESIDE], "address-swallowed", 5),
        ([CUT, walk("syn", address=NEXT, silent_from=6, last_router=5)], "unknown", None),
        ([CUT], "unknown", None),
        ([walk("syn", answered_at=5, answer="reset"), BESIDE], "address-answered", 5),
        ([walk("syn", answered_at=5, answer="unreachable"), BESIDE], "address-answered", 5),
        ([SYN, BESIDE, walk("ack", answered_at=5, answer="reset")], "address-answered", 5),
        ([SYN, BESIDE, walk("ack", answered_at=9, answer="reset")], "unknown", None),
        ([SYN, CONTROL], "unknown", None),
        # What comes long after the packet, and what a neutral name did not outlast, may be the
        # server's own end of a handshake that took too long.
        ([SYN, CONTROL, named(answered_at=4, answer="reset", answered_after_us=700_000)], *NOTHING),
        ([SYN, CONTROL, named(answered_at=4, answer="closed", round_trip_us=None)], *NOTHING),
        (
            [SYN, CONTROL, named(answered_at=9, answer="closed", answered_after_us=900_000)],
            *NOTHING,
        ),
        ([SYN, named(answered_at=4, answer="reset")], *NOTHING),
        ([named(answered_at=4, answer="reset")], *NOTHING),
        ([SYN, control(answered_at=4), named(answered_at=4, answer="reset")], *NOTHING),
        ([SYN, control(open_us=3_900_000), named(answered_at=4, answer="reset")], *NOTHING),
        ([SYN, control(answered_after_us=800_000, last_router=6), named(silent_from=4)], *SILENT),
        # A firewall before the server that forgot the connection swallows both.
        ([SYN, control(answered_at=None, last_router=8), named(silent_from=9)], *NOTHING),
        ([SYN, CONTROL, named(silent_from=9)], "swallowed", 9),
        ([SYN, control(answered_at=None, last_router=4), named(silent_from=4)], *SILENT),
        ([SYN, named(silent_from=4)], *NOTHING),
        ([control(answered_at=5, answered_after_us=800_000), named(answered_at=5)], *NOTHING),
        ([SYN, control(method="many-hellos"), MANY], "answered", 4),
        ([SYN, control(method="many-hellos", answered_at=4), MANY], *NOTHING),
        ([SYN, named(failure="generic_timeout_error")], "unknown", None),
    ],
)
def test_what_is_found_follows_from_the_walks(
    walks: list[Walk], what: str, hop: int | None
) -> None:
    found = located(walks)
    assert found is not None
    assert (found.what, found.hop) == (what, hop)
    assert found.sentence.endswith(".")
    assert hop is None or f"hop {hop}" in found.sentence


def test_silent_routers_before_a_box_leave_open_where_it_stands() -> None:
    """Routers 4 and 5 answer nobody, so that a box before 5 or 6 looks like one before 4."""
    hops = [WalkHop(ttl=ttl, answer="router", asn=None, after_us=1) for ttl in (3, 6, 7, 8)]
    syn = msgspec.structs.replace(SYN, hops=hops)
    found = located([syn, CONTROL, named(silent_from=4, last_router=3)])
    assert found is not None
    assert (found.hop, found.hop_at_most) == (4, 6)
    assert "at hop 4–6/9" in found.sentence
    sure = located([syn, CONTROL, named(silent_from=6, last_router=3)])
    assert sure is not None
    assert (sure.hop, sure.hop_at_most) == (6, None)


def test_no_walk_says_nothing() -> None:
    assert located([]) is None


def test_networks_beside_the_hop_are_named_and_the_control_counts() -> None:
    hops = [WalkHop(ttl=ttl, answer="router", asn=asn, after_us=1) for ttl, asn in ((3, 7), (4, 8))]
    syn = msgspec.structs.replace(SYN, hops=hops)
    found = located([syn, CONTROL, named(silent_from=4)])
    assert found is not None
    assert (found.before_asn, found.at_asn, found.by_name) == (7, 8, True)
    assert "between AS7 and AS8" in found.sentence
    deaf = msgspec.structs.replace(CONTROL, answered_at=None, answer=None)
    both = located([syn, deaf, named(silent_from=4)])
    assert both is not None
    assert (both.what, both.by_name) == ("unknown", False)
