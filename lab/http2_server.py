"""HTTP/2 on one connection over h2; what is answered is the same function as for HTTP/1.1."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from lab.messages import Request, Respond, Response, host_of

_IDLE_SECONDS = 20.0
_READ_BYTES = 65536
_LARGEST_BODY = 1 << 20


async def converse2(
    respond: Respond, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer requests until one side has had enough. Raises OSError and BreakOff."""
    await _Conversation(respond, reader, writer).run()


class _Conversation:
    def __init__(
        self, respond: Respond, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._respond, self._reader, self._writer = respond, reader, writer
        self._visitor = writer.get_extra_info("peername")[0]
        configuration = H2Configuration(client_side=False, header_encoding="latin-1")
        self._h2 = H2Connection(config=configuration)
        self._heads: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytes] = {}
        self._answering: dict[int, asyncio.Task[None]] = {}
        self._reading: asyncio.Future[bytes] | None = None
        self._window_grew = asyncio.Event()

    async def run(self) -> None:
        self._h2.initiate_connection()
        self._flush()
        try:
            while await self._receive():
                pass
        finally:
            for task in (self._reading, *self._answering.values()):
                if task is not None:
                    task.cancel()

    async def _receive(self) -> bool:
        """Take in what the client sends next; False when the conversation is over."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._reader.read(_READ_BYTES))
        waited_for: set[asyncio.Future[Any]] = {self._reading, *self._answering.values()}
        patience = None if self._answering else _IDLE_SECONDS
        done, _ = await asyncio.wait(
            waited_for, timeout=patience, return_when=asyncio.FIRST_COMPLETED
        )
        for stream, task in list(self._answering.items()):
            if task.done():
                del self._answering[stream]
                task.result()  # BreakOff is for all of the connection
        if self._reading not in done:
            return bool(done)
        data = self._reading.result()
        self._reading = None
        return bool(data) and self._take_all(data)

    def _take_all(self, data: bytes) -> bool:
        try:
            events = self._h2.receive_data(data)
        except ProtocolError:
            events = []
        goes_on = bool(events) and all(self._take(event) for event in events)
        self._flush()
        return goes_on

    def _take(self, event: object) -> bool:
        if isinstance(event, RequestReceived):
            self._heads[event.stream_id] = {str(k): str(v) for k, v in event.headers}
            self._bodies[event.stream_id] = b""
        elif isinstance(event, DataReceived):
            self._bodies[event.stream_id] += event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            return len(self._bodies[event.stream_id]) <= _LARGEST_BODY
        elif isinstance(event, StreamEnded):
            answering = asyncio.create_task(self._answer(event.stream_id))
            self._answering[event.stream_id] = answering
        elif isinstance(event, WindowUpdated):
            self._window_grew.set()
        elif isinstance(event, StreamReset):
            task = self._answering.pop(event.stream_id, None)
            if task is not None:
                task.cancel()
        return not isinstance(event, ConnectionTerminated)

    async def _answer(self, stream: int) -> None:
        head = self._heads.pop(stream)
        request = Request(
            method=head.get(":method", ""),
            host=host_of(head.get(":authority", head.get("host", ""))),
            target=head.get(":path", "/"),
            body=self._bodies.pop(stream),
            visitor=self._visitor,
            secure=True,
        )
        response = await self._respond(request)
        # A stream that the client has closed meanwhile wants no answer.
        with contextlib.suppress(ProtocolError):
            await self._send(stream, request, response)

    async def _send(self, stream: int, request: Request, response: Response) -> None:
        headers = [(name.lower(), value) for name, value in response.all_headers().items()]
        has_body = request.method != "HEAD"
        self._h2.send_headers(stream, [(":status", str(response.status)), *headers])
        if response.stream is None:
            await self._send_data(stream, response.body if has_body else b"")
        elif has_body:
            async for piece in response.stream():
                await self._send_data(stream, piece)
        self._h2.end_stream(stream)
        self._flush()

    async def _send_data(self, stream: int, data: bytes) -> None:
        while data:
            room = self._h2.local_flow_control_window(stream)
            size = min(room, self._h2.max_outbound_frame_size, len(data))
            if size <= 0:
                self._window_grew.clear()
                await self._window_grew.wait()
                continue
            self._h2.send_data(stream, data[:size])
            data = data[size:]
            self._flush()
            await self._writer.drain()

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
