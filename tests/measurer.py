"""Runs on a client's machine in the lab: one round without deliberate waits; prints its records."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping

import msgspec

from probes.clock import SystemClock
from probes.rounds import DailyBudget, run_round
from sitewatch.config import load_config
from sitewatch.networks import open_table
from sitewatch.probing import make_prober
from storage.networks import Network
from storage.records import Record, Vantage, record_id


class Hasty(SystemClock):
    """The machine's clock, but nobody waits on purpose: reloads and penalties come at once."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def main(urls: list[str]) -> None:
    config = load_config(None, os.environ)
    kept: list[Record] = []

    async def keep(record: Record, blobs: Mapping[str, bytes]) -> str:
        kept.append(record)
        return record_id(record)

    def identify(network: Network | None) -> Vantage:
        return Vantage(id="0" * 32, asn=network.asn if network else None)

    prober = make_prober(
        config.settings(),
        Hasty(),
        identify(None),
        simulated=True,
        networks=open_table(config),
        identify=identify,
    )
    await run_round(prober, urls, keep, DailyBudget(12), lambda _: None, lambda _: None)
    sys.stdout.buffer.write(msgspec.json.encode(kept))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
