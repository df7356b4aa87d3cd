"""The order for a world: what the program that wants one tells the process that makes it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lab.scenario import Scenario


class Order(msgspec.Struct, frozen=True):
    """What a keeper is told to make."""

    scenario: Scenario
    seed: int
    folder: str  # holds resolv.conf and the like of each client, in a folder of its name
    temporary: bool  # the keeper removes the folder at the end
    ca: str
    certificates: dict[str, str]  # PEM file by host
    packet_sockets: bool  # even where TUN is allowed


def write_order(path: Path, order: Order) -> None:
    """Write an order into a file."""
    path.write_bytes(msgspec.msgpack.encode(order))


def read_order(path: Path) -> Order:
    """Read an order from a file."""
    return msgspec.msgpack.decode(path.read_bytes(), type=Order)
