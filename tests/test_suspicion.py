"""Suspicion: which facts call for a second look, and which do not."""

from __future__ import annotations

import msgspec
import pytest

from probes.sequential import Decision, Sequential
from probes.suspicion import slow_exchange, stalled_exchange
from storage.records import Exchange, Step
from tests.cases import NAME, SITE, TIMEOUT, connection


def page(**changes: object) -> list[Step]:
    """Return a connection inside valid TLS whose page came as `changes` say."""
    return [
        msgspec.structs.replace(step, **changes) if isinstance(step, Exchange) else step
        for step in connection()
    ]


@pytest.mark.parametrize(
    ("received", "seconds", "beside", "suspected"),
    [
        (32_768, 2.0, None, True),  # 16 KB/s, as throttling was measured
        (32_768, 1.0, None, False),  # 32 KB/s
        (9_000, 2.0, None, False),  # too short to tell
        (32_768, 2.0, 30_000.0, False),  # others come hardly faster on this line
        (32_768, 2.0, 90_000.0, True),
    ],
)
def test_a_page_is_slow_by_itself_and_beside_others(
    received: int, seconds: float, beside: float | None, suspected: bool
) -> None:
    steps = page(received_bytes=received, last_byte_us=round(seconds * 1e6))
    found = slow_exchange(steps, 0, beside)
    assert (found is not None) is suspected
    if found is not None:
        assert (found.name, found.address, found.port) == (NAME, SITE, 443)


@pytest.mark.parametrize(
    ("how", "stopped"),
    [
        ({"failure": TIMEOUT, "status": 200}, True),
        ({"failure": TIMEOUT, "status": None, "wire_bytes": 14_480}, True),  # inside a TLS record
        ({"failure": TIMEOUT, "status": None, "wire_bytes": 500}, False),  # only tickets came
        ({"failure": "connection_reset", "status": 200}, False),
        ({}, False),
    ],
)
def test_a_page_stops_where_it_had_begun(how: dict[str, object], stopped: bool) -> None:
    assert (stalled_exchange(page(**how), 0) is not None) is stopped


@pytest.mark.parametrize(
    ("failed", "passed", "decision"),
    [(2, 0, None), (3, 0, "fails"), (0, 1, "passes"), (1, 1, None), (3, 1, None), (4, 1, "fails")],
)
def test_a_slow_page_costs_one_fair_pair_and_is_told_by_three_slow_ones(
    failed: int, passed: int, decision: Decision | None
) -> None:
    test = Sequential(by_chance=0.1, for_cause=0.9, miss=0.12)
    assert test.decide(failed, passed) == decision
