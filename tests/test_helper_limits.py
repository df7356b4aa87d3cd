"""Each limit of the helper is driven to its end, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from probes.clock import SystemClock
from probes.helper_limits import Buckets, HelperLimits
from tests.helper_at_work import Names, Site, ask, helper
from tests.loopback import serving

GREETING = b"GET / HTTP/1.1\r\nHost: helper\r\n\r\n"
PATIENCE = 12  # seconds until a test gives up; below what a helper itself has for a head


class Ahead(SystemClock):
    """The machine's clock, put forward by `seconds`."""

    seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.seconds


@contextlib.contextmanager
def never_accepting(address: str, port: int) -> Iterator[None]:
    """Listen with a full queue: the kernel answers no further connection there."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind((address, port))
        server.listen(0)
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex((address, port))
        yield


@contextlib.asynccontextmanager
async def connected(
    port: int | None, source: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.close()


async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Return the first line that a greeting is answered with; nothing where it is cut off."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            writer.write(GREETING)
            return await reader.readline()
    return b""


async def cut_off(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of a connection; tell whether nothing came before it."""
    async with asyncio.timeout(PATIENCE):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


# --- of one question ---


async def test_endpoints_beyond_the_limit_are_left_out() -> None:
    site = Site()
    addresses = [f"127.0.0.{n}" for n in range(2, 8)]
    async with (
        serving(site.handler()) as port,
        helper(HelperLimits(endpoints=3), exempt=["127.0.0.1", *addresses]) as client,
    ):
        asked = [f"{address}:{port}" for address in addresses]
        answer = await ask(client, f"http://127.0.0.1:{port}/", *asked)
    # The site's own comes first; that nobody listens at the others is an answer, too.
    assert set(answer["tcp_connect"]) == {f"127.0.0.1:{port}", *asked[:2]}
    assert set(answer["ip_info"]) == {"127.0.0.1", *addresses[:3]}


async def test_all_together_ends_in_time() -> None:
    site = Site()
    site.gate.clear()
    async with serving(site.handler()) as port, helper(HelperLimits(look_seconds=0.3)) as client:
        answer = await ask(client, f"http://127.0.0.1:{port}/")
        site.gate.set()
    assert answer["http_request"]["failure"] == "generic_timeout_error"
    assert answer["http_request"]["status_code"] == -1


async def test_what_is_there_when_time_is_over_counts() -> None:
    """An endpoint that never answers takes nothing from a page that has come."""
    site = Site()
    names = {"two.example": ["127.0.0.1", "127.0.0.3"]}
    limits = HelperLimits(look_seconds=1.5, connect_seconds=60.0)
    async with serving(site.handler()) as port:
        with never_accepting("127.0.0.3", port):
            async with helper(limits, names, exempt=["127.0.0.1", "127.0.0.3"]) as client:
                answer = await ask(client, f"http://two.example:{port}/")
    assert answer["http_request"]["failure"] is None
    assert answer["http_request"]["title"] == "News"
    assert set(answer["tcp_connect"]) == {f"127.0.0.1:{port}"}


async def test_a_connection_is_given_up_in_time() -> None:
    site = Site()
    limits = HelperLimits(connect_seconds=0.2)
    async with serving(site.handler()) as port:
        with never_accepting("127.0.0.3", port):
            async with helper(limits, exempt=["127.0.0.1", "127.0.0.3"]) as client:
                answer = await ask(client, f"http://127.0.0.3:{port}/")
    failed = {"status": False, "failure": "generic_timeout_error"}
    assert answer["tcp_connect"] == {f"127.0.0.3:{port}": failed}
    assert answer["http_request"]["failure"] == "generic_timeout_error"


async def test_a_packed_page_is_unpacked_up_to_the_limit() -> None:
    text = b"<html><title>Packed</title>" + b"a" * 3_000_000
    packed = gzip.compress(text)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    site = Site(head + packed)
    async with serving(site.handler()) as port:
        url = f"http://127.0.0.1:{port}/"
        async with helper() as client:
            bomb = await ask(client, url)
        async with helper(HelperLimits(page_bytes=len(text) + 1)) as client:
            whole = await ask(client, url)
    assert bomb["http_request"]["body_length"] == HelperLimits.page_bytes
    assert bomb["x_sitewatch"]["truncated"] is True
    assert whole["http_request"]["body_length"] == len(text)
    assert whole["x_sitewatch"]["truncated"] is False
    assert bomb["http_request"]["title"] == whole["http_request"]["title"] == "Packed"


# --- of names that change ---


@pytest.mark.parametrize("port_of", ["page", "redirect"])
async def test_a_name_that_changes_after_the_check_leads_nowhere(port_of: str) -> None:
    """The system's resolver knows no such name: only the address that was checked can be used."""
    inner = Site()
    names = Names({"turning.example": [["127.0.0.1"], ["127.0.0.2"]]})
    site = Site()
    async with serving(site.handler()) as port, helper(resolve=names.resolve) as client:
        server = await asyncio.start_server(inner.handler(), "127.0.0.2", port)
        url = f"http://turning.example:{port}/"
        if port_of == "redirect":
            site.reply = f"HTTP/1.1 302 Found\r\nLocation: {url}again\r\n\r\n".encode()
        answer = await ask(client, url)
        server.close()
    assert inner.visits == 0
    assert len([request for request in site.requests if request]) == 1
    assert set(answer["tcp_connect"]) == {f"127.0.0.1:{port}"}
    if port_of == "page":
        assert names.asked == ["turning.example"]  # once: what was checked is what is used
        assert answer["http_request"]["status_code"] == 200
    else:
        assert names.asked == ["turning.example"] * 2
        assert answer["http_request"]["failure"] == "unknown_error"


