"""Socket options of Linux that the socket module has no names for, and what they tell."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Literal

# linux/in.h, linux/in6.h and linux/tcp.h
IP_RECVTTL = 12  # a name of the socket module only since Python 3.14
IP_RECVERR = 11
IPV6_RECVERR = 25
TCP_RTO_MAX_MS = 44  # Linux 6.15
MSG_ERRQUEUE = 0x2000

# linux/errqueue.h: struct sock_extended_err, and whom it came from
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_ORIGIN_ICMP, _ORIGIN_ICMP6 = 2, 3
# Offsets in Linux' struct tcp_info; its first byte is the state
_LAST_DATA_SENT = 44  # 32 bits, milliseconds ago
_TOTAL_RETRANSMISSIONS = 100  # 32 bits
_BYTES_ACKNOWLEDGED = 120  # 64 bits, since 4.1
_SEGMENTS_SENT = 136  # 32 bits, since 4.2
_TCP_INFO_LENGTH = 140
_TIME_EXCEEDED = {4: 11, 6: 3}
_UNREACHABLE = {4: 3, 6: 1}
# Codes that are not fatal in net/ipv4/icmp.c (icmp_err_convert) and net/ipv6/icmp.c (tab_unreach)
_PASSING = {4: {0, 1, 4, 5, 11, 12}, 6: {0, 2, 3}}


@dataclass(frozen=True)
class IcmpError:
    """An ICMP error about one of our packets, and who sent it."""

    version: Literal[4, 6]
    type: int
    code: int
    sender: str | None
    errno: int
    about: str | None  # where the packet was sent to, as far as the kernel tells

    @property
    def words(self) -> str:
        """Return "3/13", or "v6 1/4"."""
        family = "" if self.version == 4 else "v6 "
        return f"{family}{self.type}/{self.code}"

    @property
    def time_exceeded(self) -> bool:
        """Tell whether a router says that the packet's time to live ran out there."""
        return self.type == _TIME_EXCEEDED[self.version]

    @property
    def is_final(self) -> bool:
        """Tell whether nothing is to be hoped for, by the kernel's own tables.

        Networks and hosts that cannot be reached may be so for a moment.
        """
        return self.type == _UNREACHABLE[self.version] and self.code not in _PASSING[self.version]


@dataclass(frozen=True)
class TcpState:
    """What the kernel knows of a connection."""

    bytes_acknowledged: int
    retransmissions: int
    segments_sent: int  # the SYN and bare acknowledgements too
    since_sent_us: int  # since data was last sent, or sent again


def hear_icmp_errors(sock: socket.socket, *, wanted: bool = True) -> None:
    """Have the kernel keep ICMP errors with their senders, where it can, or no more."""
    with contextlib.suppress(OSError):
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, int(wanted))
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, int(wanted))


def icmp_error(sock: socket.socket) -> IcmpError | None:
    """Return the next ICMP error that the kernel kept, None where there is none."""
    try:
        _, ancillary, _, about = sock.recvmsg(1, 512, MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except OSError:
        return None
    for level, kind, data in ancillary:
        is_v4 = (level, kind) == (socket.IPPROTO_IP, IP_RECVERR)
        is_v6 = (level, kind) == (socket.IPPROTO_IPV6, IPV6_RECVERR)
        if (is_v4 or is_v6) and len(data) >= _EXTENDED_ERROR.size:
            errno, origin, type_, code, _, _, _ = _EXTENDED_ERROR.unpack_from(data)
            if origin in {_ORIGIN_ICMP, _ORIGIN_ICMP6}:
                version: Literal[4, 6] = 4 if origin == _ORIGIN_ICMP else 6
                sender = _sender(data[_EXTENDED_ERROR.size :])
                return IcmpError(version, type_, code, sender, errno, about[0] if about else None)
    return None


def _sender(address: bytes) -> str | None:
    """Read a struct sockaddr_in or sockaddr_in6."""
    if len(address) < 8:
        return None
    (family,) = struct.unpack_from("=H", address)
    if family == socket.AF_INET:
        return str(ipaddress.IPv4Address(address[4:8]))
    if family == socket.AF_INET6 and len(address) >= 24:
        return str(ipaddress.IPv6Address(address[8:24]))
    return None


async def readable(sock: socket.socket, timeout: float) -> bool:
    """Wait until data or an ICMP error is there; False where none came in `timeout` seconds."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        return await _set_within(ready, timeout)
    finally:
        loop.remove_reader(sock)


async def writable(sock: socket.socket, timeout: float) -> bool:
    """Wait until a connection is open or has failed; False where `timeout` seconds pass first."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(sock, ready.set)
    try:
        return await _set_within(ready, timeout)
    finally:
        loop.remove_writer(sock)


async def _set_within(event: asyncio.Event, timeout: float) -> bool:
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        return False
    return True


def set_ttl(sock: socket.socket, ttl: int) -> None:
    """Set the time to live of the packets that follow. Raises OSError where it cannot be."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


def tcp_state(sock: socket.socket) -> TcpState | None:
    """Return what the kernel knows of a connection, None where it does not tell."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, option, _TCP_INFO_LENGTH)
    except OSError:
        return None
    if len(info) < _TCP_INFO_LENGTH:
        return None
    (acknowledged,) = struct.unpack_from("=Q", info, _BYTES_ACKNOWLEDGED)
    (again,) = struct.unpack_from("=I", info, _TOTAL_RETRANSMISSIONS)
    (segments,) = struct.unpack_from("=I", info, _SEGMENTS_SENT)
    (sent_ms,) = struct.unpack_from("=I", info, _LAST_DATA_SENT)
    return TcpState(
        bytes_acknowledged=max(0, int(acknowledged) - 1),  # the SYN counts as one
        retransmissions=int(again),
        segments_sent=int(segments),
        since_sent_us=int(sent_ms) * 1000,
    )
