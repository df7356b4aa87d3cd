"""The handshake step, against servers on loopback that behave and misbehave."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from probes.certificates import CertificateJudge, RootsError
from probes.tcp import connect
from probes.tls import TlsStream, handshake
from probes.trace import Stage, Trace
from storage.failures import Failure
from storage.records import Handshake, digest
from tests.loopback import Handler, serving, trace

YEAR = 365 * 86400.0


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def judge(authority: trustme.CA, tmp_path: Path) -> CertificateJudge:
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(roots))
    return CertificateJudge(str(roots))


@pytest.fixture
def server(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("watched.example", "*.wild.example").configure_cert(context)
    return context


async def _until_the_client_leaves(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await reader.read()


async def shake(
    port: int,
    judge: CertificateJudge,
    name: str | None = "watched.example",
    offset: float = 0.0,
    timeout: float = 3.0,
) -> tuple[Handshake, TlsStream | None, Trace]:
    found = trace()
    connection = await connect(found, Stage(), "127.0.0.1", port, 3.0)
    assert connection is not None
    stream = await handshake(found, Stage(), connection, name, timeout, judge, offset)
    if stream is not None:
        stream.close()
    step = found.steps[-1]
    assert isinstance(step, Handshake)
    return step, stream, found


async def test_a_good_handshake_keeps_its_chain(
    server: ssl.SSLContext, judge: CertificateJudge
) -> None:
    async with serving(_until_the_client_leaves, server) as port:
        step, stream, found = await shake(port, judge)
    assert (step.valid, step.failure, step.version) == (True, None, "TLSv1.3")
    assert stream is not None
    assert stream.valid
    assert step.chain[0].names == ["watched.example", "*.wild.example"]
    for certificate in step.chain:
        assert digest(found.blobs["sha256:" + certificate.sha256]) == "sha256:" + certificate.sha256
    assert step.hello_bytes is not None
    assert step.hello_bytes > 200
    assert step.acknowledged


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("WATCHED.example", True),
        ("a.wild.example", True),
        ("a.b.wild.example", False),
        ("wild.example", False),
        ("other.example", False),
    ],
)
async def test_the_name_on_the_certificate_is_compared(
    server: ssl.SSLContext, judge: CertificateJudge, name: str, valid: bool
) -> None:
    async with serving(_until_the_client_leaves, server) as port:
        step, _, _ = await shake(port, judge, name)
    assert step.valid is valid
    assert step.failure == (None if valid else Failure.TLS_INVALID_HOSTNAME)


def test_one_judge_judges_at_every_time_that_it_is_asked_about(
    authority: trustme.CA, judge: CertificateJudge
) -> None:
    """As a daemon does that runs for longer than certificates live, or after its clock was set."""
    now = datetime(2026, 11, 20, tzinfo=UTC)
    issued = authority.issue_cert(
        "watched.example", not_before=now, not_after=now + timedelta(days=90)
    )
    chain = [x509.load_pem_x509_certificate(pem.bytes()) for pem in issued.cert_chain_pems]
    ders = [certificate.public_bytes(Encoding.DER) for certificate in chain]
    days = [-1, 1, 89, 91, 1]
    said = [judge.judge(ders, "watched.example", now.timestamp() + 86400 * day) for day in days]
    assert [verdict.valid for verdict in said] == [False, True, True, False, True]
    assert said[0].failure == said[3].failure == Failure.TLS_INVALID_CERTIFICATE


async def test_an_unknown_authority_is_named_and_its_chain_kept(judge: CertificateJudge) -> None:
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA(organization_name="Nobody").issue_cert("watched.example").configure_cert(stranger)
    async with serving(_until_the_client_leaves, stranger) as port:
        step, stream, _ = await shake(port, judge)
    assert step.failure == Failure.TLS_UNKNOWN_AUTHORITY
    assert step.valid is False
    assert "Nobody" in (step.chain[0].issuer or "")
    assert stream is not None
    assert not stream.valid


async def test_a_chain_is_judged_at_the_corrected_time(
    server: ssl.SSLContext, judge: CertificateJudge
) -> None:
    async with serving(_until_the_client_leaves, server) as port:
        step, _, _ = await shake(port, judge, offset=-40 * YEAR)
    assert step.failure == Failure.TLS_INVALID_CERTIFICATE
    assert "not yet valid" in (step.invalid_because or "")


async def test_no_server_name_is_sent_when_none_is_asked_for(
    server: ssl.SSLContext, judge: CertificateJudge
) -> None:
    async with serving(_until_the_client_leaves, server) as port:
        step, _, _ = await shake(port, judge, name=None)
    assert step.server_name is None
    assert step.bytes_received


def _resetting() -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return handler


def _saying(data: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return handler


UNRECOGNIZED_NAME = 112
ALERT = bytes([21, 3, 3, 0, 2, 2, UNRECOGNIZED_NAME])


@pytest.mark.parametrize(
    ("handler", "failure", "alert"),
    [
        (_resetting(), Failure.CONNECTION_RESET, None),
        (_saying(b""), Failure.EOF, None),
        (_saying(b"HTTP/1.1 403 Forbidden\r\n\r\n"), Failure.TLS_NOT_TLS, None),
        (_saying(ALERT), Failure.TLS_ALERT, UNRECOGNIZED_NAME),
        (_saying(bytes([22, 3, 3, 0, 4, 9, 9, 9, 9])), Failure.TLS_FAILED, None),
    ],
    ids=["reset", "closed", "plain-http", "alert", "garbage"],
)
async def test_each_way_to_fail_has_its_own_failure(
    judge: CertificateJudge, handler: Handler, failure: Failure, alert: int | None
) -> None:
    async with serving(handler) as port:
        step, stream, _ = await shake(port, judge)
    assert stream is None
    assert step.failure == failure
    assert step.alert == alert
    assert step.valid is None


async def test_a_silent_server_that_acknowledged_is_told_from_a_swallowed_hello(
    judge: CertificateJudge,
) -> None:
    async with serving(_until_the_client_leaves) as port:
        step, _, _ = await shake(port, judge, timeout=0.3)
    assert step.failure == Failure.TIMEOUT
    assert step.acknowledged is True
    assert step.bytes_received == 0


async def test_an_endless_handshake_is_cut_off(judge: CertificateJudge) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        # A handshake record that announces a message of 16 MB and never ends.
        record = bytes([22, 3, 3, 0x40, 0]) + bytes([2, 0xFF, 0xFF, 0xFF]) + b"\0" * (0x4000 - 4)
        while True:
            writer.write(record)
            await writer.drain()

    async with serving(endless) as port:
        step, _, _ = await shake(port, judge)
    assert step.failure == Failure.TLS_FAILED


def test_roots_that_cannot_be_read_are_one_clear_error(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text("no certificate")
    with pytest.raises(RootsError, match=r"roots\.pem"):
        CertificateJudge(str(roots))
