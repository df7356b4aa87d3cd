"""Visit a URL as a browser would, hop by hop: names, connections, TLS, the page, redirects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import httpx

from probes import quic
from probes.addresses import family_of, is_address, is_forbidden
from probes.answers import TYPES
from probes.dns import Asked, Question, look_up_system, look_up_udp
from probes.doh import DohResolver
from probes.http import ByteStream, Reply, SingleConnection, browser_headers, exchange
from probes.prober import LONG, Prober
from probes.redirects import MOST_HOPS, next_url
from probes.tcp import connect
from probes.tls import TlsStream, handshake
from probes.trace import Stage, Trace
from probes.udp import UdpAsking
from storage.failures import Failure
from storage.records import Connect

_T = TypeVar("_T")
# Pages are what fills a thin line: they keep the slot, unless one has stopped for good.
_A_STALL = 5.0
# Names come late where the machine or the line has too much to do: to begin even more would make it
# worse, and answers of healthy sites miss their time. Only resolvers that are silent take so long.
_A_DEAF_RESOLVER = 2.0
_FOLLOWING_SECONDS = 20.0  # after which no redirect is followed; one hop may take 40


@dataclass
class Addresses:
    """What the resolvers gave: the system's, and those that only others know."""

    system: list[str]
    others: list[str]


