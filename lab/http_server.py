"""A small HTTP/1.1 server over h11, in clear or over TLS; what it answers is a function."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import h11

from lab.described import TlsManner
from lab.http2_server import converse2
from lab.messages import BreakOff, Request, Respond, Response, host_of
from lab.tls_front import Converse

_IDLE_SECONDS = 20.0
_HANDSHAKE_SECONDS = 60.0  # as nginx has it; walks take longer than ten
_LARGEST_BODY = 1 << 20
_READ_BYTES = 65536
_NOT_HTTP = b"HTTP/1.1 400 Bad Request\r\nServer: lab\r\nConnection: close\r\n\r\n"


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
        with contextlib.suppress(OSError, TimeoutError):
            tls = writer.get_extra_info("ssl_object")
            try:
                if tls is not None and tls.selected_alpn_protocol() == "h2":
                    await converse2(respond, reader, writer)
                else:
                    await _converse(respond, reader, writer, secure)
            except BreakOff as broken:
                if broken.args == (True,):
                    reset = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, reset
                    )
                    writer.transport.abort()
            except h11.RemoteProtocolError:
                writer.write(_NOT_HTTP)
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
        await _answer(connection, writer, request, await respond(request))
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
            host = host_of(dict(head.headers).get(b"host", b"").decode("latin-1"))
            method, target = head.method.decode("latin-1"), head.target.decode("latin-1")
            return Request(method, host, target, body, visitor, secure)
        else:
            return None


async def _answer(
    connection: h11.Connection,
    writer: asyncio.StreamWriter,
    request: Request,
    response: Response,
) -> None:
    headers = list(response.all_headers().items())
    phrase = _phrase(response.status).encode()
    head = h11.Response(status_code=response.status, headers=headers, reason=phrase)
    data = connection.send(head) or b""
    if response.stream is not None and request.method != "HEAD":
        writer.write(data)
        data = b""
        async for piece in response.stream():
            writer.write(connection.send(h11.Data(data=piece)) or b"")
            await writer.drain()
    elif request.method != "HEAD":
        data += connection.send(h11.Data(data=response.body)) or b""
    writer.write(data + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # numbers that only some companies use, such as 522
        return ""


def server_context(
    certificate: Path, *, manner: TlsManner = "usual", protocols: Sequence[str] = ("http/1.1",)
) -> ssl.SSLContext:
    """Return a server's TLS context; `protocols` are offered by ALPN, the best first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(list(protocols))
    context.num_tickets = 0  # nobody comes back to resume a session
    if manner == "old":
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    elif manner == "no-common-cipher":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("aRSA")  # the lab's keys are of elliptic curves
    return context


def choosing_by_name(contexts: dict[str, ssl.SSLContext], default: str) -> ssl.SSLContext:
    """Return a context that gives way to the one for the name asked for, if there is one."""
    first = contexts[default]

    def choose(
        connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = contexts.get((name or "").lower(), first)

    first.sni_callback = choose
    return first
