"""One DNS question over UDP; dnspython's own way would load QUIC into every world."""

from __future__ import annotations

import asyncio
from typing import cast

import dns.exception
import dns.message


async def ask(
    query: dns.message.Message, server: str, *, source: str, timeout: float
) -> dns.message.Message:
    """Return the first reply to a question. Raises OSError, with TimeoutError among it."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Asking(query, loop.create_future()),
        local_addr=(source, 0),
        remote_addr=(server, 53),
    )
    try:
        async with asyncio.timeout(timeout):
            return await protocol.reply
    finally:
        transport.close()


class _Asking(asyncio.DatagramProtocol):
    """Sends a question and waits for what answers it."""

    def __init__(
        self, query: dns.message.Message, reply: asyncio.Future[dns.message.Message]
    ) -> None:
        self._query = query
        self.reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.DatagramTransport, transport).sendto(self._query.to_wire())

    def datagram_received(self, data: bytes, _sender: object) -> None:
        try:
            reply = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return  # a true one may still come
        if self._query.is_response(reply) and not self.reply.done():
            self.reply.set_result(reply)

    def error_received(self, error: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)
