"""QUIC: one handshake over UDP, where a site offers HTTP/3; needs the extra `quic` (aioquic).

Without the extra no step is made at all: nothing was tried, so nothing failed. The ClientHello is
the library's and not a browser's, and its chain is not judged; TCP beside it shows that.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from probes.addresses import family_of
from probes.errors import NETWORK_ERRORS, failure_of, failure_of_close
from probes.prober import Prober
from probes.suspicion import Suspect
from probes.trace import Stage, Trace
from storage.failures import Failure
from storage.records import Arm, Lookup, Quic, Step

if TYPE_CHECKING:
    from aioquic.quic.connection import QuicConnection

_ALPN = "h3"
_ROUNDS = 2  # of the contrast
_LARGEST_DATAGRAM = 65_535
_LONGEST_HEADER = 2000
# RFC 7838: the same host on a UDP port; alternatives on other hosts are another site's matter.
_OFFER = re.compile(r'(?:^|,)\s*h3="?:(\d{1,5})"?(?=[;,\s]|$)')


@cache
def is_there() -> bool:
    """Tell whether the extra is installed."""
    try:
        import aioquic.quic.connection  # noqa: F401
    except ImportError:
        return False
    return True


def offered_port(headers: Iterable[tuple[bytes, bytes]], steps: Iterable[Step]) -> int | None:
    """Return the port at which a site offers HTTP/3, by Alt-Svc or by its HTTPS record."""
    for name, value in headers:
        if name.lower() == b"alt-svc":
            found = _OFFER.search(value[:_LONGEST_HEADER].decode("latin-1"))
            if found is not None and 0 < int(found[1]) < 65536:
                return int(found[1])
    records = (step for step in steps if isinstance(step, Lookup) and step.type == "HTTPS")
    return 443 if any(_ALPN in record.alpn for record in records) else None


async def shake_quic(
    trace: Trace, stage: Stage, address: str, port: int, server_name: str, timeout: float
) -> Quic:
    """Shake hands once over QUIC, record the step and return it. Call only where `is_there`."""
    watch, failure = trace.watch(), None
    sock = socket.socket(family_of(address), socket.SOCK_DGRAM)
    attempt = _Attempt(trace, sock, _connection(server_name))
    try:
        sock.setblocking(False)
        sock.connect((address, port))  # so that an ICMP error comes back as an error
        trace.own.learn(sock)
        async with asyncio.timeout(timeout):
            failure = await attempt.run((address, port))
    except NETWORK_ERRORS as error:
        failure = failure_of(error)
    finally:
        sock.close()
    step = Quic(
        purpose=stage.purpose,
        hop=stage.hop,
        attempt=stage.attempt,
        arm=stage.arm,
        address=address,
        port=port,
        server_name=server_name,
        alpn=attempt.alpn,
        datagrams_received=attempt.datagrams,
        error=attempt.error,
        failure=failure,
        start=watch.start,
        duration_us=watch.microseconds(),
    )
    trace.steps.append(step)
    return step


async def run_quic(prober: Prober, trace: Trace, *, suspect: Suspect) -> None:
    """Shake hands under a neutral name and the suspected one in turns, at the site's address.

    Where the neutral name gets no word either, UDP or the server is what fails, and the suspected
    name is not sent again.
    """
    neutral = next((each for each in prober.neutrals if each.name != suspect.name), None)
    if neutral is None:
        return
    timeout = prober.settings.limits.tls_timeout
    for attempt in range(_ROUNDS):
        turns: tuple[tuple[Arm, str, bool], ...] = (
            ("neutral@site", neutral.name, True),
            ("name@site", suspect.name, False),
        )
        for arm, name, expected in turns:
            stage = Stage("contrast", 0, attempt, arm)
            step = await shake_quic(trace, stage, suspect.address, suspect.port, name, timeout)
            prober.note_quic(passed=spoke(step))
            if spoke(step) is not expected:
                return


def spoke(step: Quic) -> bool:
    """Tell whether anything at all came from the peer."""
    return bool(step.datagrams_received)


def _connection(server_name: str) -> QuicConnection:
    import logging
    import ssl

    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection

    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=[_ALPN], server_name=server_name
    )
    configuration.verify_mode = ssl.CERT_NONE
    logging.getLogger("quic").setLevel(logging.CRITICAL)  # it quotes what peers say of their errors
    return QuicConnection(configuration=configuration)


@dataclass
class _Attempt:
    """A handshake in progress, and what it has shown so far."""

    trace: Trace
    sock: socket.socket
    quic: QuicConnection
    datagrams: int = 0
    alpn: str | None = None
    error: int | None = None

    async def run(self, peer: tuple[str, int]) -> Failure | None:
        """Drive it to its end; the failure if the peer ended it. Raises what the network raises."""
        now = self.trace.clock.monotonic
        self.quic.connect(peer, now())
        while True:
            await self._send(now())
            data = await self._receive(self.quic.get_timer(), now())
            if data is None:
                self.quic.handle_timer(now())
            else:
                self.datagrams += 1
                self.quic.receive_datagram(data, peer, now())
            ended, failure = self._read_events()
            if ended:
                self.quic.close()
                await self._send(now())
                return failure

    async def _send(self, now: float) -> None:
        loop = asyncio.get_running_loop()
        for data, _ in self.quic.datagrams_to_send(now):
            await loop.sock_sendall(self.sock, data)

    async def _receive(self, timer: float | None, now: float) -> bytes | None:
        """Return the next datagram, None where the connection's own timer ran out first."""
        seconds = None if timer is None else max(0.0, timer - now)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().sock_recv(self.sock, _LARGEST_DATAGRAM)
        except TimeoutError:
            return None

    def _read_events(self) -> tuple[bool, Failure | None]:
        from aioquic.quic import events

        while (event := self.quic.next_event()) is not None:
            if isinstance(event, events.HandshakeCompleted):
                self.alpn = event.alpn_protocol
                return True, None
            if isinstance(event, events.ConnectionTerminated):
                self.error = event.error_code
                return True, failure_of_close(event.error_code)
        return False, None
