"""What all kinds of censors are made of: decisions, rules, cut connections, forged segments."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, TypeAlias

from lab.censor_rule import Censor
from lab.dpi import Seen
from lab.plan import Plan
from lab.wire import (
    ACK,
    RST,
    SYN,
    TCP,
    Packet,
    address_bytes,
    address_text,
    tcp_segment,
)

FORGED_TTL = 64  # as it leaves the censor's box
_SERVER_TTL = 64  # as it leaves a server of the lab
_DIVERTED_PORTS = 20000  # the first port of the programs to which connections are diverted


class Decision(NamedTuple):
    """Whether a packet goes on, and what is sent beside it."""

    passes: bool = True
    to_client: tuple[bytes, ...] = ()
    to_server: tuple[bytes, ...] = ()
    late: float = 0.0  # seconds by which what goes to the client is held back
    port: int = 0  # of the server to which the packet goes instead of its own; 0: its own


PASS = Decision()
DROP = Decision(False)

# Judges one packet: what the client's packet says (None for one from a server), the packet, now.
Judge: TypeAlias = Callable[[Seen | None, Packet, float], Decision]


@dataclass(frozen=True)
class Rule:
    """A censor's rule at work on one network."""

    censor: Censor
    plan: Plan
    network: str
    number: int  # of the rule in the scenario, from 0
    chance: Random = field(compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the form in which they are sent."""
        return tuple(in_ascii(name) for name in self.censor.names)

    @property
    def hidden(self) -> frozenset[bytes]:
        """The addresses of `hosts`."""
        return frozenset(
            address_bytes(address)
            for host in self.censor.hosts
            for address in self.plan.everywhere(host)
        )

    @property
    def late(self) -> float:
        return self.censor.late_ms / 1000

    def ttl(self, server: bytes) -> int:
        """Return the TTL with which something in a server's name leaves the box."""
        if self.censor.ttl == "own":
            return FORGED_TTL
        route = self.plan.route(self.network, address_text(server))
        box = min(self.censor.hop or route.censor, len(route.routers))
        return _SERVER_TTL - (len(route.routers) - box + 1)

    def diverted_port(self, port: int) -> int:
        """Return the port of this rule's own program for connections to a port."""
        return diverted_port(self.number, port)


def diverted_port(number: int, port: int) -> int:
    """Return the port of the program of rule `number` that stands in for a server's port."""
    return _DIVERTED_PORTS + 2 * number + (port == 80)


def in_ascii(name: str) -> str:
    """Return a name as it is sent: in lower case, other letters by the rules of IDNA."""
    name = name.rstrip(".").lower()
    return name if name.isascii() else name.encode("idna").decode("ascii")


# --- connections ------------------------------------------------------------------------------


def tuple_of(packet: Packet) -> tuple[bytes, int, bytes, int]:
    """Return the 4-tuple of a connection, the same for both directions."""
    here, there = (packet.source, packet.source_port), (packet.destination, packet.destination_port)
    return (*here, *there) if here < there else (*there, *here)


class CutTuples:
    """The connections that stay cut, each until its time; any packet of one renews it."""

    def __init__(self, seconds: float, by: str = "4-tuple") -> None:
        self._seconds = seconds
        self._with_client_port = by == "4-tuple"
        self._until: dict[tuple[object, ...], float] = {}

    def cut(self, packet: Packet, now: float, *, outward: bool = True) -> None:
        if self._seconds:
            self._until[self._key(packet, outward)] = now + self._seconds

    def holds(self, packet: Packet, now: float, *, outward: bool) -> bool:
        """Tell whether the packet's connection is cut, and renew the cut."""
        if not self._until:
            return False
        key = self._key(packet, outward)
        until = self._until.get(key)
        if until is None:
            return False
        if not until - self._seconds <= now < until:  # over, or the clock was set back
            del self._until[key]
            return False
        self._until[key] = now + self._seconds
        return True

    def _key(self, packet: Packet, outward: bool) -> tuple[object, ...]:
        if self._with_client_port:
            return tuple_of(packet)
        if outward:
            return packet.source, packet.destination, packet.destination_port
        return packet.destination, packet.source, packet.source_port


def drawn_share(seed: object, packet: Packet, outward: bool) -> float:
    """Return a number from 0 to 1 that hangs on client's port and server's address alone."""
    port = packet.source_port if outward else packet.destination_port
    server = packet.destination if outward else packet.source
    return zlib.crc32(f"{seed}/{port}/".encode() + server) / 2**32


# --- forging ----------------------------------------------------------------------------------


class Ends(NamedTuple):
    """Both ends of a connection, and the numbers that the next segment of each must bear."""

    client: tuple[bytes, int]
    server: tuple[bytes, int]
    to_client: tuple[int, int]  # sequence, acknowledgement
    to_server: tuple[int, int]


def ends_of(packet: Packet, *, outward: bool) -> Ends:
    """Return the ends of a connection as one packet of it shows them."""
    here, there = (packet.source, packet.source_port), (packet.destination, packet.destination_port)
    after = packet.sequence + len(packet.payload) + (1 if packet.flags & SYN else 0)
    if outward:
        numbers = (packet.sequence, packet.acknowledgement)
        return Ends(here, there, (packet.acknowledgement, after), numbers)
    return Ends(
        there, here, (packet.sequence, packet.acknowledgement), (packet.acknowledgement, after)
    )


def resets(rule: Rule, packet: Packet, *, outward: bool) -> Decision:
    """Return the decision that resets a connection at the sides that the rule names."""
    if packet.protocol != TCP or packet.flags & RST:
        return DROP
    to_client, to_server = told(rule, packet, RST | ACK, outward=outward)
    side = rule.censor.side
    return Decision(
        rule.censor.on_path,
        (to_client,) if side != "server" else (),
        (to_server,) if side != "client" else (),
        rule.late,
    )


def told(
    rule: Rule, packet: Packet, flags: int, payload: bytes = b"", *, outward: bool
) -> tuple[bytes, bytes]:
    """Return a segment in the server's name to the client, and a reset to the server."""
    ends = ends_of(packet, outward=outward)
    ttl = rule.ttl(ends.server[0])
    return (
        tcp_segment(ends.server, ends.client, ends.to_client, flags, ttl, payload),
        tcp_segment(ends.client, ends.server, ends.to_server, RST | ACK, FORGED_TTL),
    )
