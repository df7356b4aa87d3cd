"""HTTP/3 over aioquic (the extra `quic`); what is answered is the same function as for HTTP/1.1."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, QuicEvent

from lab.messages import BreakOff, Request, Respond, host_of

_LARGEST_BODY = 1 << 20


async def serve_http3(respond: Respond, address: str, certificate: Path) -> None:
    """Begin to serve at UDP port 443 of an address. Unknown names get the same certificate."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(certificate, certificate)

    def create(*arguments: Any, **named: Any) -> QuicConnectionProtocol:
        return _Conversation(respond, *arguments, **named)

    await serve(address, 443, configuration=configuration, create_protocol=create)


class _Conversation(QuicConnectionProtocol):
    """One client's connection."""

    def __init__(self, respond: Respond, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._respond = respond
        self._http: H3Connection | None = None
        self._heads: dict[int, Mapping[str, str]] = {}
        self._bodies: dict[int, bytes] = {}
        self._answering: set[asyncio.Task[None]] = set()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        elif isinstance(event, ConnectionTerminated):
            for task in self._answering:
                task.cancel()
        if self._http is not None:
            for found in self._http.handle_event(event):
                self._take(found)

    def _take(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            head = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers
            }
            self._heads[event.stream_id] = head
            self._bodies[event.stream_id] = b""
        elif isinstance(event, DataReceived):
            self._bodies[event.stream_id] += event.data
            if len(self._bodies[event.stream_id]) > _LARGEST_BODY:
                self.close()
        if isinstance(event, HeadersReceived | DataReceived) and event.stream_ended:
            task = asyncio.create_task(self._answer(event.stream_id))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, stream: int) -> None:
        assert self._http is not None
        head, body = self._heads.pop(stream), self._bodies.pop(stream)
        visitor = self._quic._network_paths[0].addr[0]  # aioquic has no public way to ask
        request = Request(
            method=head.get(":method", ""),
            host=host_of(head.get(":authority", "")),
            target=head.get(":path", "/"),
            body=body,
            visitor=visitor,
            secure=True,
        )
        response = await self._respond(request)
        headers = [(b":status", str(response.status).encode())]
        headers += [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in response.all_headers().items()
        ]
        self._http.send_headers(stream, headers)
        try:
            if response.stream is None:
                self._http.send_data(stream, response.body, False)
            else:
                async for piece in response.stream():
                    self._http.send_data(stream, piece, False)
                    self.transmit()
                    await asyncio.sleep(0.01)
        except BreakOff:
            self.close()
            return
        self._http.send_data(stream, b"", True)
        self.transmit()