@dataclass
class Visit:
    """A visit in progress or done."""

    prober: Prober
    trace: Trace
    full: bool  # ask all resolvers and try all addresses, not only what a browser would
    attempt: int = 0
    slot: bool = False  # is it made while holding one of the prober's slots
    first_hop: asyncio.Future[Addresses] | None = None  # told when the first names are known
    known_outside: Sequence[str] = ()  # addresses of the first name that nobody here gave
    quic_tried: bool = False
    follow_while: float = 0.0  # so much patience is left
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)
    asked: list[Asked] = field(default_factory=list)

    async def run(self, url: str) -> None:
        """Follow `url` to its end; the steps go to the trace."""
        seen: str | None = None
        patience = self.trace.patience
        self.follow_while = max(0.0, patience.left() - _FOLLOWING_SECONDS)
        for hop in range(MOST_HOPS + 1):
            stage = Stage("repeat" if self.attempt else "main", hop, self.attempt)
            parts = urlsplit(url)
            resolving = patience.during(self._resolve, stage, parts.hostname or "")
            addresses = await self.patiently(resolving, _A_DEAF_RESOLVER)
            if self.first_hop is not None and not self.first_hop.done():
                self.first_hop.set_result(addresses)
            reply = await self._fetch(stage, parts, addresses, referer=seen)
            following = next_url(url, reply.header("location")) if reply else None
            if reply is None or not reply.leads_on or following is None:
                return
            seen, url = url, following

    async def patiently(self, work: Awaitable[_T], long: float = LONG) -> _T:
        """Wait for `work`; where the visit holds a slot, a long wait gives it to others."""
        return await (self.prober.patiently(work, long) if self.slot else work)

    async def settle(self) -> None:
        """Wait for the resolvers that are still listened to."""
        for each in self.asked:
            await self.trace.patience.during(each.settle)

    def abandon(self) -> None:
        """Stop listening; what was heard until now is recorded."""
        for each in self.asked:
            each.abandon()

    # --- names ---

    async def _resolve(self, stage: Stage, host: str) -> Addresses:
        if is_address(host):
            forbidden = stage.hop > 0 and self._is_forbidden(host)
            if forbidden:
                self._record_forbidden(stage, host)
            return Addresses([] if forbidden else [host], [])
        limits, public = self.prober.settings.limits, []
        timeout = self.trace.patience.at_most(limits.dns_timeout)
        if self.full:
            public = [each for each in self.prober.settings.resolvers.public if self._has(each)]
        own = [server for server in (self.prober.system_server,) if server is not None]
        asking = UdpAsking(self.trace, [*own, *public], host, TYPES, timeout)
        beside = asking.asked[0] if own else None
        try:
            (system, *others), trusted = await asyncio.gather(
                asyncio.gather(
                    self._note(look_up_system(stage, asking, beside)),
                    *(
                        self._note(look_up_udp(stage, asking, each))
                        for each in asking.asked[len(own) :]
                    ),
                ),
                self._ask_encrypted(stage, host),
            )
        except BaseException:
            asking.listening.cancel()
            raise
        foreign = [*(address for each in others for address in each), *trusted]
        foreign += self.known_outside if stage.hop == 0 else ()
        return Addresses(
            self._allowed(stage, system),
            self._allowed(stage, [each for each in foreign if each not in system]),
        )

    async def _note(self, asking: Awaitable[Asked]) -> list[str]:
        """Return the addresses that were answered; what still comes will be recorded too."""
        asked = await asking
        self.asked.append(asked)
        return [address for answer in asked.answers for address in answer.addresses]

    async def _ask_encrypted(self, stage: Stage, host: str) -> list[str]:
        """Ask the encrypted resolvers in their order until one answers."""
        if not self.full:
            return []
        for resolver in self.prober.doh:
            answers = await asyncio.gather(
                *(self._ask_one(resolver, Question(stage, host, kind)) for kind in TYPES)
            )
            if any(answer is not None for answer in answers):
                await self._ask_offers(resolver, stage, host)
                return [address for answer in answers for address in answer or ()]
        return []

    async def _ask_one(self, resolver: DohResolver, question: Question) -> tuple[str, ...] | None:
        answer = await resolver.look_up(self.trace, question)
        return None if answer.rcode is None else answer.addresses

    async def _ask_offers(self, resolver: DohResolver, stage: Stage, host: str) -> None:
        """Ask which protocols the site offers, as browsers do over encrypted DNS."""
        if stage.hop == 0:
            await resolver.look_up(self.trace, Question(stage, host, "HTTPS"))

    def _has(self, address: str) -> bool:
        line = self.prober.line
        return line is None or family_of(address).name == "AF_INET" or bool(line.ipv6)

    def _allowed(self, stage: Stage, answers: Iterable[str]) -> list[str]:
        """Return the addresses to try: bounded per family; forbidden ones are recorded instead.

        A reload begins with those that were not tried before, so that by chance alone none of
        several addresses goes unseen, and goes on with those that opened: a site that has an open
        address is one that can be reached.
        """
        known = (step for step in self.trace.steps if isinstance(step, Connect))
        tried = [step for step in known if step.attempt < stage.attempt]
        rank = {step.address: 2 for step in tried}
        rank |= {step.address: 1 for step in tried if step.failure is None}
        taken: dict[str, list[str]] = {"AF_INET": [], "AF_INET6": []}
        for address in sorted(dict.fromkeys(answers), key=lambda each: rank.get(each, 0)):
            family = taken[family_of(address).name]
            if not self._has(address):
                continue
            if len(family) >= self.prober.settings.limits.addresses_per_family:
                continue
            family.append(address)
        chosen = [*taken["AF_INET"], *taken["AF_INET6"]]
        for address in filter(self._is_forbidden, chosen):
            self._record_forbidden(stage, address)
        return [address for address in chosen if not self._is_forbidden(address)]

    def _is_forbidden(self, address: str) -> bool:
        return is_forbidden(address) or self.prober.own.is_own(address)

    def _record_forbidden(self, stage: Stage, address: str) -> None:
        watch = self.trace.watch()
        self.trace.steps.append(
            Connect(
                purpose=stage.purpose,
                hop=stage.hop,
                attempt=stage.attempt,
                connection=self.trace.next_connection(),
                address=address,
                port=0,
                failure=Failure.ADDRESS_FORBIDDEN,
                start=watch.start,
                duration_us=0,
            )
        )

    # --- connections and the page ---

    async def _fetch(
        self, stage: Stage, parts: SplitResult, addresses: Addresses, referer: str | None
    ) -> Reply | None:
        """Open all addresses, get the page over the one that a browser would use.

        Where none of the system's addresses works the page is still fetched over another, as
        evidence; that reply is not followed any further.
        """
        tried, patience = [*addresses.system, *addresses.others], self.trace.patience
        async with AsyncExitStack() as held:
            sockets = held.enter_async_context(self.trace.sockets.taken(len(tried)))
            await self.patiently(sockets)
            opening = patience.during(self._open_all, stage, parts, tried)
            opened = await self.patiently(opening)
            streams = dict(zip(tried, opened, strict=True))
            usable = [each for each in tried if streams[each] is not None]
            try:
                chosen, reply = self._choose(usable, addresses, streams), None
                if chosen is not None:
                    stream = streams[chosen]
                    getting = patience.during(self._get, stage, parts, chosen, stream, referer)
                    reply = await self.patiently(getting, _A_STALL)
            finally:
                for stream in opened:
                    if stream is not None:
                        stream[0].close()
        beside = [chosen] if chosen in addresses.system else addresses.system[:1]
        for address in filter(None, beside):
            await self.patiently(self._shake_quic(stage, parts, address, reply))
        return reply if chosen in addresses.system else None

    async def _shake_quic(
        self, stage: Stage, parts: SplitResult, address: str, reply: Reply | None
    ) -> None:
        """Shake hands over QUIC beside TCP, once in a measurement, where the site offers it."""
        host, passes = parts.hostname or "", self.prober.quic_may_pass
        wanted = self.full and parts.scheme == "https" and not is_address(host) and passes
        if not wanted or self.quic_tried or not quic.is_there():
            return
        here = [step for step in self.trace.steps if step.hop == stage.hop]
        port = quic.offered_port(reply.headers if reply else [], here)
        patience, timeout = self.trace.patience, self.prober.settings.limits.tls_timeout
        if port is None or patience.left() < timeout:
            return
        self.quic_tried = True
        async with self.trace.holding_sockets():
            step = await patience.during(
                quic.shake_quic, self.trace, stage, address, port, host, timeout
            )
        self.prober.note_quic(passed=quic.spoke(step))

    @staticmethod
    def _choose(
        usable: list[str],
        addresses: Addresses,
        streams: dict[str, tuple[ByteStream, int, bool] | None],
    ) -> str | None:
        def rank(address: str) -> tuple[bool, bool]:
            stream = streams[address]
            trusted = stream is not None and stream[2]
            return (address not in addresses.system, not trusted)

        return min(usable, key=rank, default=None)

    async def _open_all(
        self, stage: Stage, parts: SplitResult, tried: Sequence[str]
    ) -> list[tuple[ByteStream, int, bool] | None]:
        return await asyncio.gather(*(self._open(stage, parts, each) for each in tried))

    async def _open(
        self, stage: Stage, parts: SplitResult, address: str
    ) -> tuple[ByteStream, int, bool] | None:
        """Connect and, for https, shake hands: stream, connection number, valid TLS or not."""
        limits, host = self.prober.settings.limits, parts.hostname or ""
        at_most = self.trace.patience.at_most
        port = parts.port or (443 if parts.scheme == "https" else 80)
        timeout = at_most(limits.connect_timeout)
        connection = await connect(self.trace, stage, address, port, timeout)
        if connection is None or parts.scheme != "https":
            return None if connection is None else (connection, connection.number, False)
        stream: TlsStream | None = await handshake(
            self.trace,
            stage,
            connection,
            None if is_address(host) else host,
            at_most(limits.tls_timeout),
            self.prober.judge,
            self.prober.clock_offset,
        )
        return None if stream is None else (stream, connection.number, stream.valid)

    async def _get(
        self,
        stage: Stage,
        parts: SplitResult,
        address: str,
        opened: tuple[ByteStream, int, bool] | None,
        referer: str | None,
    ) -> Reply:
        assert opened is not None
        stream, number, trusted = opened
        url, settings = parts.geturl(), self.prober.settings
        transport = SingleConnection(url, stream)
        async with httpx.AsyncClient(
            transport=transport, cookies=self.cookies, trust_env=False
        ) as client:
            request = client.build_request(
                "GET", url, headers=browser_headers(settings.user_agent, referer)
            )
            reply = await exchange(
                self.trace,
                stage,
                client,
                request,
                number,
                address,
                timeout=self.trace.patience.at_most(settings.limits.http_timeout),
                trusted=trusted,
                protocol=transport.protocol,
                wire=stream.wire_received,
                late=lambda: self.trace.patience.left() <= self.follow_while,
            )
            self.cookies = httpx.Cookies(client.cookies)
        return reply
