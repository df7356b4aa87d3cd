"""HTTP/2 over the connection whose facts were taken, against a server on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import trustme

from probes.certificates import CertificateJudge
from probes.http import CAP_INSIDE_VALID_TLS, SingleConnection, exchange
from probes.tcp import connect
from probes.tls import handshake
from probes.trace import Stage
from storage.failures import Failure
from storage.records import Exchange, Handshake
from tests.loopback import Handler, serving, trace

Respond = Callable[[h2.connection.H2Connection, int], None]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def judge(authority: trustme.CA, tmp_path: Path) -> CertificateJudge:
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(roots))
    return CertificateJudge(str(roots))


def context(authority: trustme.CA, *protocols: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("watched.example").configure_cert(made)
    made.set_alpn_protocols(list(protocols))
    return made


def speaking(respond: Respond) -> Handler:
    """Return a handler that speaks HTTP/2 and lets `respond` answer the first request."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = h2.config.H2Configuration(client_side=False)
        server = h2.connection.H2Connection(config)
        server.initiate_connection()
        writer.write(server.data_to_send())
        while data := await reader.read(65536):
            for event in server.receive_data(data):
                if isinstance(event, h2.events.RequestReceived) and event.stream_id:
                    respond(server, event.stream_id)
            writer.write(server.data_to_send())

    return handler


async def fetch(
    handler: Handler, tls: ssl.SSLContext, judge: CertificateJudge
) -> tuple[Handshake, Exchange]:
    found = trace()
    async with serving(handler, tls) as port:
        url = f"https://watched.example:{port}/"
        connection = await connect(found, Stage(), "127.0.0.1", port, 3.0)
        assert connection is not None
        stream = await handshake(found, Stage(), connection, "watched.example", 3.0, judge, 0.0)
        assert stream is not None
        transport = SingleConnection(url, stream)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            await exchange(
                found,
                Stage(),
                client,
                client.build_request("GET", url),
                connection.number,
                "127.0.0.1",
                timeout=2.0,
                trusted=True,
                protocol=transport.protocol,
            )
        stream.close()
    shaken, exchanged = found.steps[1], found.steps[2]
    assert isinstance(shaken, Handshake)
    assert isinstance(exchanged, Exchange)
    return shaken, exchanged


async def test_a_page_comes_over_http2_where_the_server_speaks_it(
    authority: trustme.CA, judge: CertificateJudge
) -> None:
    def respond(server: h2.connection.H2Connection, stream: int) -> None:
        server.send_headers(stream, [(":status", "200"), ("content-language", "kk")])
        server.send_data(stream, b"<title>Hello</title>", end_stream=True)

    shaken, step = await fetch(speaking(respond), context(authority, "h2"), judge)
    assert shaken.alpn == "h2"
    assert (step.protocol, step.status, step.title, step.failure) == ("h2", 200, "Hello", None)
    assert step.language == "kk"
    assert step.received_bytes == 20
    assert step.first_byte_us is not None
    assert step.last_byte_us is not None
    assert step.first_byte_us <= step.last_byte_us <= step.duration_us


async def test_a_body_without_end_is_cut_at_the_cap(
    authority: trustme.CA, judge: CertificateJudge
) -> None:
    def respond(server: h2.connection.H2Connection, stream: int) -> None:
        server.send_headers(stream, [(":status", "200")])
        while server.local_flow_control_window(stream) >= 16384:
            server.send_data(stream, b"x" * 16384)

    _, step = await fetch(speaking(respond), context(authority, "h2"), judge)
    assert (step.truncated, step.body_bytes) == (True, CAP_INSIDE_VALID_TLS)


@pytest.mark.parametrize(
    ("respond", "failure"),
    [
        (lambda server, stream: server.reset_stream(stream, 2), Failure.HTTP_MALFORMED),
        (lambda server, stream: server.close_connection(), Failure.HTTP_MALFORMED),
        (lambda server, stream: None, Failure.TIMEOUT),
    ],
    ids=["stream reset", "goaway", "silence"],
)
async def test_what_goes_wrong_has_a_failure(
    authority: trustme.CA, judge: CertificateJudge, respond: Respond, failure: Failure
) -> None:
    _, step = await fetch(speaking(respond), context(authority, "h2"), judge)
    assert step.status is None
    assert step.failure == failure


async def test_what_is_no_http2_at_all_is_malformed(
    authority: trustme.CA, judge: CertificateJudge
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nthis is something else " * 10)
        await writer.drain()

    _, step = await fetch(handler, context(authority, "h2"), judge)
    assert step.status is None
    assert step.failure in {Failure.HTTP_MALFORMED, Failure.EOF, Failure.CONNECTION_RESET}


async def test_a_server_without_http2_is_asked_over_http1(
    authority: trustme.CA, judge: CertificateJudge
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        await reader.read()

    shaken, step = await fetch(handler, context(authority, "http/1.1"), judge)
    assert (shaken.alpn, step.protocol, step.status) == ("http/1.1", "http/1.1", 204)
