"""A helper on loopback as it is served to all, and sites that it visits, for the helper's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from probes.answers import Answer
from probes.certificates import CertificateJudge
from probes.clock import Clock, SystemClock
from probes.helper_destinations import Destinations
from probes.helper_limits import HelperLimits
from probes.helper_look import Lookout, Resolve
from probes.helper_server import HelperServer
from sitewatch.serving import configured
from tests.loopback import Handler

PAGE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nContent-Length: 48\r\n"
    b'Alt-Svc: h3=":443"\r\n\r\n<html lang=kk><title>News</title>some few words.'
)


class Site:
    """A site on loopback that counts its visitors; `gate` holds answers back while it is shut."""

    def __init__(self, reply: bytes = PAGE) -> None:
        self.reply = reply
        self.visits = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Semaphore(0)  # released by each request
        self.gate = asyncio.Event()
        self.gate.set()

    def handler(self) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.visits += 1
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            self.asked.release()
            await self.gate.wait()
            writer.write(self.reply)
            await writer.drain()

        return handle


class Names:
    """A resolver whose answers are a host's lists in turn, the last one for ever."""

    def __init__(self, answers: dict[str, list[list[str]]]) -> None:
        self.asked: list[str] = []
        self._answers = answers

    async def resolve(self, host: str, timeout: float) -> Sequence[Answer]:
        turns = self._answers.get(host, [[]])
        turn = min(self.asked.count(host), len(turns) - 1)
        self.asked.append(host)
        return [Answer(addresses=tuple(turns[turn]))]


@asynccontextmanager
async def helper(
    limits: HelperLimits | None = None,
    names: dict[str, list[str]] | None = None,
    *,
    resolve: Resolve | None = None,
    clock: Clock | None = None,
    exempt: Sequence[str] = ("127.0.0.1",),
    certificate: Path | None = None,
    proxy: str | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a helper that may visit the addresses of `exempt` alone; yield a client of it.

    `certificate` is a PEM file of chain and key; the client does not judge it.
    """
    fixed = {host: [addresses] for host, addresses in (names or {}).items()}
    lookout = Lookout(
        clock=clock or SystemClock(),
        judge=CertificateJudge(),
        limits=limits or HelperLimits(),
        destinations=Destinations(exempt=exempt),
        tool="sitewatch 1",
        resolve=resolve or Names(fixed).resolve,
    )
    config = configured(HelperServer(lookout), certificate, certificate, proxy)
    config.port = 0
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    listening.listen()
    running = asyncio.create_task(server.serve(sockets=[listening]))
    port = listening.getsockname()[1]
    try:
        async with httpx.AsyncClient(
            base_url=f"{'https' if certificate else 'http'}://127.0.0.1:{port}",
            trust_env=False,
            verify=False,
        ) as client:
            yield client
    finally:
        server.should_exit = True
        await running
        listening.close()


async def ask(client: httpx.AsyncClient, url: str, *endpoints: str) -> dict[str, Any]:
    """Put one question; return the answer."""
    question = {"http_request": url, "http_request_headers": {}, "tcp_connect": list(endpoints)}
    reply = await client.post("/", json=question)
    assert reply.status_code == 200
    answer: dict[str, Any] = reply.json()
    return answer
