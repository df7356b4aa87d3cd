"""The programs to which censors divert connections: men in the middle, altering proxies, resolvers.

Each listens at every address of the servers and helpers, at the port that its rule was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from lab.censor_certificates import CensorForger, server_context
from lab.censor_divert import DIVERTED_PORTS
from lab.censor_parts import diverted_port, in_ascii
from lab.censor_rule import Censor
from lab.clock import ScenarioClock
from lab.dns_server import Resolvers, serve_dns
from lab.interceptor import Forging, intercept
from lab.pki import Pki
from lab.plan import Plan
from lab.readable import host_header, matches
from lab.tls_front import Choose, peek_name, serve_one

_HEAD_SECONDS = 10.0
_LARGEST_HEAD = 16384
_LARGEST_PAGE = 1 << 20
_PIECE = 65536
_BACKLOG = 256


async def serve_programs(
    plan: Plan, resolvers: Resolvers | None, pki_folder: Path, clock: ScenarioClock
) -> None:
    """Begin to serve the program of each rule that diverts, in the namespace of this process.

    `resolvers` is None abroad, where nobody asks for names.
    """
    for number, censor in enumerate(plan.scenario.censors):
        for port in DIVERTED_PORTS.get(censor.kind, ()):
            own_port = diverted_port(number, port)
            if censor.kind == "dns-divert":
                if resolvers is not None:
                    await _serve_resolver(plan, resolvers, censor, own_port)
                continue
            program = _Program(plan, censor, port, _interception(censor, pki_folder, clock))
            for family in (socket.AF_INET, socket.AF_INET6):
                await _listen(program, family, own_port)


async def _serve_resolver(plan: Plan, resolvers: Resolvers, censor: Censor, port: int) -> None:
    """Answer at every server's address as the network's own resolver does."""
    network = next(
        one for name, one in plan.networks.items() if not censor.networks or name in censor.networks
    )
    for address in plan.server_addresses():
        await serve_dns(resolvers, network.resolver, address=address, port=port)


def _interception(censor: Censor, pki_folder: Path, clock: ScenarioClock) -> Choose | None:
    """Return what a man in the middle does with a hello; None for other kinds."""
    if censor.kind != "tls-intercept":
        return None
    forger: Forging
    if censor.authority == "trusted":
        forger = _TrustedForger(Pki.create(pki_folder))
    else:
        forger = CensorForger(censor.authority, datetime.fromtimestamp(clock.now(), UTC))
    return intercept(forger, "0.0.0.0")


class _TrustedForger:
    """Makes certificates with the authority that the lab's clients trust."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki

    def context(self, original: x509.Certificate) -> ssl.SSLContext:
        """Return a server's context for the names of a true certificate."""
        names = original.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        wanted = names.value.get_values_for_type(x509.DNSName)
        return server_context(self._pki.leaf(("interception.invalid", *wanted)).read_bytes())


class _Program:
    """What one rule does with a diverted connection."""

    def __init__(self, plan: Plan, censor: Censor, port: int, choose: Choose | None) -> None:
        self._plan = plan
        self._censor = censor
        self._port = port
        self._choose = choose
        self._names = tuple(in_ascii(name) for name in censor.names)

    async def serve(self, accepted: socket.socket) -> None:
        """Serve one connection to its end."""
        # A connection that a client or another censor breaks off is no failure of ours.
        with accepted, contextlib.suppress(OSError, EOFError, TimeoutError):
            destination = accepted.getsockname()[0].removeprefix("::ffff:")
            if self._port == 80:
                await self._serve_plain(accepted, destination)
                return
            async with asyncio.timeout(_HEAD_SECONDS):
                name = await peek_name(accepted)
            ipv4 = ":" not in destination
            if self._choose is not None and ipv4 and matches(name, self._names):
                await serve_one(accepted, self._choose)
                return
            await _pass_through(accepted, self._upstream(name, destination), self._port)

    async def _serve_plain(self, accepted: socket.socket, destination: str) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await _read_head(accepted)
        host = host_header(head) or ""
        upstream = self._upstream(host, destination)
        meant = not self._names or matches(host, self._names)
        if self._censor.kind == "http-alter" and meant:
            await self._alter(accepted, upstream, head)
            return
        await _pass_through(accepted, upstream, self._port, head)

    def _upstream(self, name: str, destination: str) -> str:
        """Return the address of the true server: a proxy's is not where the client went."""
        if self._censor.kind != "splice":
            return destination
        found = self._plan.addresses_of(name) if name else ()
        return found[0] if found and found[0] != name else destination

    async def _alter(self, accepted: socket.socket, upstream: str, head: bytes) -> None:
        """Fetch one answer, change it and close."""
        reader, writer = await asyncio.open_connection(upstream, self._port)
        closing = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        writer.write(closing.replace(b"\r\nConnection: keep-alive", b""))
        answer = await reader.read(_LARGEST_PAGE)
        while more := await reader.read(_LARGEST_PAGE):
            answer += more
        writer.close()
        await asyncio.get_running_loop().sock_sendall(accepted, self._altered(answer))

    def _altered(self, answer: bytes) -> bytes:
        """Return an answer with other words, and the length that it has then."""
        head, _, body = answer.partition(b"\r\n\r\n")
        if not body:  # to a HEAD: of a page that was not seen nothing can be counted
            return answer
        for word in self._censor.words:
            body = body.replace(word.encode(), self._censor.page.encode())
        lines = [
            f"Content-Length: {len(body)}".encode() if _is_length(line) else line
            for line in head.split(b"\r\n")
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _is_length(line: bytes) -> bool:
    return line.lower().startswith(b"content-length:")


async def _read_head(accepted: socket.socket) -> bytes:
    """Return the first request's head and what came with it. Raises EOFError when cut off."""
    loop, head = asyncio.get_running_loop(), b""
    while b"\r\n\r\n" not in head:
        data = await loop.sock_recv(accepted, _PIECE)
        if not data or len(head) > _LARGEST_HEAD:
            raise EOFError
        head += data
    return head


async def _pass_through(
    accepted: socket.socket, upstream: str, port: int, begun: bytes = b""
) -> None:
    """Join a connection with the true server until either side has had enough."""
    family = socket.AF_INET6 if ":" in upstream else socket.AF_INET
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.setblocking(False)
        await loop.sock_connect(server, (upstream, port))
        if begun:
            await loop.sock_sendall(server, begun)
        ways = [
            loop.create_task(_copy(accepted, server)),
            loop.create_task(_copy(server, accepted)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            # Neither may wait for a socket that is closed: its number is soon another one's.
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Copy one direction until its end, and pass the end on."""
    loop = asyncio.get_running_loop()
    try:
        while data := await loop.sock_recv(source, _PIECE):
            await loop.sock_sendall(sink, data)
    finally:
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


async def _listen(program: _Program, family: socket.AddressFamily, port: int) -> None:
    """Begin to accept connections at a port of every address of a family."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        listener.bind(("", port))
    except OSError:
        listener.close()
        if family == socket.AF_INET:
            raise
        return  # a world without IPv6
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    task = asyncio.create_task(_accept(program, listener))
    _running.add(task)


_running: set[asyncio.Task[None]] = set()  # a task that nobody holds may vanish


async def _accept(program: _Program, listener: socket.socket) -> None:
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    while True:
        accepted, _ = await loop.sock_accept(listener)
        task = loop.create_task(program.serve(accepted))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
