"""One GET over a connection that is already there."""

from __future__ import annotations

import asyncio
from typing import TypeAlias
from urllib.parse import SplitResult

import h11

_LARGEST_PAGE = 1 << 20

Headers: TypeAlias = list[tuple[str, str]]


async def get(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: SplitResult, headers: Headers
) -> tuple[int, Headers, bytes]:
    """Send one GET over a connection and return status, headers and body.

    Raises OSError, EOFError or h11.RemoteProtocolError.
    """
    connection = h11.Connection(h11.CLIENT)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    request = h11.Request(
        method="GET",
        target=target,
        headers=[("Host", url.netloc), *headers, ("Connection", "close")],
    )
    sent = (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
    writer.write(sent)
    status, received, body = 0, [], b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
            received = [
                (name.decode("latin-1").title(), value.decode("latin-1"))
                for name, value in event.headers
            ]
        elif isinstance(event, h11.Data):
            body += event.data
        if isinstance(event, h11.EndOfMessage) or len(body) > _LARGEST_PAGE:
            return status, received, body
        if isinstance(event, h11.ConnectionClosed):
            raise EOFError
