"""Censors that lead connections to a program of their own, and the way back.

The program listens at every server's own address, at another port: so a diverted packet needs
nothing but another port, and the program sees in its own address whom the client wanted.
"""

from __future__ import annotations

import struct

from lab.censor_parts import PASS, Decision, Judge, Rule, diverted_port
from lab.censor_rule import CensorKind
from lab.dpi import Seen
from lab.offload import HEADER
from lab.plan import Plan
from lab.wire import TCP, UDP, Packet, header_size

DIVERTED_PORTS: dict[CensorKind, tuple[int, ...]] = {
    "dns-divert": (53,),
    "tls-intercept": (443,),
    "http-alter": (80,),
    "splice": (80, 443),
}

_NEEDS_CHECKSUM = 1
_CHECKSUM_AT = {TCP: 16, UDP: 6}


def tls_intercept(rule: Rule) -> Judge:
    """Lead TLS to a man in the middle, who opens the connections with a forbidden name."""
    return _divert(rule, 443)


def http_alter(rule: Rule) -> Judge:
    """Lead HTTP to a proxy that changes words in the pages of forbidden hosts."""
    return _divert(rule, 80)


def splice(rule: Rule) -> Judge:
    """Make `hosts` proxies: whatever name is asked for there, its true server answers."""
    return _divert(rule, 80, 443)


def _divert(rule: Rule, *ports: int) -> Judge:
    diverted = {port: Decision(port=rule.diverted_port(port)) for port in ports}

    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        if seen is None or packet.protocol != TCP:
            return PASS
        return diverted.get(packet.destination_port, PASS)

    return judge


def true_ports(plan: Plan) -> dict[int, int]:
    """Return for each port of a censor's program the port that it stands in for."""
    return {
        diverted_port(number, port): port
        for number, censor in enumerate(plan.scenario.censors)
        for port in DIVERTED_PORTS.get(censor.kind, ())
    }


def to_port(packet: Packet, port: int) -> bytes:
    """Return a packet on its way to another port of the same server."""
    return _with_port(packet, port, 2)


def from_port(packet: Packet, port: int) -> bytes:
    """Return a packet that seems to come from another port of the same server."""
    return _with_port(packet, port, 0)


def _with_port(packet: Packet, port: int, at: int) -> bytes:
    """Change a port; a checksum that a kernel is still to fill in does not cover it yet."""
    start, changed = header_size(packet.data), bytearray(packet.data)
    (before,) = struct.unpack_from("!H", changed, start + at)
    struct.pack_into("!H", changed, start + at, port)
    undone = packet.offload and HEADER.unpack(packet.offload)[0] & _NEEDS_CHECKSUM
    checksum_at = start + _CHECKSUM_AT[packet.protocol]
    (checksum,) = struct.unpack_from("!H", changed, checksum_at)
    if not undone and (packet.protocol == TCP or checksum):
        total = (~checksum & 0xFFFF) + (~before & 0xFFFF) + port
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", changed, checksum_at, ~total & 0xFFFF)
    return bytes(changed)
