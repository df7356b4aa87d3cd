"""One QUIC handshake of a plain client inside a world, by aioquic (the extra `quic`)."""

from __future__ import annotations

import asyncio

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent


class _Client(QuicConnectionProtocol):
    """Notes how the handshake ends.

    To wait for aioquic's own `wait_connected` and give up would leave an exception that nobody
    retrieves, and that is printed when the interpreter ends.
    """

    outcome: asyncio.Future[str] | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if self.outcome is None or self.outcome.done():
            return
        if isinstance(event, HandshakeCompleted):
            self.outcome.set_result("ok")
        elif isinstance(event, ConnectionTerminated):
            self.outcome.set_result("closed")


async def shake_quic(address: str, name: str, patience: float) -> str:
    """Shake hands once: "ok", "timeout" after so many seconds, "closed" where the peer ends it."""
    configuration = QuicConfiguration(alpn_protocols=["h3"], server_name=name)
    configuration.load_verify_locations("/etc/ssl/certs/ca-certificates.crt")
    async with connect(
        address, 443, configuration=configuration, create_protocol=_Client, wait_connected=False
    ) as client:
        assert isinstance(client, _Client)
        client.outcome = asyncio.get_running_loop().create_future()
        client.transmit()
        try:
            async with asyncio.timeout(patience):
                return await client.outcome
        except TimeoutError:
            return "timeout"
