"""A small HTTP/1.1 server over h11, in clear or over TLS; what it answers is a function."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TypeAlias

import h11

from lab.tls_front import Converse

_IDLE_SECONDS = 20.0
_HANDSHAKE_SECONDS = 10.0
_LARGEST_BODY = 1 << 20
_READ_BYTES = 65536


@dataclass(frozen=True)
class Request:
    """A request as it arrived: host without port and in lower case, target as sent."""

    method: str
    host: str
    target: str
    body: bytes
    visitor: str  # address
    secure: bool


@dataclass(frozen=True)
class Response:
    """What to answer; length and Connection headers are added."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Respond: TypeAlias = Callable[[Request], Awaitable[Response]]


async def serve_http(
    respond: Respond, address: str, port: int, tls: ssl.SSLContext | None = None
) -> None:
    """Begin to serve at `address:port`."""
    handle = converse_over(respond, secure=tls is not None)
    if tls is None:
        await asyncio.start_server(handle, address, port, backlog=256)
        return
    await asyncio.start_server(
        handle,
        address,
        port,
        backlog=256,
        ssl=tls,
        ssl_handshake_timeout=_HANDSHAKE_SECONDS,
        ssl_shutdown_timeout=1.0,
    )


def converse_over(respond: Respond, *, secure: bool) -> Converse:
    """Return a handler of connections that answers the requests on them."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A connection that a client or a censor breaks off is no failure of the server's.
        with contextlib.suppress(OSError, TimeoutError, h11.RemoteProtocolError):
            await _converse(respond, reader, writer, secure)
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await writer.wait_closed()

    return handle


async def _converse(
    respond: Respond, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secure: bool
) -> None:
    """Answer requests on one connection until one side has had enough."""
    connection = h11.Connection(h11.SERVER)
    visitor = writer.get_extra_info("peername")[0]
    while True:
        async with asyncio.timeout(_IDLE_SECONDS):
            request = await _read(connection, reader, visitor, secure)
            if request is None:
                return
            response = await respond(request)
            _write(connection, writer, request, response)
            await writer.drain()
        if connection.our_state is h11.MUST_CLOSE:
            return
        connection.start_next_cycle()


async def _read(
    connection: h11.Connection, reader: asyncio.StreamReader, visitor: str, secure: bool
) -> Request | None:
    """Return the next request with its body; None when the client has closed."""
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _LARGEST_BODY:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            host = dict(head.headers).get(b"host", b"").decode("latin-1").lower()
            method, target = head.method.decode("latin-1"), head.target.decode("latin-1")
            return Request(method, host.partition(":")[0], target, body, visitor, secure)
        else:
            return None


def _write(
    connection: h11.Connection,
    writer: asyncio.StreamWriter,
    request: Request,
    response: Response,
) -> None:
    headers = {"Server": "lab", **response.headers, "Content-Length": str(len(response.body))}
    phrase = HTTPStatus(response.status).phrase.encode()
    head = h11.Response(status_code=response.status, headers=list(headers.items()), reason=phrase)
    data = connection.send(head)
    if request.method != "HEAD":
        data = (data or b"") + (connection.send(h11.Data(data=response.body)) or b"")
    writer.write((data or b"") + (connection.send(h11.EndOfMessage()) or b""))


def tls_context(certificates: Mapping[str, Path], default: str) -> ssl.SSLContext:
    """Return a server's TLS context: `certificates` by name, the default for unknown names."""
    contexts = {name: _context(path) for name, path in certificates.items()}
    first = contexts[default]

    def choose(
        connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = contexts.get((name or "").lower(), first)

    first.sni_callback = choose
    return first


def _context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 0  # nobody comes back to resume a session
    return context
