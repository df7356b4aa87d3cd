"""IPv4 and IPv6 packets as bytes: reading what the path needs of them, and building forged ones."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_HEADER4 = struct.Struct("!BBHHHBBH4s4s")
_TCP_NUMBERS, _PORTS = struct.Struct("!HHIIBB"), struct.Struct("!HH")
_HEADER6 = struct.Struct("!IHBB16s16s")
_SKIPPED6 = frozenset((0, 43, 60))  # extension headers behind which the ports stand
_QUOTED = 128  # bytes of a packet that an ICMP error quotes at most


class Packet(NamedTuple):
    """The parts of a packet; addresses are 4 or 16 bytes, ports 0 where there are none."""

    data: bytes
    source: bytes
    destination: bytes
    protocol: int
    ttl: int
    source_port: int
    destination_port: int
    sequence: int  # TCP only
    acknowledgement: int  # TCP only
    flags: int  # TCP only
    payload: bytes  # of TCP and UDP
    offload: bytes = b""  # what a kernel left undone, see lab.offload; empty: nothing


def address_bytes(address: str) -> bytes:
    """Return an address as four or sixteen bytes."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address)


def address_text(address: bytes) -> str:
    """Return four or sixteen bytes as an address is written."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def parse(data: bytes, offload: bytes = b"") -> Packet | None:
    """Take a packet apart; None where it is no whole packet of a kind that is carried."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        start, protocol, ttl = (data[0] & 15) * 4, data[9], data[8]
        source, destination = data[12:16], data[16:20]
        whole = not ((data[6] & 0x3F) << 8 | data[7])  # no fragment
    elif version == 6 and len(data) >= 40:
        start, protocol = _upper_layer6(data)
        ttl, source, destination, whole = data[7], data[8:24], data[24:40], True
    else:
        return None
    if protocol == TCP and whole and len(data) >= start + 20:
        near, far, sequence, acknowledgement, size, flags = _TCP_NUMBERS.unpack_from(data, start)
        body = data[start + (size >> 4) * 4 :]
        tcp = near, far, sequence, acknowledgement, flags, body, offload
        return Packet(data, source, destination, TCP, ttl, *tcp)
    if protocol == UDP and whole and len(data) >= start + 8:
        near, far = _PORTS.unpack_from(data, start)
        udp = near, far, 0, 0, 0, data[start + 8 :], offload
        return Packet(data, source, destination, UDP, ttl, *udp)
    return Packet(data, source, destination, protocol, ttl, 0, 0, 0, 0, 0, b"", offload)


def _upper_layer6(data: bytes) -> tuple[int, int]:
    """Return where an IPv6 packet's upper layer begins, and its number."""
    protocol, at = data[6], 40
    while protocol in _SKIPPED6 and at + 8 <= len(data):
        protocol, at = data[at], at + 8 + data[at + 1] * 8
    return at, protocol


def header_size(data: bytes) -> int:
    """Return where the upper layer of a packet begins."""
    return (data[0] & 15) * 4 if data[0] >> 4 == 4 else _upper_layer6(data)[0]


def with_lower_ttl(data: bytes, hops: int) -> bytes:
    """Return the packet after `hops` routers; its TTL must be greater than that."""
    changed = bytearray(data)
    if data[0] >> 4 == 6:
        changed[7] -= hops
        return bytes(changed)
    sum_after = (data[10] << 8 | data[11]) + (hops << 8)
    sum_after = (sum_after & 0xFFFF) + (sum_after >> 16)
    changed[8] -= hops
    changed[10:12] = sum_after.to_bytes(2, "big")
    return bytes(changed)


# --- checksums --------------------------------------------------------------------------------


def folded_sum(data: bytes) -> int:
    """Return the one's complement sum over data in 16 bits."""
    # 2**16 is 1 modulo 0xFFFF, so the remainder is the sum of all 16-bit words, carries and all.
    return int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF


def checksum(data: bytes) -> int:
    """Return the Internet checksum over data."""
    return ~folded_sum(data) & 0xFFFF


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """Return what the checksum of an upper layer covers besides itself, in either family."""
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!IHBB", length, 0, 0, protocol)


# --- building ---------------------------------------------------------------------------------


