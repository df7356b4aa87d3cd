"""Runs on a client's machine in the lab: walks to many addresses at once, and prints the steps."""

from __future__ import annotations

import asyncio
import json
import sys

import msgspec

from probes.bare_walks import walk_syn
from probes.clock import SystemClock
from probes.locate import client_hello
from probes.own import OwnAddresses
from probes.trace import Stage, Trace
from probes.walks import MOST_HOPS, Target, walk_one_name
from storage.records import Walk


async def both(name: str, address: str) -> list[Walk]:
    """Walk with SYNs and with the name."""
    trace = Trace(SystemClock(), OwnAddresses())
    plain = await walk_syn(trace, Stage("ttl-walk"), Target(address, 443))
    stage, target = Stage("ttl-walk", arm="name@site"), Target(address, 443, name)
    most = (plain.answered_at or MOST_HOPS) + 2
    await walk_one_name(trace, stage, target, client_hello(name), "one-hello", 5.0, most)
    return [step for step in trace.steps if isinstance(step, Walk)]


async def main(places: dict[str, str]) -> None:
    found = await asyncio.gather(*(both(name, address) for name, address in places.items()))
    sys.stdout.buffer.write(msgspec.json.encode(dict(zip(places, found, strict=True))))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
