"""Connect: one TCP connection to one address, and what the kernel says about it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

from probes.addresses import family_of
from probes.errors import NETWORK_ERRORS, failure_of
from probes.sockets import IcmpError, TcpState, hear_icmp_errors, icmp_error, tcp_state
from probes.trace import Stage, Trace
from storage.failures import Failure
from storage.records import Connect


@dataclass
class Connection:
    """An open TCP connection whose facts are being taken."""

    sock: socket.socket
    number: int
    address: str
    port: int

    received: int = 0  # bytes, of which the reader may have understood nothing yet

    http2 = False  # only ever negotiated inside TLS

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self, most: int = 65536) -> bytes:
        """Return the next bytes; empty means that the other side closed."""
        data = await asyncio.get_running_loop().sock_recv(self.sock, most)
        self.received += len(data)
        return data

    def wire_received(self) -> int:
        """Return how many bytes have come from the peer's TCP."""
        return self.received

    def state(self) -> TcpState | None:
        """Return what the kernel knows of it: bytes acknowledged, segments sent again."""
        return tcp_state(self.sock)

    def close(self) -> None:
        """Close at once: a reset, so that the kernel repeats nothing a censor may count."""
        with contextlib.suppress(OSError):  # the peer may have been faster
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


async def connect(
    trace: Trace,
    stage: Stage,
    address: str,
    port: int,
    timeout: float,
    *,
    max_segment: int | None = None,
) -> Connection | None:
    """Connect and record the step; return the connection, or None where it failed.

    With `max_segment` the peer is asked to send no longer segments (bytes).
    """
    number = trace.next_connection()
    watch = trace.watch()
    sock = socket.socket(family_of(address), socket.SOCK_STREAM)
    failure: Failure | None = None
    icmp: IcmpError | None = None
    try:
        sock.setblocking(False)
        hear_icmp_errors(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if max_segment is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, max_segment)
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        trace.own.learn(sock)
        hear_icmp_errors(sock, wanted=False)  # once connected they would end what goes on well
    except NETWORK_ERRORS as error:
        failure, icmp = failure_of(error), icmp_error(sock)
    except BaseException:
        sock.close()
        raise
    trace.steps.append(
        Connect(
            purpose=stage.purpose,
            hop=stage.hop,
            attempt=stage.attempt,
            arm=stage.arm,
            connection=number,
            address=address,
            port=port,
            max_segment=max_segment,
            failure=failure,
            icmp=icmp.words if icmp else None,
            icmp_from_peer=icmp.sender == address if icmp and icmp.sender else None,
            icmp_asn=trace.asn_of(icmp.sender) if icmp else None,
            start=watch.start,
            duration_us=watch.microseconds(),
        )
    )
    if failure is not None:
        sock.close()
        return None
    return Connection(sock, number, address, port)
