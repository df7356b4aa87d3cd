"""Handshake: TLS over a connection of our own, the whole chain kept, judged offline afterwards."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from probes.certificates import (
    MOST_CERTIFICATES,
    CertificateJudge,
    ChainVerdict,
    describe,
)
from probes.errors import NETWORK_ERRORS, failure_of
from probes.tcp import Connection
from probes.trace import Stage, Stopwatch, Trace
from storage.failures import Failure
from storage.records import Handshake

_RECORD_TYPES = range(20, 24)  # RFC 8446 section 5.1: change_cipher_spec to application_data
_ALERT = 21
_MOST_HANDSHAKE_BYTES = 256 * 1024  # a chain of ten large certificates is a tenth of it


def _context() -> ssl.SSLContext:
    """Return the one client context: it accepts any chain, since chains are judged afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])  # as browsers do
    return context


_CONTEXT = _context()


class _SentCertificate(Protocol):
    def public_bytes(self, format: int) -> bytes: ...


def _sent_chain(tls: ssl.SSLObject) -> list[bytes]:
    """Return the DER certificates that the server sent, leaf first."""
    if sys.version_info >= (3, 13):
        return [bytes(der) for der in tls.get_unverified_chain()]
    # Before 3.13 the chain is only reachable behind the private object of the ssl module.
    inner = tls._sslobj  # type: ignore[attr-defined]
    chain = cast(Sequence[_SentCertificate], inner.get_unverified_chain() or ())
    return [certificate.public_bytes(2) for certificate in chain]  # 2 is _ssl.ENCODING_DER


@dataclass
class TlsStream:
    """An open TLS connection: bytes in clear on our side, TLS on the wire."""

    connection: Connection
    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    valid: bool = False

    @property
    def http2(self) -> bool:
        """Tell whether the server chose HTTP/2."""
        return self.tls.selected_alpn_protocol() == "h2"

    def wire_received(self) -> int:
        """Return how many bytes have come from the peer's TCP, encrypted as they were."""
        return self.connection.received

    async def send(self, data: bytes) -> None:
        self.tls.write(data)
        await self._flush()

    async def receive(self, most: int = 65536) -> bytes:
        """Return the next bytes in clear; empty means an orderly end."""
        while True:
            try:
                return self.tls.read(most)
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self.connection.receive()
                if not data:
                    return b""  # many servers close without close_notify
                self.incoming.write(data)
            except ssl.SSLZeroReturnError:
                return b""

    async def _flush(self) -> None:
        if pending := self.outgoing.read():
            await self.connection.send(pending)

    def close(self) -> None:
        self.connection.close()


@dataclass
class _Attempt:
    """What a handshake in progress has shown so far."""

    stream: TlsStream
    hello_bytes: int | None = None
    received: bytearray = field(default_factory=bytearray)

    async def run(self) -> None:
        """Drive the handshake to its end. Raises what the network raises."""
        stream = self.stream
        while True:
            try:
                stream.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._exchange_flights()
            else:
                if pending := stream.outgoing.read():
                    await stream.connection.send(pending)
                return

    async def _exchange_flights(self) -> None:
        stream = self.stream
        if pending := stream.outgoing.read():
            if self.hello_bytes is None:
                self.hello_bytes = len(pending)
            await stream.connection.send(pending)
        data = await stream.connection.receive()
        if not data:
            raise EOFError("closed during the handshake")
        self.received += data
        if self.received[0] not in _RECORD_TYPES:
            raise _NotTls
        if len(self.received) > _MOST_HANDSHAKE_BYTES:
            raise ssl.SSLError("the handshake is longer than any real one")
        stream.incoming.write(data)

    def alert(self) -> int | None:
        """Return the number of the plaintext alert received, walking the record layer."""
        position = 0
        while position + 7 <= len(self.received):
            length = int.from_bytes(self.received[position + 3 : position + 5])
            if self.received[position] == _ALERT and length == 2:
                return self.received[position + 6]
            position += 5 + length
        return None


class _NotTls(Exception):
    """The first byte received begins no TLS record."""


async def handshake(
    trace: Trace,
    stage: Stage,
    connection: Connection,
    server_name: str | None,
    timeout: float,
    judge: CertificateJudge,
    clock_offset: float,
) -> TlsStream | None:
    """Shake hands and record the step.

    Returns the stream where the handshake completed, whatever the chain is worth (`valid` tells),
    else None with the connection closed. `clock_offset` in seconds corrects the machine's clock.
    """
    watch = trace.watch()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _CONTEXT.wrap_bio(incoming, outgoing, server_hostname=server_name)
    attempt = _Attempt(TlsStream(connection, tls, incoming, outgoing))
    failure: Failure | None = None
    try:
        async with asyncio.timeout(timeout):
            await attempt.run()
    except _NotTls:
        failure = Failure.TLS_NOT_TLS
    except NETWORK_ERRORS as error:
        failure = Failure.TLS_ALERT if attempt.alert() is not None else failure_of(error)
    except BaseException:
        connection.close()
        raise
    chain = _sent_chain(tls) if failure is None else []
    verdict, second = None, None
    chain = chain[:MOST_CERTIFICATES]
    if chain:
        at, name = trace.clock.wall() + clock_offset, server_name or connection.address
        verdict = judge.judge(chain, name, at)
        second = None if verdict.valid else judge.ask_system(chain, name, at)
        attempt.stream.valid = verdict.valid
    _record(
        trace,
        stage,
        attempt,
        server_name,
        chain[:MOST_CERTIFICATES],
        verdict,
        second,
        failure,
        watch,
    )
    if failure is not None:
        connection.close()
        return None
    return attempt.stream


def _record(
    trace: Trace,
    stage: Stage,
    attempt: _Attempt,
    server_name: str | None,
    chain: list[bytes],
    verdict: ChainVerdict | None,
    second: bool | None,
    failure: Failure | None,
    watch: Stopwatch,
) -> None:
    """Append the step of one finished handshake; certificates become blobs."""
    connection, tls = attempt.stream.connection, attempt.stream.tls
    state = connection.state()
    for der in chain:
        trace.keep(der)
    trace.steps.append(
        Handshake(
            purpose=stage.purpose,
            hop=stage.hop,
            attempt=stage.attempt,
            arm=stage.arm,
            connection=connection.number,
            address=connection.address,
            port=connection.port,
            server_name=server_name,
            version=tls.version() if failure is None else None,
            alpn=tls.selected_alpn_protocol() if failure is None else None,
            chain=[describe(der) for der in chain],
            valid=verdict.valid if verdict else None,
            invalid_because=verdict.because if verdict else None,
            valid_by_system=second,
            hello_bytes=attempt.hello_bytes,
            acknowledged=(
                None
                if state is None or attempt.hello_bytes is None
                else state.bytes_acknowledged >= attempt.hello_bytes
            ),
            retransmissions=None if state is None else state.retransmissions,
            bytes_received=len(attempt.received),
            alert=attempt.alert() if failure is not None else None,
            failure=failure or (verdict.failure if verdict else None),
            start=watch.start,
            duration_us=watch.microseconds(),
        )
    )