async def test_a_forbidden_first_answer_is_not_asked_again_for_a_better_one() -> None:
    names = Names({"turning.example": [["127.0.0.2"], ["127.0.0.1"]]})
    site = Site()
    async with serving(site.handler()) as port, helper(resolve=names.resolve) as client:
        answer = await ask(client, f"http://turning.example:{port}/")
    assert site.visits == 0
    assert answer["tcp_connect"] == {}
    assert answer["http_request"]["failure"] == "unknown_error"


# --- of answers kept ---


async def test_an_answer_is_made_anew_when_it_is_old() -> None:
    site, clock = Site(), Ahead()
    async with serving(site.handler()) as port, helper(clock=clock) as client:
        url = f"http://127.0.0.1:{port}/"
        counts = []
        for seconds in (0, HelperLimits.kept_seconds / 2, HelperLimits.kept_seconds + 1):
            clock.seconds = seconds
            await ask(client, url)
            counts.append(len(list(filter(None, site.requests))))
    assert counts == [1, 1, 2]


async def test_the_oldest_of_too_many_answers_goes() -> None:
    site = Site()
    async with serving(site.handler()) as port, helper(HelperLimits(most_kept=2)) as client:
        for page in ("a", "b", "c", "c", "b", "a"):
            await ask(client, f"http://127.0.0.1:{port}/{page}")
    visited = [request.split()[1] for request in site.requests if request]
    assert visited == [b"/a", b"/b", b"/c", b"/a"]


def test_buckets_forget_who_has_waited_long_enough() -> None:
    clock = Ahead()
    buckets = Buckets(clock, per_minute=4)
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]
    clock.seconds = 15  # one of four a minute
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    clock.seconds = 60
    assert buckets.take("b")
    assert buckets.remembered() == {"b"}
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]


# --- of connections and of askers ---


async def test_the_refused_are_told_when_to_come_again() -> None:
    async with helper(HelperLimits(per_minute=4, most_under_way=0, anyone_below=0)) as client:
        overloaded = await client.post("/", json={"http_request": "http://a.example/"})
        bad = await client.post("/", content=b"{")
        too_often = await client.get("/")
    found = [
        (each.status_code, each.headers.get("Retry-After")) for each in (overloaded, bad, too_often)
    ]
    assert found == [(503, "60"), (400, None), (429, "60")]


async def test_connections_are_few_whoever_makes_them() -> None:
    limits = HelperLimits(connections=3)
    async with helper(limits) as client, contextlib.AsyncExitStack() as stack:
        port = client.base_url.port
        held = [
            await stack.enter_async_context(connected(port, f"127.0.0.{n}")) for n in range(2, 5)
        ]
        async with connected(port, "127.0.0.5") as (reader, _):
            assert await cut_off(reader)
        assert [b" 200 " in await said(*each) for each in held] == [True] * 3
        held[0][1].close()
        async with asyncio.timeout(PATIENCE):
            while not await _served(port, "127.0.0.5"):
                continue  # the server has not yet heard that one is closed


async def _served(port: int | None, source: str) -> bool:
    async with connected(port, source) as each:
        return b" 200 " in await said(*each)


async def test_connections_of_one_asker_are_few() -> None:
    limits = HelperLimits(connections_of_one=2)
    async with helper(limits) as client, contextlib.AsyncExitStack() as stack:
        port = client.base_url.port
        held = [await stack.enter_async_context(connected(port)) for _ in range(2)]
        async with connected(port) as (reader, _):
            assert await cut_off(reader)
        assert await _served(port, "127.0.0.2")
        assert [b" 200 " in await said(*each) for each in held] == [True] * 2


async def test_slow_heads_are_cut_off_and_slow_answers_are_not() -> None:
    site = Site()
    site.gate.clear()
    async with (
        serving(site.handler()) as port,
        helper(HelperLimits(head_seconds=0.4)) as client,
    ):
        asking = asyncio.create_task(ask(client, f"http://127.0.0.1:{port}/"))
        await site.asked.acquire()
        for begun in (b"", b"POST / HTTP/1.1\r\nHost:", GREETING + b"POST / HT"):
            async with connected(client.base_url.port) as (reader, writer):
                if begun.startswith(GREETING):
                    assert b" 200 " in await said(reader, writer)
                    await reader.readuntil(b"}")
                writer.write(begun.removeprefix(GREETING))
                assert await cut_off(reader)
        site.gate.set()
        assert (await asking)["http_request"]["status_code"] == 200


async def test_a_head_drop_by_drop_is_cut_off_too() -> None:
    async with (
        helper(HelperLimits(head_seconds=0.4)) as client,
        connected(client.base_url.port) as (reader, writer),
    ):
        ended = asyncio.create_task(cut_off(reader))
        while not ended.done():
            writer.write(b"P")
            await asyncio.sleep(0.02)
        assert await ended


async def test_a_head_that_is_too_long_is_refused() -> None:
    async with helper() as client, connected(client.base_url.port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: helper\r\nX-Long: " + b"a" * 20_000)
        async with asyncio.timeout(PATIENCE):
            assert b" 400 " in await reader.readline()
