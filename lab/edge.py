"""What stands before a client and rewrites its addresses: a NAT that forgets, or NAT64."""

from __future__ import annotations

import struct
from typing import Protocol

from lab.offload import HEADER, NOTHING, undone
from lab.plan import PlannedNetwork
from lab.wire import (
    ICMP,
    ICMP6,
    SYN,
    TCP,
    UDP,
    Packet,
    address_bytes,
    checksum,
    header_size,
    ip_packet,
    parse,
    pseudo_header,
)

NAT64_PREFIX = address_bytes("64:ff9b::")[:12]
_CHECKSUM_AT = {TCP: 16, UDP: 6}
_ERROR_HEADER = 8  # bytes of an ICMP error before what it quotes


class Edge(Protocol):
    """Rewrites a client's packets on their way out and in."""

    def outward(self, packet: Packet, now: float) -> Packet | None:
        """Return the packet as the world sees it; None where it is dropped."""

    def inward(self, data: bytes, offload: bytes, now: float) -> tuple[bytes, bytes] | None:
        """Return the packet as the client sees it; None where it is dropped."""


class Nat:
    """A NAT that leaves ports alone and forgets flows on which nothing moved for `seconds`.

    What belongs to a forgotten flow disappears in both directions, as home routers do it.
    """

    def __init__(self, network: PlannedNetwork) -> None:
        self._inside = address_bytes(network.inside)
        self._outside = address_bytes(network.client)
        self._seconds = network.described.nat_seconds
        self._used: dict[tuple[int, int, bytes, int], float] = {}

    def outward(self, packet: Packet, now: float) -> Packet | None:
        if packet.source != self._inside:
            return packet
        key = (packet.protocol, packet.source_port, packet.destination, packet.destination_port)
        opens = packet.protocol != TCP or packet.flags & SYN
        if not opens and not self._remembers(key, now):
            return None
        self._used[key] = now
        data, offload = _readdressed(packet, self._outside, packet.destination)
        return parse(data, offload)

    def inward(self, data: bytes, offload: bytes, now: float) -> tuple[bytes, bytes] | None:
        packet = parse(data, offload)
        if packet is None or packet.destination != self._outside:
            return data, offload
        if packet.protocol == ICMP:
            return self._error_inward(packet), b""
        key = (packet.protocol, packet.destination_port, packet.source, packet.source_port)
        if not self._remembers(key, now):
            return None
        self._used[key] = now
        return _readdressed(packet, packet.source, self._inside)

    def _remembers(self, key: tuple[int, int, bytes, int], now: float) -> bool:
        return abs(now - self._used.get(key, -1e18)) <= self._seconds

    def _error_inward(self, packet: Packet) -> bytes:
        """Address an ICMP error to the inside, in its quotation too."""
        body = bytearray(packet.data[header_size(packet.data) :])
        if len(body) >= _ERROR_HEADER + 20:
            body[_ERROR_HEADER + 12 : _ERROR_HEADER + 16] = self._inside
        body[2:4] = b"\0\0"
        body[2:4] = checksum(bytes(body)).to_bytes(2, "big")
        return ip_packet(packet.source, self._inside, ICMP, packet.ttl, bytes(body))


def _readdressed(packet: Packet, source: bytes, destination: bytes) -> tuple[bytes, bytes]:
    """Return an IPv4 packet with other addresses; its checksum is left to the next kernel."""
    changed, start = bytearray(packet.data), header_size(packet.data)
    changed[12:20] = source + destination
    changed[10:12] = b"\0\0"
    changed[10:12] = checksum(bytes(changed[:start])).to_bytes(2, "big")
    return _undone(changed, start, packet, (source, destination))


def _undone(
    changed: bytearray, start: int, packet: Packet, ends: tuple[bytes, bytes]
) -> tuple[bytes, bytes]:
    if packet.protocol not in _CHECKSUM_AT:
        return bytes(changed), packet.offload
    data, header = undone(
        changed, start, ends, packet.protocol, len(changed) - start, _CHECKSUM_AT[packet.protocol]
    )
    _, kind, headers, size, _, _ = HEADER.unpack(packet.offload or NOTHING)
    if not kind:
        return data, header
    flags, _, _, _, begins, at = HEADER.unpack(header)
    return data, HEADER.pack(flags, kind, headers, size, begins, at)


class Nat64:
    """Translates between a client that has IPv6 alone and the IPv4 world (RFC 7915)."""

    def __init__(self, network: PlannedNetwork) -> None:
        self._inside = address_bytes(network.client6)
        self._outside = address_bytes(network.client)

    def outward(self, packet: Packet, now: float) -> Packet | None:
        if packet.destination[:12] != NAT64_PREFIX:
            return packet
        if packet.protocol not in _CHECKSUM_AT:
            return None
        start = header_size(packet.data)
        ends = self._outside, packet.destination[12:]
        whole = bytearray(ip_packet(*ends, packet.protocol, packet.ttl, packet.data[start:]))
        return parse(*_undone(whole, 20, packet, ends))

    def inward(self, data: bytes, offload: bytes, now: float) -> tuple[bytes, bytes] | None:
        packet = parse(data, offload)
        if packet is None or packet.destination != self._outside:
            return data, offload
        source = NAT64_PREFIX + packet.source
        if packet.protocol == ICMP:
            return self._error_inward(packet, source), b""
        if packet.protocol not in _CHECKSUM_AT:
            return None
        body = data[header_size(data) :]
        whole = bytearray(ip_packet(source, self._inside, packet.protocol, packet.ttl, body))
        return _undone(whole, 40, packet, (source, self._inside))

    def _error_inward(self, packet: Packet, source: bytes) -> bytes:
        """Translate a router's error, with the packet that it quotes."""
        body = packet.data[header_size(packet.data) :]
        kind, code = body[0], body[1]
        told, value = ((3, 0), 0) if kind == 11 else ((1, 0), 0)
        if (kind, code) == (3, 4):
            told, value = (2, 0), struct.unpack_from("!I", body, 4)[0] + 20
        quoted = body[_ERROR_HEADER:]
        inner = b""
        if len(quoted) >= 20:
            ends = self._inside, NAT64_PREFIX + quoted[16:20]
            inner = ip_packet(*ends, quoted[9], 1, quoted[(quoted[0] & 15) * 4 :])
        said = bytearray(struct.pack("!BBHI", *told, 0, value) + inner)
        covered = pseudo_header(source, self._inside, ICMP6, len(said)) + bytes(said)
        said[2:4] = checksum(covered).to_bytes(2, "big")
        return ip_packet(source, self._inside, ICMP6, packet.ttl, bytes(said))


def edge_of(network: PlannedNetwork | None) -> Edge | None:
    """Return what stands before a network's client, if anything does."""
    if network is None:
        return None
    if network.described.nat64:
        return Nat64(network)
    return Nat(network) if network.described.nat_seconds else None
