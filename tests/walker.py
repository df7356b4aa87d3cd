"""Runs on a client's machine in the lab: walks to many places at once, and prints the steps."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from probes.answers import query
from probes.bare_walks import walk_syn
from probes.clock import SystemClock
from probes.locate import client_hello
from probes.own import OwnAddresses
from probes.repeating_walks import walk_many_names, walk_questions
from probes.trace import Stage, Trace
from probes.walks import Target, walk_one_name
from storage.records import Walk

How: TypeAlias = Literal["one", "many", "question"]

NEUTRAL = "www.example.com"


class Place(msgspec.Struct, frozen=True):
    """A name, the address that it is sent to, and by what kind of walk."""

    name: str
    address: str
    how: How


async def bare_walk_to(address: str) -> Walk:
    trace = Trace(SystemClock(), OwnAddresses())
    return await walk_syn(trace, Stage("ttl-walk"), Target(address, 443))


async def walks_to(place: Place, bare: dict[str, Walk]) -> list[Walk]:
    """Walk with the name; the walk without it is the one to the same address."""
    trace = Trace(SystemClock(), OwnAddresses())
    stage = Stage("ttl-walk", arm="name@site")
    if place.how == "question":
        control = Stage("ttl-walk", arm="neutral@site")
        for name, each in ((NEUTRAL, control), (place.name, stage)):
            target = Target(place.address, 53, name)
            await walk_questions(trace, each, target, query(name, "A").to_wire(), 1.0)
    else:
        target = Target(place.address, 443, place.name)
        hello = client_hello(place.name)
        if place.how == "one":
            await walk_one_name(trace, stage, target, hello, "one-hello", 5.0)
        else:
            await walk_many_names(trace, stage, target, hello, 5.0)
    without = [bare[place.address]] if place.address in bare else []
    return without + [step for step in trace.steps if isinstance(step, Walk)]


async def main(places: Sequence[Place]) -> None:
    """Walk to each address without a name, one after the other, and then to all places at once.

    A bare walk is a burst of packets: many at once overflow the queue of the client's device.
    """
    addresses = dict.fromkeys(place.address for place in places if place.how != "question")
    bare = {address: await bare_walk_to(address) for address in addresses}
    found = await asyncio.gather(*(walks_to(place, bare) for place in places))
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=list[Place])))