def ip_packet(source: bytes, destination: bytes, protocol: int, ttl: int, body: bytes) -> bytes:
    """Build a packet of the addresses' family around an upper layer that is complete."""
    if len(source) == 16:
        fields = (6 << 28, len(body), protocol, ttl, source, destination)
        return _HEADER6.pack(*fields) + body
    fields4 = (0x45, 0, 20 + len(body), 0, 0x4000, ttl, protocol, 0, source, destination)
    header = bytearray(_HEADER4.pack(*fields4))
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + body


def _transport(
    source: bytes, destination: bytes, protocol: int, ttl: int, body: bytes, checksum_at: int
) -> bytes:
    filled = bytearray(body)
    value = checksum(pseudo_header(source, destination, protocol, len(body)) + body)
    filled[checksum_at : checksum_at + 2] = (value or 0xFFFF).to_bytes(2, "big")
    return ip_packet(source, destination, protocol, ttl, bytes(filled))


def tcp_segment(
    source: tuple[bytes, int],
    destination: tuple[bytes, int],
    numbers: tuple[int, int],
    flags: int,
    ttl: int,
    payload: bytes = b"",
) -> bytes:
    """Build a TCP segment. `numbers` are sequence and acknowledgement, taken modulo 2**32."""
    sequence, acknowledgement = (number & 0xFFFFFFFF for number in numbers)
    ports = (source[1], destination[1])
    header = struct.pack(
        "!HHIIBBHHH", *ports, sequence, acknowledgement, 5 << 4, flags, 64240, 0, 0
    )
    return _transport(source[0], destination[0], TCP, ttl, header + payload, 16)


def udp_datagram(
    source: tuple[bytes, int], destination: tuple[bytes, int], ttl: int, payload: bytes
) -> bytes:
    """Build a UDP datagram."""
    header = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0)
    return _transport(source[0], destination[0], UDP, ttl, header + payload, 6)


# --- what routers say ---------------------------------------------------------------------------


def time_exceeded(router: bytes, packet: Packet, ttl: int) -> bytes:
    """Build a router's answer to a packet whose TTL ran out there."""
    kind = 11 if len(router) == 4 else 3
    return icmp_error(router, packet, ttl, (kind, 0), expired=True)


def unreachable(router: bytes, packet: Packet, ttl: int, code: int) -> bytes:
    """Build a router's refusal; `code` as RFC 792 and RFC 4443 number them."""
    return icmp_error(router, packet, ttl, (3 if len(router) == 4 else 1, code))


def too_big(router: bytes, packet: Packet, ttl: int, mtu: int) -> bytes:
    """Build a router's answer to a packet that is longer than the next link's `mtu` bytes."""
    return icmp_error(router, packet, ttl, (3, 4) if len(router) == 4 else (2, 0), mtu)


def icmp_error(
    router: bytes,
    packet: Packet,
    ttl: int,
    kind: tuple[int, int],
    value: int = 0,
    *,
    expired: bool = False,
) -> bytes:
    """Build an ICMP error of (type, code) that quotes a packet's beginning, as routers do."""
    quote = bytearray(packet.data[: 28 if len(router) == 4 else _QUOTED])
    if expired and len(router) == 4:
        quote[8] = 1
        quote[10:12] = b"\0\0"
        quote[10:12] = checksum(bytes(quote[:20])).to_bytes(2, "big")
    elif expired:
        quote[7] = 1
    body = bytearray(struct.pack("!BBHI", *kind, 0, value) + quote)
    if len(router) == 4:
        body[2:4] = checksum(bytes(body)).to_bytes(2, "big")
        return ip_packet(router, packet.source, ICMP, ttl, bytes(body))
    covered = pseudo_header(router, packet.source, ICMP6, len(body)) + bytes(body)
    body[2:4] = checksum(covered).to_bytes(2, "big")
    return ip_packet(router, packet.source, ICMP6, ttl, bytes(body))


def is_icmp_error(packet: Packet) -> bool:
    """Tell whether a packet is an ICMP error, to which no other ICMP error may answer."""
    start = header_size(packet.data)
    kind = packet.data[start : start + 1]
    if packet.protocol == ICMP6:
        return kind < b"\x80"
    return packet.protocol == ICMP and kind not in (b"\0", b"\x08")
