"""HTTPS connections to the services that the prober itself uses: helpers and encrypted resolvers.

Their steps are not the watched site's and are not recorded; only what the service said, or the
failure that kept it from answering.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from probes.addresses import is_address
from probes.certificates import CertificateJudge
from probes.errors import NETWORK_ERRORS
from probes.http import ByteStream, Reply, SingleConnection, receive_reply
from probes.settings import Limits
from probes.system_resolver import ask_system
from probes.tcp import connect
from probes.tls import handshake
from probes.trace import Stage, Trace
from storage.failures import Failure

_REUSED_WITHIN = 30.0  # seconds of idleness, after which NATs begin to forget connections
_MOST_IDLE = 4


@dataclass
class Session:
    """One open connection to a service, and how many questions are under way on it.

    Each question is a task of its own that nobody cancels: the HTTP library's count of streams does
    not survive that, and others may have theirs on the same connection. Who has waited long enough
    leaves it behind, and the connection ends with the last one who waits.
    """

    client: httpx.AsyncClient
    address: str
    shared: bool  # HTTP/2 carries several questions at once, HTTP/1.1 one after the other
    used: float  # when last, monotonic
    questions: int = 0  # that somebody waits for
    broken: bool = False
    tasks: set[asyncio.Task[Reply]] = field(default_factory=set)

    async def ask(self, request: httpx.Request, most: int) -> Reply:
        """Send a request and return its reply. Raises what the network raises."""
        asking = asyncio.create_task(receive_reply(self.client, request, most))
        self.tasks.add(asking)
        asking.add_done_callback(self._ended)
        try:
            reply = await asyncio.shield(asking)
        except (KeyError, ValueError) as error:  # the library has lost count of the streams
            self.broken = True
            raise ConnectionAbortedError("the connection is in disorder") from error
        except BaseException:
            self.broken = True  # its state is unknown, even where only we had enough of it
            raise
        self.broken = self.broken or reply.truncated
        return reply

    def _ended(self, asking: asyncio.Task[Reply]) -> None:
        self.tasks.discard(asking)
        if not asking.cancelled():
            asking.exception()  # told to whoever waited; else nobody asks for it

    async def close(self) -> None:
        left = list(self.tasks)
        for asking in left:
            asking.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.client.aclose()


@dataclass
class Service:
    """A service with the connections to it that are open, used again while they are fresh."""

    url: str
    judge: CertificateJudge
    limits: Limits
    addresses: Sequence[str] = ()  # pinned; without any the system's resolver is asked
    clock_offset: float = 0.0
    address: str | None = None  # the one that answered last
    _sessions: list[Session] = field(default_factory=list)
    _opening: asyncio.Task[Session | Failure] | None = None

    async def post(
        self, trace: Trace, content: bytes, headers: dict[str, str], most: int
    ) -> Reply | Failure:
        """Post, and return the reply with at most `most` bytes, or why no connection was to be had.

        Raises what the network raises once a connection stands. One that was idle may have been
        closed meanwhile without a word; then a fresh one is taken.
        """
        while True:
            taken = await self._take(trace)
            if isinstance(taken, Failure):
                return taken
            session, fresh = taken
            session.questions += 1
            self.address = session.address
            try:
                return await session.ask(self._request(session, content, headers), most)
            except NETWORK_ERRORS as error:
                if fresh or isinstance(error, TimeoutError):
                    raise
            finally:
                session.used = trace.clock.monotonic()
                await self._give_back(session)

    async def close(self) -> None:
        """Close all connections."""
        if self._opening is not None:
            self._opening.cancel()
        while self._sessions:
            await self._sessions.pop().close()

    def _request(self, session: Session, content: bytes, headers: dict[str, str]) -> httpx.Request:
        return session.client.build_request("POST", self.url, content=content, headers=headers)

    async def _take(self, trace: Trace) -> tuple[Session, bool] | Failure:
        """Return a connection that can carry a question, and whether it is a new one.

        Questions that come while one is being opened wait for it, and for its failure.
        """
        fresh = False
        while True:
            now = trace.clock.monotonic()
            for session in self._sessions:
                free = session.shared or not session.questions
                if free and not session.broken and now - session.used < _REUSED_WITHIN:
                    return session, fresh
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open(trace))
            opened = await asyncio.shield(self._opening)
            if isinstance(opened, Failure):
                return opened
            fresh = True

    async def _give_back(self, session: Session) -> None:
        session.questions -= 1
        idle = [each for each in self._sessions if not each.questions]
        unwanted = session.broken or len(idle) > _MOST_IDLE
        if unwanted and not session.questions and session in self._sessions:
            self._sessions.remove(session)
            await session.close()

    async def _open(self, trace: Trace) -> Session | Failure:
        addresses = await find_addresses(self.url, self.addresses, self.limits)
        if isinstance(addresses, Failure):
            return addresses
        opened = await open_session(
            trace, self.url, addresses, self.limits, self.judge, self.clock_offset
        )
        if isinstance(opened, Session):
            self._sessions.append(opened)
        return opened


async def find_addresses(
    url: str, pinned: Sequence[str], limits: Limits
) -> Sequence[str] | Failure:
    """Return the addresses of a service: the pinned ones, else as the system gives them."""
    host = urlsplit(url).hostname or ""
    if pinned or is_address(host):
        return pinned or (host,)
    found = await asyncio.gather(
        *(ask_system(host, kind, limits.dns_timeout) for kind in ("A", "AAAA"))
    )
    addresses = [each for one in found for each in one.addresses[: limits.addresses_per_family]]
    return addresses or found[0].failure or Failure.DNS_NO_ANSWER


async def open_session(
    trace: Trace,
    url: str,
    addresses: Sequence[str],
    limits: Limits,
    judge: CertificateJudge,
    clock_offset: float,
) -> Session | Failure:
    """Connect to the first address that works.

    Over https only a chain that is valid for the name will do.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    own = Trace(trace.clock, trace.own)
    for address in addresses:
        connection = await connect(own, Stage(), address, port, limits.connect_timeout)
        if connection is None:
            continue
        stream: ByteStream = connection
        if parts.scheme == "https":
            secured = await handshake(
                own, Stage(), connection, parts.hostname, limits.tls_timeout, judge, clock_offset
            )
            if secured is None:
                continue
            if not secured.valid:
                secured.close()
                continue
            stream = secured
        client = httpx.AsyncClient(transport=SingleConnection(url, stream), trust_env=False)
        return Session(client, address, stream.http2, trace.clock.monotonic())
    last = own.steps[-1].failure if own.steps else Failure.DNS_NO_ANSWER
    return Failure(last or Failure.UNKNOWN)
