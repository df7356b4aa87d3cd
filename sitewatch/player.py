"""The program that the demonstration runs on each simulated network: rounds at given times.

It reads one order a line on stdin, runs a round of the real prober at the time it names, and
writes every record with its blobs to stdout, for the demonstration to store in order of time.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from typing import BinaryIO

import msgspec

from probes.rounds import DailyBudget, run_round
from sitewatch.config import load_config
from sitewatch.probing import make_prober
from storage.intake import referred_blobs
from storage.records import Record, Vantage, canonical, digest


class Order(msgspec.Struct, frozen=True):
    """Run a round at `at` (seconds since the epoch) over `urls`."""

    at: float
    urls: list[str]


class Played(msgspec.Struct, frozen=True):
    """A record in canonical form with its blobs; `canonical` None ends the round."""

    canonical: bytes | None
    blobs: dict[str, bytes] = {}


class SimulatedClock:
    """A clock that stands where it was set, runs with real time, and skips deliberate waits."""

    def __init__(self) -> None:
        self._set_at = time.monotonic()
        self._wall = 0.0
        self._skipped = 0.0

    def set(self, wall: float) -> None:
        """Make it `wall` seconds since the epoch."""
        self._set_at, self._wall, self._skipped = time.monotonic(), wall, 0.0

    def wall(self) -> float:
        return self._wall + (time.monotonic() - self._set_at) + self._skipped

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        self._skipped += seconds
        await asyncio.sleep(0)


async def play(vantage: Vantage, orders: BinaryIO, records: BinaryIO) -> None:
    """Carry out orders until there are no more."""
    config = load_config(None, os.environ)
    settings, clock = config.settings(), SimulatedClock()
    # A walk takes real seconds, whatever the clock says: a played history does without them.
    budget = DailyBudget(settings.limits.sensitive_per_target_day, walks=False)

    async def keep(record: Record, blobs: Mapping[str, bytes]) -> str:
        content = canonical(record)
        wanted = {id: blobs[id] for id in referred_blobs(record) if id in blobs}
        _send(records, Played(content, wanted))
        return digest(content)

    for line in orders:
        order = msgspec.json.decode(line, type=Order)
        clock.set(order.at)
        prober = make_prober(settings, clock, vantage, simulated=config.vantage.simulated)
        await run_round(prober, order.urls, keep, budget, lambda _: None, lambda _: None)
        _send(records, Played(None))


def _send(records: BinaryIO, played: Played) -> None:
    records.write(msgspec.json.encode(played) + b"\n")
    records.flush()


if __name__ == "__main__":
    given = msgspec.json.decode(sys.argv[1], type=Vantage)
    asyncio.run(play(given, sys.stdin.buffer, sys.stdout.buffer))
