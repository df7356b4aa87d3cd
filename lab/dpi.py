"""What a box on the path can read: names in TLS, HTTP, QUIC and DNS in passing.

A box sees packets, not streams, so the first bytes of each TCP connection are collected over its
segments until they say a name or can no longer do so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lab.readable import host_header, question_name, request_path, server_name
from lab.wire import SYN, TCP, UDP, Packet

if TYPE_CHECKING:
    from lab.quic_initial import Initials

_MOST_BYTES = 16384  # of a connection; no ClientHello or request head is longer
_MOST_FLOWS = 4096  # remembered at once, the oldest are forgotten first


class Seen(NamedTuple):
    """One packet from the client, and the name that became readable with it ("" where none)."""

    packet: Packet
    server_name: str = ""
    host: str = ""
    question: str = ""
    path: str = ""  # of the HTTP request
    quic_name: str = ""


class _Flow:
    """The beginning of one client's side of a connection."""

    def __init__(self, first_sequence: int) -> None:
        self.first_sequence = first_sequence
        self.data = b""
        self.done = False

    def add(self, packet: Packet) -> bool:
        """Append the new bytes of a segment that continues or overlaps; tell whether any."""
        offset = (packet.sequence - self.first_sequence) & 0xFFFFFFFF
        if offset > len(self.data) or offset + len(packet.payload) <= len(self.data):
            return False
        self.data += packet.payload[len(self.data) - offset :]
        return True


class Reader:
    """Reads the packets that one network's client sends."""

    def __init__(self) -> None:
        self._flows: dict[tuple[bytes, bytes, int, int], _Flow] = {}
        self._initials: dict[tuple[bytes, bytes, int, int], Initials] = {}

    def read(self, packet: Packet) -> Seen:
        """Return what became known with this packet."""
        if packet.protocol == UDP and packet.destination_port == 53:
            return Seen(packet, question=question_name(packet.payload))
        if packet.protocol == TCP:
            return self._read_tcp(packet)
        if packet.protocol == UDP and packet.destination_port == 443:
            return Seen(packet, quic_name=self._read_quic(packet))
        return Seen(packet)

    def _read_quic(self, packet: Packet) -> str:
        """Return the name that a datagram of QUIC completes."""
        if not packet.payload or not packet.payload[0] & 0x80:
            return ""
        from lab.quic_initial import Initials  # brings cryptography, which few worlds need

        key = (packet.source, packet.destination, packet.source_port, packet.destination_port)
        if key not in self._initials:
            if len(self._initials) >= _MOST_FLOWS:
                del self._initials[next(iter(self._initials))]
            self._initials[key] = Initials()
        return self._initials[key].name(packet.payload)

    def _read_tcp(self, packet: Packet) -> Seen:
        key = (packet.source, packet.destination, packet.source_port, packet.destination_port)
        if packet.flags & SYN:
            self._flows.pop(key, None)
            if len(self._flows) >= _MOST_FLOWS:
                del self._flows[next(iter(self._flows))]
            self._flows[key] = _Flow(packet.sequence + 1)
            return Seen(packet)
        flow = self._flows.get(key)
        if not packet.payload or flow is None or flow.done or not flow.add(packet):
            return Seen(packet)
        reads_tls = flow.data[0] == 22
        name = server_name(flow.data) if reads_tls else host_header(flow.data)
        flow.done = name is not None or len(flow.data) > _MOST_BYTES
        if not name:
            return Seen(packet)
        if reads_tls:
            return Seen(packet, server_name=name)
        return Seen(packet, host=name, path=request_path(flow.data))
