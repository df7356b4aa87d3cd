"""IPv4 packets as bytes: reading what the path needs of them, and building forged ones."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_HEADER = struct.Struct("!BBHHHBBH4s4s")


class Packet(NamedTuple):
    """The parts of an IPv4 packet; addresses are four bytes, ports 0 where there are none."""

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


def address_bytes(address: str) -> bytes:
    """Return an IPv4 address as four bytes."""
    return socket.inet_aton(address)


def parse(data: bytes) -> Packet | None:
    """Take a packet apart; None where it is no whole IPv4 packet of a kind that is carried."""
    if len(data) < 20 or data[0] >> 4 != 4:
        return None
    start = (data[0] & 15) * 4
    protocol, ttl, source, destination = data[9], data[8], data[12:16], data[16:20]
    whole = not ((data[6] & 0x3F) << 8 | data[7])  # no fragment
    numbers = (0, 0, 0, 0)
    flags, body = 0, b""
    if protocol == TCP and whole and len(data) >= start + 20:
        numbers = struct.unpack_from("!HHII", data, start)
        flags, body = data[start + 13], data[start + (data[start + 12] >> 4) * 4 :]
    elif protocol == UDP and whole and len(data) >= start + 8:
        numbers = (*struct.unpack_from("!HH", data, start), 0, 0)
        body = data[start + 8 :]
    return Packet(data, source, destination, protocol, ttl, *numbers, flags, body)


def with_lower_ttl(data: bytes, hops: int) -> bytes:
    """Return the packet after `hops` routers; its TTL must be greater than that."""
    checksum = (data[10] << 8 | data[11]) + (hops << 8)
    checksum = (checksum & 0xFFFF) + (checksum >> 16)
    changed = bytearray(data)
    changed[8] -= hops
    changed[10:12] = checksum.to_bytes(2, "big")
    return bytes(changed)


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ipv4(source: bytes, destination: bytes, protocol: int, ttl: int, body: bytes) -> bytes:
    fields = (0x45, 0, 20 + len(body), 0, 0, ttl, protocol, 0, source, destination)
    header = bytearray(_HEADER.pack(*fields))
    header[10:12] = _checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + body


def _transport(
    source: bytes, destination: bytes, protocol: int, ttl: int, body: bytes, checksum_at: int
) -> bytes:
    pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(body))
    filled = bytearray(body)
    filled[checksum_at : checksum_at + 2] = _checksum(pseudo + body).to_bytes(2, "big")
    return _ipv4(source, destination, protocol, ttl, bytes(filled))


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


def time_exceeded(router: bytes, packet: Packet, ttl: int) -> bytes:
    """Build a router's answer to a packet whose TTL ran out there, quoting it as RFC 792 does."""
    quote = bytearray(packet.data[:28])
    quote[8] = 1
    quote[10:12] = b"\0\0"
    quote[10:12] = _checksum(bytes(quote[:20])).to_bytes(2, "big")
    body = bytearray(struct.pack("!BBHI", 11, 0, 0, 0) + quote)
    body[2:4] = _checksum(bytes(body)).to_bytes(2, "big")
    return _ipv4(router, packet.source, ICMP, ttl, bytes(body))


def is_icmp_error(packet: Packet) -> bool:
    """Tell whether a packet is an ICMP error, to which no other ICMP error may answer."""
    start = (packet.data[0] & 15) * 4
    return packet.protocol == ICMP and packet.data[start : start + 1] not in (b"\0", b"\x08")
