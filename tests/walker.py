"""Runs on a client's machine in the lab: walks to many places at once, and prints the steps."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
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
from storage.networks import NetworksTable
from storage.records import Walk

How: TypeAlias = Literal["one", "many", "question"]

NEUTRAL = "www.example.com"


class Place(msgspec.Struct, frozen=True):
    """A name, the address that it is sent to, and by what kind of walk."""

    name: str
    address: str
    how: How
    port: int = 443


def _trace() -> Trace:
    """Return an empty trace that knows the networks of the table that was named, if any."""
    table = os.environ.get("NETWORKS")
    return Trace(
        SystemClock(), OwnAddresses(), networks=NetworksTable(Path(table)) if table else None
    )


async def bare_walk_to(address: str, port: int) -> Walk:
    return await walk_syn(_trace(), Stage("ttl-walk"), Target(address, port))


async def _walk_neutral(place: Place) -> Walk:
    return await _walk(place, Stage("ttl-walk", arm="neutral@site"))


async def _walk_named(place: Place) -> Walk:
    return await _walk(place, Stage("ttl-walk", arm="name@site"))


async def _walk(place: Place, stage: Stage) -> Walk:
    trace = _trace()
    target, name = Target(place.address, place.port, place.name), place.name
    match place.how:
        case "question":
            target = Target(place.address, 53, name)
            return await walk_questions(trace, stage, target, query(name, "A").to_wire(), 1.0)
        case "one":
            return await walk_one_name(trace, stage, target, client_hello(name), "one-hello", 5.0)
        case "many":
            return await walk_many_names(trace, stage, target, client_hello(name), 5.0)


async def main(places: Sequence[Place]) -> None:
    """Walk to each address without a name, one after the other, and then to all places at once.

    A bare walk is a burst of packets: many at once overflow the queue of the client's device.
    """
    ends = dict.fromkeys((place.address, place.port) for place in places if place.how != "question")
    bare = {end: await bare_walk_to(*end) for end in ends}
    # One control for all places that are walked to in the same way.
    alike = {msgspec.structs.replace(place, name=NEUTRAL): None for place in places}
    controls, walks = await asyncio.gather(
        asyncio.gather(*map(_walk_neutral, alike)), asyncio.gather(*map(_walk_named, places))
    )
    control = dict(zip(alike, controls, strict=True))
    found = [
        [
            *filter(None, [bare.get((place.address, place.port))]),
            control[msgspec.structs.replace(place, name=NEUTRAL)],
            walk,
        ]
        for place, walk in zip(places, walks, strict=True)
    ]
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=list[Place])))
