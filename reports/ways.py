"""Ways: whether packets to an address end on the way, by walks to it and to its neighbour.

Pure. Two readings are told apart from the many that say nothing: packets that end where those to
the address beside it go on over at least two routers more, and packets that go as far as those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from ipaddress import ip_address
from typing import Literal, TypeAlias

import msgspec

from storage.records import Walk

# Routers of the neighbour's way beyond the place: the last one before a server is its own gate.
FURTHER = 2
PAIRS = 2  # of walks: a router may keep silent once by chance

How: TypeAlias = Literal["silence", "reset", "unreachable"]


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Where packets to an address end, or are answered for, on the way.

    `further` is how many routers from that hop on answer packets on the neighbour's or the site's
    own way. `outside`: a router with a public address stands before it, so that it is not in the
    volunteer's own home or office.
    """

    address: str
    port: int
    hop: int
    how: How
    further: int
    outside: bool
    asn: int | None = None  # network of the router before which it happens, else of the last passed
    end_asn: int | None = None  # of the last router on the way that goes on


def cut_between(own: Walk, beside: Walk) -> Cut | None:
    """Return where SYNs to an address end that others pass, by one walk to each; None: nowhere."""
    if own.failure is not None or beside.failure is not None:
        return None
    if own.answer == "peer" or (own.answered_at is None and own.silent_from is None):
        return None
    return _cut(own, beside, _passed(own), _passed(beside) - _passed(own))


def cut_after_opening(syn: Walk, ack: Walk) -> Cut | None:
    """Return where the acknowledgement of an opened connection is answered by a reset on the way.

    `syn` tells how far away the address itself is, which accepted the connection.
    """
    if syn.answer != "peer" or ack.answer != "reset" or ack.answered_at is None:
        return None
    public = msgspec.structs.replace(ack, public_from=ack.public_from or syn.public_from)
    return _cut(public, syn, ack.answered_at - 1, (syn.answered_at or 0) - ack.answered_at)


def _cut(walk: Walk, longer: Walk, passed: int, further: int) -> Cut | None:
    """Return the cut behind the last router passed, where the longer way goes on far enough."""
    if further < FURTHER:
        return None
    how: How = "silence"
    if walk.answer in ("reset", "unreachable"):
        how = walk.answer
    return Cut(
        address=walk.address,
        port=walk.port,
        hop=passed + 1,
        how=how,
        further=further,
        outside=walk.public_from is not None and walk.public_from <= passed,
        asn=_asn(longer, passed + 1) or _asn(walk, passed),
        end_asn=next((hop.asn for hop in reversed(longer.hops) if hop.asn is not None), None),
    )


def _asn(walk: Walk, ttl: int) -> int | None:
    return next((hop.asn for hop in walk.hops if hop.ttl == ttl), None)


def _passed(walk: Walk) -> int:
    """Return how many routers packets were seen to pass."""
    if walk.answered_at is not None:
        return walk.answered_at - 1
    return walk.last_router or 0


def cut_on_the_way(walks: Sequence[Walk], addresses: Collection[str]) -> Cut | None:
    """Return the cut of packets to one of `addresses` that every walk shows, `PAIRS` at least."""
    for address, port in dict.fromkeys((w.address, w.port) for w in walks):
        if address not in addresses:
            continue
        own = _walks(walks, "syn", address, port)
        acks = _walks(walks, "ack", address, port)
        beside = _beside(walks, address, port)
        cuts = [cut_between(mine, other) for mine in own for other in beside]
        if acks:
            cuts = [cut_after_opening(mine, ack) for mine in own for ack in acks]
        enough = min(len(own), len(acks) if acks else len(beside)) >= PAIRS
        found = [cut for cut in cuts if cut is not None and cut.outside]
        if enough and len(found) == len(cuts):
            # What went furthest says where it ends: silence of routers hides how far packets go.
            return max(found, key=lambda cut: cut.hop)
    return None


def goes_as_far(walks: Sequence[Walk], address: str, port: int) -> bool:
    """Tell whether a walk shows packets to an address to go about as far as its neighbour's."""
    own = _walks(walks, "syn", address, port)
    return any(
        _passed(other) - _passed(mine) < FURTHER
        for mine in own
        for other in _beside(walks, address, port)
    )


def _walks(walks: Iterable[Walk], method: str, address: str, port: int) -> list[Walk]:
    return [
        walk for walk in walks if (walk.method, walk.address, walk.port) == (method, address, port)
    ]


def _beside(walks: Iterable[Walk], address: str, port: int) -> list[Walk]:
    """Return the walks to the neighbour of an address: the other of each pair."""
    parsed = ip_address(address)
    neighbour = str(type(parsed)(int(parsed) ^ 1))
    return _walks(walks, "syn", neighbour, port)
