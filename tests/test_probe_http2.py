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
import msgspec
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
    handler: Handler, tls: ssl.SSLContext, judge: CertificateJudge, timeout: float = 2.0
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
                timeout=timeout,
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


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 1) -> bytes:
    """Return a frame (RFC 9113 section 4.1)."""
    head = len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4)
    return head + payload


DATA, HEADERS, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = (0, 1, *range(3, 10))
END_STREAM, END_HEADERS, ACK = 1, 4, 1
HELLO = frame(SETTINGS, stream=0)


def literal(name: bytes, value: bytes) -> bytes:
    """Return a header field, literal and never indexed (RFC 7541 section 6.2.3)."""
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


OK = b"\x88"  # :status 200, of the static table


def headers(block: bytes, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, block, flags=flags)


# What comes at once, and what is then repeated without end.
HOSTILE: dict[str, tuple[bytes, bytes]] = {
    "settings without end": (HELLO, HELLO),
    "pings without end": (HELLO, frame(PING, b"12345678", stream=0)),
    "continuations without end": (
        HELLO + headers(OK, 0),
        frame(CONTINUATION, literal(b"x", b"y" * 100)),
    ),
    "interim replies without end": (HELLO, headers(literal(b":status", b"103"))),
    "a bomb of headers": (
        HELLO + headers(b"\x40\x01a\x7f\x01" + b"b" * 128 + b"\xbe" * 16000),
        b"",
    ),
    "a status in words": (HELLO + headers(literal(b":status", b"abc")), b""),
    "an empty status": (HELLO + headers(literal(b":status", b"")), b""),
    "a status of ten digits": (HELLO + headers(literal(b":status", b"2000000000")), b""),
    "a negative status": (HELLO + headers(literal(b":status", b"-20")), b""),
    "two statuses": (HELLO + headers(OK + OK), b""),
    "no status": (HELLO + headers(literal(b"a", b"b")), b""),
    "NUL and escapes": (HELLO + headers(OK + literal(b"a", b"\0\x1b[2J"), 5), b""),
    "a name that is no text": (HELLO + headers(OK + literal(b"\xff\xfe", b"b"), 5), b""),
    "a broken block": (HELLO + headers(b"\xff\xff\xff\xff\xff\xff\xff\xff"), b""),
    "data before headers": (HELLO + frame(DATA, b"x"), b""),
    "data without end on no stream": (HELLO, frame(DATA, b"x" * 100, stream=0)),
    "a promise": (HELLO + frame(PUSH, (2).to_bytes(4) + OK, flags=END_HEADERS), b""),
    "a window beyond all": (HELLO + frame(WINDOW, b"\x7f\xff\xff\xff"), b""),
    "a window of nothing": (HELLO + frame(WINDOW, b"\0\0\0\0", stream=0), b""),
    "a frame too long": (HELLO + b"\xff\xff\xff" + bytes(6), b"x" * 1000),
    "resets without end": (HELLO, frame(RESET, bytes(4))),
    "an end for another": (HELLO + frame(GOAWAY, bytes(8), stream=0), b""),
    "unknown frames without end": (HELLO, frame(99, b"x" * 100)),
    "two lengths": (
        HELLO
        + headers(OK + literal(b"content-length", b"5") + literal(b"content-length", b"7"))
        + frame(DATA, b"hello", flags=END_STREAM),
        b"",
    ),
    "another length": (
        HELLO + headers(OK + literal(b"content-length", b"5")) + frame(DATA, b"x" * 99, flags=1),
        b"",
    ),
}


@pytest.mark.parametrize(("first", "then"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_frames_leave_a_bounded_step(
    authority: trustme.CA, judge: CertificateJudge, first: bytes, then: bytes
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(first)
        await writer.drain()
        while then:
            writer.write(then * 20)
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read()

    _, step = await fetch(handler, context(authority, "h2"), judge, 0.5)
    assert step.failure != Failure.UNKNOWN
    assert step.status in (None, 200)
    assert step.failure is not None or step.status is not None
    assert len(step.headers) <= 200
    assert len(msgspec.json.encode(step)) < 100_000


@pytest.mark.parametrize("name", [each for each in HOSTILE if "status" in each])
async def test_a_reply_without_a_proper_status_is_none(
    authority: trustme.CA, judge: CertificateJudge, name: str
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(HOSTILE[name][0])
        await reader.read()

    _, step = await fetch(handler, context(authority, "h2"), judge)
    assert (step.status, step.failure) == (None, Failure.HTTP_MALFORMED)


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
