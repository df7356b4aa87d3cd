"""Exchange: one HTTP request over a connection whose facts were taken, bounded in every way."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import h2.events
import httpcore
import httpx

from probes.errors import NETWORK_ERRORS, failure_of
from probes.redirects import REDIRECTS, redirect_failure
from probes.text import language_of, simhash_of, title_of
from probes.told import learn_from_page
from probes.trace import Stage, Stopwatch, Trace
from storage.failures import Failure
from storage.records import Exchange

CAP_INSIDE_VALID_TLS = 32 * 1024  # enough to see a freeze at 16 to 20 KB
CAP_OTHERWISE = 256 * 1024
_MOST_HEADERS = 200
_STATUS = re.compile(rb"[1-9][0-9]{2}")
_LARGEST_INTEGER = 2**53 - 1  # what canonical JSON can hold


class ByteStream(Protocol):
    """What TLS streams and plain connections have in common."""

    @property
    def http2(self) -> bool: ...

    def wire_received(self) -> int: ...

    async def send(self, data: bytes) -> None: ...

    async def receive(self, most: int = 65536) -> bytes: ...

    def close(self) -> None: ...


class _NetworkStream(httpcore.AsyncNetworkStream):
    """Our stream in the shape that httpcore's connections work on."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.receive(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.send(buffer)

    async def aclose(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return None


class _Body(httpx.AsyncByteStream):
    """The undecoded body of a response of httpcore, as httpx wants it."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._response.aiter_stream():
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()


class _Http2Connection(httpcore.AsyncHTTP2Connection):
    """Takes no reply without a proper status, which httpcore calls a 200 or stumbles over."""

    async def _receive_stream_event(self, request: httpcore.Request, stream_id: int) -> Any:
        event = await super()._receive_stream_event(request, stream_id)
        if isinstance(event, h2.events.ResponseReceived):
            given = [value for name, value in event.headers or () if name == b":status"]
            if len(given) != 1 or not _STATUS.fullmatch(given[0]):
                raise httpcore.RemoteProtocolError("a reply without a status")
        return event


class SingleConnection(httpx.AsyncBaseTransport):
    """An httpx transport that has exactly one open connection and never opens another."""

    def __init__(self, url: str, stream: ByteStream) -> None:
        target = httpx.URL(url)
        origin = httpcore.Origin(
            target.raw_scheme, target.raw_host, target.port or _default_port(target.scheme)
        )
        kind = _Http2Connection if stream.http2 else httpcore.AsyncHTTP11Connection
        self._connection = kind(origin, _NetworkStream(stream))
        self.protocol = "h2" if stream.http2 else "http/1.1"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._connection.handle_async_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions={},  # deadlines are ours
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    async def aclose(self) -> None:
        await self._connection.aclose()


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


@dataclass
class Reply:
    """What came back so far; filled while it arrives, so that a stall leaves what was there."""

    status: int | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    truncated: bool = False
    first_byte_us: int | None = None  # of the body
    last_byte_us: int | None = None
    leads_on: bool = False  # it is a redirect that is to be followed

    def header(self, name: str) -> str | None:
        """Return the first header of that name, as Latin-1 text."""
        wanted = name.lower().encode()
        values = (value for key, value in self.headers if key.lower() == wanted)
        found = next(values, None)
        return None if found is None else found.decode("latin-1")


def browser_headers(user_agent: str, referer: str | None = None) -> dict[str, str]:
    """Return the headers that a browser sends with a navigation."""
    headers = {
        "User-Agent": user_agent,
        "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Accept-Language": "en-US,en;q=0.9",
        "Accept-Encoding": "gzip, deflate",
        "Upgrade-Insecure-Requests": "1",
    }
    return headers if referer is None else {**headers, "Referer": referer}


async def receive_reply(client: httpx.AsyncClient, request: httpx.Request, cap: int) -> Reply:
    """Send a request and return its reply, with at most `cap` undecoded bytes of the body.

    Raises what the network raises; for partial replies use `exchange`.
    """
    reply = Reply()
    await _receive(client, request, cap, reply)
    return reply


async def _receive(
    client: httpx.AsyncClient,
    request: httpx.Request,
    cap: int,
    reply: Reply,
    elapsed: Callable[[], int] | None = None,
) -> None:
    response = await client.send(request, stream=True, follow_redirects=False)
    try:
        reply.status = response.status_code
        reply.headers = list(response.headers.raw)[:_MOST_HEADERS]
        async for part in response.aiter_raw():
            reply.raw += part
            if elapsed is not None:
                reply.last_byte_us = elapsed()
                reply.first_byte_us = reply.first_byte_us or reply.last_byte_us
            if len(reply.raw) >= cap:
                reply.truncated = True
                del reply.raw[cap:]
                break
    finally:
        await response.aclose()


def decoded(raw: bytes, coding: str | None, cap: int) -> bytes:
    """Undo gzip or deflate with at most `cap` bytes coming out; other codings stay as they are.

    Raises zlib.error where the data are broken.
    """
    name = (coding or "").strip().lower()
    if name not in {"gzip", "x-gzip", "deflate"} or not raw:
        return raw
    window = zlib.MAX_WBITS | 32  # gzip or zlib, told by the header
    try:
        return zlib.decompressobj(window).decompress(raw, cap)
    except zlib.error:
        if name != "deflate":
            raise
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, cap)  # the bare form


async def exchange(
    trace: Trace,
    stage: Stage,
    client: httpx.AsyncClient,
    request: httpx.Request,
    connection: int,
    address: str,
    *,
    timeout: float,
    trusted: bool,
    protocol: str = "http/1.1",
    cap: int | None = None,
    late: Callable[[], bool] | None = None,
    wire: Callable[[], int] | None = None,
) -> Reply:
    """Send a request and record the step; bodies outside valid TLS, or of odd replies, are kept.

    A redirect that has come when it is `late` is one too many.
    """
    host, watch = request.headers.get("host", ""), trace.watch()
    came_before, cap = wire() if wire else 0, cap or _usual_cap(trusted)
    reply = Reply()
    failure = await _in_time(timeout, client, request, cap, reply, watch)
    body, undecodable = _body(trace, reply, cap, trusted=trusted)
    too_late = late is not None and late()
    failure = failure or undecodable or _misled(request, reply, stage, late=too_late)
    odd, answered = failure is not None or (reply.status or 0) >= 400, reply.status is not None
    trace.steps.append(
        Exchange(
            purpose=stage.purpose,
            hop=stage.hop,
            attempt=stage.attempt,
            arm=stage.arm,
            connection=connection,
            url=str(request.url),
            address=address,
            host=None if host == request.url.netloc.decode() else trace.own.scrub(host),
            method=request.method if request.method != "GET" else None,
            protocol=protocol,
            status=reply.status,
            headers=_header_texts(trace, reply.headers),
            title=trace.own.scrub(title_of(body) or "") or None,
            body=trace.keep(body) if body and (odd or not trusted) else None,
            body_sha256=sha256(body).hexdigest() if answered else None,
            body_bytes=len(body) if answered else None,
            declared_bytes=_declared_length(reply),
            truncated=reply.truncated or len(body) >= cap if answered else None,
            received_bytes=len(reply.raw) if answered else None,
            wire_bytes=wire() - came_before if wire else None,
            first_byte_us=reply.first_byte_us,
            last_byte_us=reply.last_byte_us,
            language=language_of(body, reply.header("content-language")),
            simhash=simhash_of(body),
            failure=failure,
            start=watch.start,
            duration_us=watch.microseconds(),
        )
    )
    return reply


async def _in_time(
    timeout: float,
    client: httpx.AsyncClient,
    request: httpx.Request,
    cap: int,
    reply: Reply,
    watch: Stopwatch,
) -> Failure | None:
    """Receive into `reply` what comes within `timeout` seconds; return why that is not all."""
    try:
        async with asyncio.timeout(timeout):
            await _receive(client, request, cap, reply, watch.microseconds)
    except NETWORK_ERRORS as error:
        return _exact(failure_of(error), reply, error)
    return None


def _misled(request: httpx.Request, reply: Reply, stage: Stage, *, late: bool) -> Failure | None:
    """Note whether a reply leads on to another page; return why not, where it is a redirect."""
    location = reply.header("location")
    misled = redirect_failure(str(request.url), reply.status, location, stage.hop, late=late)
    reply.leads_on = misled is None and reply.status in REDIRECTS
    return misled


def _usual_cap(trusted: bool) -> int:
    return CAP_INSIDE_VALID_TLS if trusted else CAP_OTHERWISE


def _body(trace: Trace, reply: Reply, cap: int, *, trusted: bool) -> tuple[bytes, Failure | None]:
    """Return the body decoded, or as it came where it cannot be, without own addresses."""
    body, failure = bytes(reply.raw), None
    try:
        body = decoded(body, reply.header("content-encoding"), cap)
    except zlib.error:
        failure = Failure.HTTP_UNDECODABLE
    if trace.neutral and trusted:
        learn_from_page(trace.own, reply.headers, body)
    return trace.own.scrub_bytes(body), failure


def _exact(failure: Failure, reply: Reply, error: BaseException) -> Failure:
    """Tell an end of the connection from what is no HTTP at all."""
    if failure is Failure.HTTP_MALFORMED and reply.status is not None:
        return Failure.HTTP_TRUNCATED  # it ended inside a body
    if failure is Failure.HTTP_MALFORMED and "without sending" in str(error):
        return Failure.EOF  # it ended before a reply began
    return failure


def _header_texts(trace: Trace, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return headers as Latin-1 text. Cookies are personal: their values are never kept."""
    texts = []
    for name, value in headers:
        key = name.decode("latin-1")
        text = "[not kept]" if key.lower() == "set-cookie" else value.decode("latin-1")
        texts.append((key, trace.own.scrub(text)))
    return texts


def _declared_length(reply: Reply) -> int | None:
    text = reply.header("content-length") or ""
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        return None
    length = int(text)
    return length if length <= _LARGEST_INTEGER else None
