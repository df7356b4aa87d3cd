"""Connections to helpers and encrypted resolvers: opened once, used again, replaced when gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lab.http2_server import converse2
from lab.http_server import server_context
from lab.messages import Request, Respond, Response
from lab.pki import Leaf, Pki
from probes.certificates import CertificateJudge
from probes.clock import SystemClock
from probes.http import Reply
from probes.own import OwnAddresses
from probes.session import Service
from probes.settings import Limits
from probes.trace import Trace
from storage.failures import Failure
from tests.loopback import serving

LIMITS = Limits(connect_timeout=5.0, http_timeout=5.0)


class Answering:
    """A server that counts connections and answers every request on them, or so many."""

    def __init__(self, most: int = 1000, also: bytes = b"") -> None:
        self.connections = 0
        self.most = most
        self.also = also  # a further header

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for _ in range(self.most):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            head = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (self.also, length)
            writer.write(head + body)
            await writer.drain()


def service(port: int) -> Service:
    return Service(f"http://127.0.0.1:{port}/", CertificateJudge(), LIMITS)


async def ask(service: Service, text: bytes) -> bytes | Failure:
    trace = Trace(SystemClock(), OwnAddresses())
    reply = await service.post(trace, text, {"Content-Type": "text/plain"}, 4096)
    return bytes(reply.raw) if isinstance(reply, Reply) else reply


async def test_questions_one_after_the_other_share_a_connection() -> None:
    server = Answering()
    async with serving(server) as port:
        asked = service(port)
        answers = [await ask(asked, text) for text in (b"one", b"two", b"three")]
        await asked.close()
    assert answers == [b"one", b"two", b"three"]
    assert server.connections == 1


async def test_questions_at_once_do_not_wait_for_one_another() -> None:
    server = Answering()
    async with serving(server) as port:
        asked = service(port)
        answers = await asyncio.gather(*(ask(asked, b"%d" % number) for number in range(6)))
        await asked.close()
    assert answers == [b"%d" % number for number in range(6)]
    assert 1 <= server.connections <= 6


@pytest.mark.parametrize("also", [b"", b"Connection: close\r\n"], ids=["without a word", "told"])
async def test_a_connection_that_was_closed_meanwhile_is_replaced(also: bytes) -> None:
    server = Answering(most=1, also=also)
    async with serving(server) as port:
        asked = service(port)
        answers = [await ask(asked, text) for text in (b"one", b"two")]
        await asked.close()
    assert answers == [b"one", b"two"]
    assert server.connections == 2


async def test_questions_that_wait_for_one_connection_share_its_failure() -> None:
    async with serving(Answering()) as port:
        gone = service(port)
    refused = await asyncio.gather(*(ask(gone, b"x") for _ in range(5)))
    assert refused == [Failure.CONNECTION_REFUSED] * 5


async def test_a_question_that_is_given_up_leaves_no_connection_to_the_next() -> None:
    async def silent_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not seen:
            seen.append(True)
            await reader.read()  # never answers
            return
        await Answering()(reader, writer)

    seen: list[bool] = []
    async with serving(silent_once) as port:
        asked = service(port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask(asked, b"first")
        assert await ask(asked, b"second") == b"second"
        await asked.close()


@asynccontextmanager
async def http2(folder: Path, respond: Respond) -> AsyncIterator[tuple[Service, list[None]]]:
    """Serve HTTP/2 on loopback; yield the service and a list that grows with each connection."""
    connections: list[None] = []
    pki = Pki.create(folder / "pki")

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        await converse2(respond, reader, writer)

    context = server_context(pki.leaf(Leaf(("127.0.0.1",))), protocols=("h2",))
    async with serving(converse, context) as port:
        asked = Service(f"https://127.0.0.1:{port}/", CertificateJudge(str(pki.ca)), LIMITS)
        yield asked, connections
        await asked.close()


async def test_one_connection_of_http2_carries_questions_at_once(tmp_path: Path) -> None:
    here, all_have_asked = 0, asyncio.Event()

    async def respond(request: Request) -> Response:
        nonlocal here
        here += 1
        if here == 3:
            all_have_asked.set()
        async with asyncio.timeout(5):
            await all_have_asked.wait()  # nobody is answered before all have asked
        return Response(200, request.body)

    async with http2(tmp_path, respond) as (asked, connections):
        answers = await asyncio.gather(*(ask(asked, b"%d" % number) for number in range(3)))
    assert answers == [b"0", b"1", b"2"]
    assert len(connections) == 1


async def test_questions_that_are_given_up_disturb_no_other_on_the_connection(
    tmp_path: Path,
) -> None:
    given_up = asyncio.Event()

    async def respond(request: Request) -> Response:
        await (asyncio.Event() if request.body == b"never" else given_up).wait()
        return Response(200, request.body * 20_000)

    async with http2(tmp_path, respond) as (asked, connections):
        numbers = [b"%d" % number for number in range(8)]
        hopeless = [asyncio.create_task(ask(asked, b"never")) for _ in range(8)]
        others = [asyncio.create_task(ask(asked, number)) for number in numbers]
        await asyncio.sleep(0.2)  # all may have been sent by then; none has to be
        for each in hopeless:
            each.cancel()
        await asyncio.gather(*hopeless, return_exceptions=True)
        given_up.set()
        async with asyncio.timeout(10):
            assert [answer[:1] for answer in await asyncio.gather(*others)] == numbers
            assert len(await ask(asked, b"x")) == 4096
    assert len(connections) == 2  # the first one is not asked again
