"""Connect: one TCP connection to one address, and what the kernel says about it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

from probes.addresses import family_of
from probes.errors import NETWORK_ERRORS, failure_of
from probes.trace import Stage, Trace
from storage.failures import Failure
from storage.records import Connect

# Offset of tcpi_bytes_acked in Linux' struct tcp_info (since 4.1), a 64-bit counter.
_BYTES_ACKED_OFFSET = 120
_TCP_INFO_LENGTH = 128


@dataclass
class Connection:
    """An open TCP connection whose facts are being taken."""

    sock: socket.socket
    number: int
    address: str
    port: int

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self, most: int = 65536) -> bytes:
        """Return the next bytes; empty means that the other side closed."""
        return await asyncio.get_running_loop().sock_recv(self.sock, most)

    def bytes_acknowledged(self) -> int | None:
        """Return how many bytes of ours the peer's TCP has acknowledged, None if unknown."""
        option = getattr(socket, "TCP_INFO", None)
        if option is None:
            return None
        with contextlib.suppress(OSError):
            info = self.sock.getsockopt(socket.IPPROTO_TCP, option, _TCP_INFO_LENGTH)
            if len(info) >= _TCP_INFO_LENGTH:
                (acknowledged,) = struct.unpack_from("=Q", info, _BYTES_ACKED_OFFSET)
                return max(0, int(acknowledged) - 1)  # the SYN counts as one
        return None

    def close(self) -> None:
        """Close at once: a reset, so that the kernel repeats nothing a censor may count."""
        with contextlib.suppress(OSError):  # the peer may have been faster
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


async def connect(
    trace: Trace, stage: Stage, address: str, port: int, timeout: float
) -> Connection | None:
    """Connect and record the step; return the connection, or None where it failed."""
    number = trace.next_connection()
    watch = trace.watch()
    sock = socket.socket(family_of(address), socket.SOCK_STREAM)
    failure: Failure | None = None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        trace.own.learn(sock)
    except NETWORK_ERRORS as error:
        failure = failure_of(error)
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
            failure=failure,
            start=watch.start,
            duration_us=watch.microseconds(),
        )
    )
    if failure is not None:
        sock.close()
        return None
    return Connection(sock, number, address, port)
