"""A TLS server that reads the ClientHello first and then decides what to make of it.

The decision may be a context to shake hands with, or a rudeness: a reset, an alert, silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple, TypeAlias

from lab.readable import server_name

_HELLO_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.005
_SILENT_SECONDS = 300.0
_MOST_BYTES = 65536
_ALERT_RECORD = struct.pack("!BHHBB", 21, 0x0303, 2, 2, 112)  # fatal, unrecognized_name
_BACKLOG = 256

Converse: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Rudeness: TypeAlias = Literal["reset", "close", "alert", "silence"]


class Hello(NamedTuple):
    """Who wants to talk: the name asked for ("" where none), and both addresses."""

    name: str
    visitor: str
    destination: str


class Accept(NamedTuple):
    """Shake hands with this context; then let `converse` have the connection."""

    context: ssl.SSLContext
    converse: Converse


Choose: TypeAlias = Callable[[Hello], Awaitable[Accept | Rudeness]]


def listen(address: str, port: int, *, transparent: bool = False) -> socket.socket:
    """Return a listening socket; a transparent one takes connections to any address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if transparent:
        listener.setsockopt(socket.IPPROTO_IP, _TRANSPARENT, 1)
    listener.bind((address, port))
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


_TRANSPARENT = 19  # IP_TRANSPARENT, which the socket module does not know


def serve_chosen(listener: socket.socket, choose: Choose) -> asyncio.Task[None]:
    """Begin to serve what a socket accepts, each connection as `choose` says."""
    return asyncio.create_task(_accept(listener, choose))


async def _accept(listener: socket.socket, choose: Choose) -> None:
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    while True:
        accepted, _ = await loop.sock_accept(listener)
        task = loop.create_task(serve_one(accepted, choose))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def serve_one(accepted: socket.socket, choose: Choose) -> None:
    """Serve one accepted connection as `choose` says, and close it."""
    # A connection that a client or a censor breaks off is no failure of the server's.
    with accepted, contextlib.suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(_HELLO_SECONDS):
            name = await peek_name(accepted)
        hello = Hello(name, accepted.getpeername()[0], accepted.getsockname()[0])
        decision = await choose(hello)
        if isinstance(decision, Accept):
            refusal = _refusal(decision.context, accepted.recv(_MOST_BYTES, socket.MSG_PEEK))
            if refusal:
                await _close_with(accepted, refusal)
                return
            await _shake_and_converse(accepted, decision)
        else:
            await _be_rude(accepted, decision)


async def peek_name(accepted: socket.socket) -> str:
    """Return the server name in a connection's ClientHello, leaving its bytes where they are.

    "" where there is no name. Raises EOFError when the client closes before it is complete.
    """
    while True:
        await _readable(accepted)
        data = accepted.recv(_MOST_BYTES, socket.MSG_PEEK)
        if not data:
            raise EOFError
        name = server_name(data) if data[0] == 22 else ""
        if name is not None or len(data) == _MOST_BYTES:
            return name or ""
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


def _refusal(context: ssl.SSLContext, hello: bytes) -> bytes:
    """Return the alert with which a context refuses a ClientHello; empty where it does not.

    asyncio loses the alert of a handshake that fails, so the beginning is tried out here.
    """
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    received.write(hello)
    trial = context.wrap_bio(received, sent, server_side=True)
    try:
        trial.do_handshake()
    except ssl.SSLWantReadError:
        return b""
    except ssl.SSLError:
        return sent.read()
    return b""


async def _readable(accepted: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(accepted, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(accepted)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _shake_and_converse(accepted: socket.socket, decision: Accept) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol,
        accepted.dup(),
        ssl=decision.context,
        ssl_handshake_timeout=_HELLO_SECONDS,
        ssl_shutdown_timeout=1.0,
    )
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        await decision.converse(reader, writer)
    finally:
        writer.close()


async def _be_rude(accepted: socket.socket, how: Rudeness) -> None:
    if how == "silence":
        await asyncio.sleep(_SILENT_SECONDS)
    elif how == "reset":
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        await _close_with(accepted, _ALERT_RECORD if how == "alert" else b"")


async def _close_with(accepted: socket.socket, last_words: bytes) -> None:
    accepted.recv(_MOST_BYTES)  # what is unread when a socket closes becomes a reset
    accepted.send(last_words)
    accepted.shutdown(socket.SHUT_WR)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            await _readable(accepted)
