"""Small hostile servers on loopback for the tests of single probe steps."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from probes.clock import SystemClock
from probes.own import OwnAddresses
from probes.trace import Trace

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def trace() -> Trace:
    """Return an empty trace on the machine's clock."""
    return Trace(SystemClock(), OwnAddresses())


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a free port of 127.0.0.1 and yield the port."""

    running: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client has gone; that is its right
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=tls)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        if running:  # let handlers meet the end of their connections
            await asyncio.wait(running, timeout=2)


def answering(data: bytes, *, then: str = "close") -> Handler:
    """Return a handler that reads a request and sends `data`; then it closes or keeps silent."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        if then == "silence":
            await reader.read()

    return handler
