"""The exchange step and visits, against servers on loopback that behave and misbehave."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import httpx
import pytest

from probes.certificates import CertificateJudge
from probes.clock import SystemClock
from probes.http import CAP_OTHERWISE, SingleConnection, decoded, exchange
from probes.own import OwnAddresses
from probes.prober import Prober
from probes.settings import Limits, Settings
from probes.tcp import connect
from probes.text import title_of
from probes.trace import Stage, Trace
from probes.visit import Visit
from storage.failures import Failure
from storage.records import Exchange, Vantage
from tests.loopback import Handler, answering, serving, trace

OK = b"HTTP/1.1 200 OK\r\n"


async def fetch(handler: Handler, timeout: float = 3.0) -> tuple[Exchange, Trace]:
    found = trace()
    async with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/"
        connection = await connect(found, Stage(), "127.0.0.1", port, 3.0)
        assert connection is not None
        transport = SingleConnection(url, connection)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            await exchange(
                found,
                Stage(),
                client,
                client.build_request("GET", url),
                connection.number,
                "127.0.0.1",
                timeout=timeout,
                trusted=False,
            )
    step = found.steps[-1]
    assert isinstance(step, Exchange)
    return step, found


async def test_a_page_is_recorded_with_headers_title_and_body() -> None:
    body = b"<html><title> News &amp;\n more </title></html>"
    head = OK + b"Server: x\r\nSet-Cookie: who=me\r\nContent-Length: %d\r\n\r\n" % len(body)
    step, found = await fetch(answering(head + body))
    assert (step.status, step.title, step.failure) == (200, "News & more", None)
    assert step.headers[0] == ("Server", "x")
    assert step.headers[1] == ("Set-Cookie", "[not kept]")
    assert step.body is not None
    assert found.blobs[step.body] == body
    assert (step.body_bytes, step.declared_bytes, step.truncated) == (len(body), len(body), False)


async def test_a_body_is_cut_at_the_cap() -> None:
    step, _ = await fetch(answering(OK + b"\r\n" + b"x" * (CAP_OTHERWISE * 4)))
    assert step.truncated
    assert step.body_bytes == CAP_OTHERWISE
    assert step.failure is None


async def test_a_compression_bomb_comes_out_capped() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    step, _ = await fetch(answering(head + bomb))
    assert step.body_bytes == CAP_OTHERWISE
    assert step.truncated


@pytest.mark.parametrize(
    ("data", "then", "failure"),
    [
        (b"", "close", Failure.EOF),
        (b"", "silence", Failure.TIMEOUT),
        (b"this is no HTTP\r\n\r\n", "close", Failure.HTTP_MALFORMED),
        (OK + b"Content-Length: 100\r\n\r\nshort", "close", Failure.HTTP_TRUNCATED),
        (OK + b"Content-Length: 100\r\n\r\nshort", "silence", Failure.TIMEOUT),
        (OK + b"X: " + b"y" * 300_000 + b"\r\n\r\n", "close", Failure.HTTP_MALFORMED),
        (OK + b"Content-Encoding: gzip\r\n\r\nnot gzip", "close", Failure.HTTP_UNDECODABLE),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "close",
         Failure.HTTP_INVALID_REDIRECT),
        (b"HTTP/1.1 302 Found\r\n\r\n", "close", Failure.HTTP_INVALID_REDIRECT),
    ],
)  # fmt: skip
async def test_each_way_to_fail_has_its_own_failure(
    data: bytes, then: str, failure: Failure
) -> None:
    step, _ = await fetch(answering(data, then=then), timeout=0.5)
    assert step.failure == failure


async def test_a_stalled_body_keeps_what_had_come() -> None:
    page = OK + b"Content-Length: 100000\r\n\r\n" + b"z" * 16_000
    step, _ = await fetch(answering(page, then="silence"), timeout=0.5)
    assert (step.status, step.body_bytes, step.failure) == (200, 16_000, Failure.TIMEOUT)


async def test_a_body_that_drips_forever_ends_at_the_deadline() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\r\n")
        while not reader.at_eof():
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    step, _ = await fetch(drip, timeout=0.4)
    assert step.failure == Failure.TIMEOUT
    assert step.status == 200


async def test_hostile_lengths_and_headers_stay_numbers_and_text() -> None:
    head = OK + b"X-Odd: \xff\x1b[2J\r\nConnection: close\r\n\r\n<title>\xff&#xD800;</title>"
    step, _ = await fetch(answering(head))
    assert step.title is not None
    assert "�" in step.title
    assert step.declared_bytes is None


def test_titles_are_capped_and_folded() -> None:
    assert title_of(b"<TITLE lang=x>a\n\n b</TITLE>") == "a b"
    assert title_of(b"<p>none</p>") is None
    assert len(title_of(b"<title>" + b"a" * 9999 + b"</title>") or "") == 512


def test_both_forms_of_deflate_are_read() -> None:
    plain = b"hello hello hello"
    bare = zlib.compressobj(wbits=-15)
    assert decoded(bare.compress(plain) + bare.flush(), "deflate", 100) == plain
    assert decoded(zlib.compress(plain), "deflate", 100) == plain


# --- visits ------------------------------------------------------------------------------------


def prober() -> Prober:
    limits = Limits(dns_timeout=1.0, connect_timeout=1.0, tls_timeout=1.0, http_timeout=1.0)
    return Prober(
        settings=Settings(limits=limits),
        clock=SystemClock(),
        judge=CertificateJudge(),
        vantage=Vantage(id="test"),
        simulated=True,
        tool="test",
    )


class Leaping(SystemClock):
    """A clock that leaps ahead when it is told to."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.mark.parametrize(("seconds", "followed"), [(0.0, True), (30.0, False)])
async def test_redirects_that_take_their_time_end(seconds: float, followed: bool) -> None:
    clock = Leaping()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        clock.ahead = seconds
        writer.write(b"HTTP/1.1 302 F\r\nContent-Length: 0\r\nLocation: http://127.9.9.9/\r\n\r\n")
        await writer.drain()

    found = Trace(clock, OwnAddresses())
    async with serving(handler) as port:
        await Visit(prober(), found, full=False).run(f"http://127.0.0.1:{port}/")
    [step] = [step for step in found.steps if isinstance(step, Exchange)]
    assert step.failure == (None if followed else Failure.HTTP_TOO_MANY_REDIRECTS)
    forbidden = [step for step in found.steps if step.failure == Failure.ADDRESS_FORBIDDEN]
    assert len(forbidden) == followed


async def visit(handler: Handler) -> list[Exchange]:
    found = trace()
    async with serving(handler) as port:
        await Visit(prober(), found, full=False).run(f"http://127.0.0.1:{port}/start")
    return [step for step in found.steps if isinstance(step, Exchange)]


async def test_a_redirect_to_this_machine_is_recorded_and_not_followed() -> None:
    asked: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        asked.append(request)
        if request.startswith(b"GET /start"):
            port = writer.get_extra_info("sockname")[1]
            writer.write(
                b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
                b"Location: http://127.0.0.1:%d/end\r\n\r\n" % port
            )
        else:
            writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await writer.drain()

    steps = await visit(handler)
    assert [(step.hop, step.status) for step in steps] == [(0, 302)]
    assert len(asked) == 1
