"""Look at a URL for an asker: names, endpoints and the page, with the steps of our own probes."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpx

from probes import helper_protocol as protocol
from probes.addresses import endpoint, is_address
from probes.answers import TYPES
from probes.answers import Answer as DnsAnswer
from probes.certificates import CertificateJudge
from probes.clock import Clock
from probes.helper_destinations import Destinations
from probes.helper_limits import HelperLimits
from probes.http import ByteStream, Reply, SingleConnection, browser_headers, exchange
from probes.own import OwnAddresses
from probes.redirects import MOST_HOPS, REDIRECTS, next_url
from probes.settings import BROWSER_USER_AGENT
from probes.system_resolver import ask_system
from probes.tcp import Connection, connect
from probes.tls import TlsStream, handshake
from probes.trace import Stage, Trace
from storage.failures import Failure
from storage.networks import NetworksTable
from storage.records import Connect, Exchange, Handshake

_PASSED_ON = frozenset({"user-agent", "accept", "accept-language"})
_MOST_ADDRESSES = 4  # of a page's host that are tried one after the other
_LONGEST_VALUE = 2048
_H3 = re.compile(r'\bh3="([^":]{0,253}):([0-9]{1,5})"')

Resolve = Callable[[str, float], Awaitable[Sequence[DnsAnswer]]]


async def resolve_by_system(host: str, timeout: float) -> Sequence[DnsAnswer]:
    """Ask the machine's resolver for both families."""
    return await asyncio.gather(*(ask_system(host, kind, timeout) for kind in TYPES))


class _Public(OwnAddresses):
    """A helper's own address is known to everybody: nothing is to be kept out of its answers."""

    def learn_told(self, text: str) -> bool:
        return False


@dataclass(frozen=True)
class Lookout:
    """Looks at URLs from this machine."""

    clock: Clock
    judge: CertificateJudge
    limits: HelperLimits
    destinations: Destinations
    tool: str
    networks: NetworksTable | None = None
    resolve: Resolve = resolve_by_system

    async def look(
        self, url: str, headers: dict[str, list[str]], asked: Sequence[str]
    ) -> protocol.Answer:
        """Look at a URL in normal form and at the asker's endpoints; what fails is an answer."""
        parts, trace = urlsplit(url), Trace(self.clock, _Public())
        dns = await self.names(parts.hostname or "")
        wanted = self._endpoints(parts, dns.addrs, asked)
        page = _Visit(self, Trace(self.clock, _Public()), _chosen(headers))
        with contextlib.suppress(TimeoutError):  # what is there by then is the answer
            async with asyncio.timeout(self.limits.look_seconds):
                await asyncio.gather(
                    page.run(url, dns), *(self._try(trace, parts, *each) for each in wanted)
                )
        return self._answer(parts, dns, asked, trace, page)

    # --- names and endpoints ---

    async def names(self, host: str) -> protocol.Resolved:
        """Return the addresses of a host, whatever they are; an address is its own."""
        if is_address(host):
            return protocol.Resolved(addrs=[host])
        answers = await self.resolve(host, self.limits.dns_seconds)
        addresses = [address for answer in answers for address in answer.addresses]
        words = [word for answer in answers if (word := protocol.dns_word(answer.failure))]
        failure = words[0] if words and not addresses else None
        return protocol.Resolved(failure=failure, addrs=addresses)

    def _endpoints(
        self, parts: SplitResult, addresses: Iterable[str], asked: Iterable[str]
    ) -> list[tuple[str, int]]:
        """Return what to try: our addresses at the URL's ports, then the asker's, where allowed."""
        own_ports = [parts.port] if parts.port else [443] if parts.scheme == "https" else [80, 443]
        ours = [(address, port) for address in addresses for port in own_ports]
        theirs = [each for text in asked if (each := _parsed(text)) is not None]
        allowed = [
            (address, port)
            for address, port in dict.fromkeys([*ours, *theirs])
            if self.destinations.allows(address) and port in {80, 443, parts.port}
        ]
        return allowed[: self.limits.endpoints]

    async def _try(self, trace: Trace, parts: SplitResult, address: str, port: int) -> None:
        connection = await connect(trace, Stage(), address, port, self.limits.connect_seconds)
        if connection is None:
            return
        if port == 443:
            await self.shake(trace, Stage(), connection, parts.hostname or "")
        connection.close()

    async def shake(
        self, trace: Trace, stage: Stage, connection: Connection, host: str
    ) -> TlsStream | None:
        """Shake hands over an open connection, for a name unless the host is an address."""
        name = None if is_address(host) else host
        return await handshake(
            trace, stage, connection, name, self.limits.tls_seconds, self.judge, 0.0
        )

    # --- what is said of it ---

    def _answer(
        self,
        parts: SplitResult,
        dns: protocol.Resolved,
        asked: Sequence[str],
        trace: Trace,
        page: _Visit,
    ) -> protocol.Answer:
        host = parts.hostname or ""
        shakes = [step for step in trace.steps if isinstance(step, Handshake)]
        connects = [step for step in trace.steps if isinstance(step, Connect)]
        valid = {step.address for step in shakes if step.failure is None}
        return protocol.Answer(
            tcp_connect={
                endpoint(step.address, step.port): protocol.Connected(
                    status=step.failure is None, failure=protocol.connect_word(step.failure)
                )
                for step in connects
            },
            tls_handshake={
                endpoint(step.address, step.port): protocol.Shaken(
                    server_name=host,
                    status=step.failure is None,
                    failure=protocol.handshake_word(step.failure),
                )
                for step in shakes
            },
            http_request=page.told(host),
            dns=dns,
            ip_info=self._ip_info(dns.addrs, asked, valid),
            x_sitewatch=self._extra(page, shakes),
        )

    def _ip_info(
        self, found: Sequence[str], asked: Sequence[str], valid: set[str]
    ) -> dict[str, protocol.AddressInfo]:
        theirs = {each[0] for text in asked if (each := _parsed(text)) is not None}
        info = {}
        for address in dict.fromkeys([*found, *sorted(theirs)[: self.limits.endpoints]]):
            flags = protocol.FROM_PROBE if address in theirs else 0
            flags |= protocol.FROM_HELPER if address in found else 0
            flags |= 0 if self.destinations.allows(address) else protocol.BOGON
            flags |= protocol.VALID_TLS if address in valid else 0
            asn = self.networks.asn_of(address) if self.networks else None
            info[address] = protocol.AddressInfo(asn=asn or 0, flags=flags)
        return info

    def _extra(self, page: _Visit, shakes: Iterable[Handshake]) -> protocol.Extra:
        got = page.last if page.failure is None else None
        return protocol.Extra(
            tool=self.tool,
            simhash=got.simhash if got else None,
            body_sha256=got.body_sha256 if got else None,
            language=got.language if got else None,
            truncated=bool(got and got.truncated),
            spki={
                endpoint(step.address, step.port): step.chain[0].spki_sha256
                for step in shakes
                if step.chain and step.chain[0].spki_sha256
            },
        )


class _Visit:
    """A visit to a page: one address of each hop, valid TLS only, redirects followed."""

    def __init__(self, lookout: Lookout, trace: Trace, headers: dict[str, str]) -> None:
        self._lookout = lookout
        self._trace = trace
        self._headers = headers
        self._cookies = httpx.Cookies()
        self.last: Exchange | None = None
        self.failure: str | None = None

    async def run(self, url: str, names: protocol.Resolved) -> None:
        """Follow `url`, whose names are known, to its end within the time for a page."""
        try:
            async with asyncio.timeout(self._lookout.limits.page_seconds):
                await self._follow(url, names)
        except TimeoutError:
            self.failure = Failure.TIMEOUT
        except asyncio.CancelledError:  # the time for all together is over
            self.failure = Failure.TIMEOUT
            raise

    async def _follow(self, url: str, names: protocol.Resolved) -> None:
        for hop in range(MOST_HOPS + 1):
            parts = urlsplit(url)
            if hop > 0:
                names = await self._lookout.names(parts.hostname or "")
            reply = await self._fetch(Stage(hop=hop), parts, names)
            if reply is None or self.failure is not None or reply.status not in REDIRECTS:
                return
            following = next_url(url, reply.header("location"))
            assert following is not None  # else the exchange has failed
            url = following

    async def _fetch(
        self, stage: Stage, parts: SplitResult, names: protocol.Resolved
    ) -> Reply | None:
        """Fetch one hop from the first address that opens; None, and why, where none does."""
        destinations = self._lookout.destinations
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self.failure = Failure.ADDRESS_FORBIDDEN if names.addrs else Failure.DNS_NO_ANSWER
        allowed = [each for each in names.addrs if destinations.allows(each)]
        for address in allowed[:_MOST_ADDRESSES] if destinations.allows_port(port) else ():
            stream = await self._open(stage, parts, address, port)
            if stream is not None:
                try:
                    return await self._get(stage, parts, address, stream)
                finally:
                    stream.close()
        return None

    async def _open(
        self, stage: Stage, parts: SplitResult, address: str, port: int
    ) -> ByteStream | None:
        limits, host = self._lookout.limits, parts.hostname or ""
        connection = await connect(self._trace, stage, address, port, limits.connect_seconds)
        if connection is None or parts.scheme != "https":
            self.failure = self._trace.steps[-1].failure
            return connection
        stream = await self._lookout.shake(self._trace, stage, connection, host)
        self.failure = self._trace.steps[-1].failure
        if stream is not None and not stream.valid:
            stream.close()
            return None
        return stream

    async def _get(
        self, stage: Stage, parts: SplitResult, address: str, stream: ByteStream
    ) -> Reply:
        limits, url = self._lookout.limits, parts.geturl()
        transport = SingleConnection(url, stream)
        async with httpx.AsyncClient(
            transport=transport, cookies=self._cookies, trust_env=False
        ) as client:
            reply = await exchange(
                self._trace,
                stage,
                client,
                client.build_request("GET", url, headers=self._headers),
                0,
                address,
                timeout=limits.page_seconds,
                trusted=True,
                protocol=transport.protocol,
                cap=limits.page_bytes,
            )
            self._cookies = httpx.Cookies(client.cookies)
        step = self._trace.steps[-1]
        assert isinstance(step, Exchange)
        self._trace.blobs.clear()  # nothing of it is kept
        self.last, self.failure = step, step.failure
        return reply

    def told(self, host: str) -> protocol.Page:
        """Return what is said of the page that the visit ended at."""
        if self.failure is not None or self.last is None:
            return protocol.Page(failure=protocol.page_word(self.failure or Failure.UNKNOWN))
        headers: dict[str, str] = {}
        for name, value in self.last.headers:
            headers.setdefault(name, value[:_LONGEST_VALUE])
        told = protocol.header_map(headers)
        offer = _H3.search(told.get("Alt-Svc", ""))
        return protocol.Page(
            body_length=self.last.body_bytes if self.last.body_bytes is not None else -1,
            discovered_h3_endpoint=f"{offer[1] or host}:{offer[2]}" if offer else "",
            title=self.last.title or "",
            headers=told,
            status_code=self.last.status or -1,
        )


def _chosen(headers: dict[str, list[str]]) -> dict[str, str]:
    """Return a browser's headers, with the asker's where a helper honours them."""
    chosen = browser_headers(BROWSER_USER_AGENT)
    named = {name.lower(): name for name in chosen}
    for name, values in headers.items():
        value = values[0] if values else ""
        if name.lower() in _PASSED_ON and value and value.isascii() and value.isprintable():
            chosen[named[name.lower()]] = value
    return chosen


def _parsed(text: str) -> tuple[str, int] | None:
    """Return address and port of `address:port`, None where it is none."""
    address, _, port = text.rpartition(":")
    address = address.strip("[]")
    if not (is_address(address) and port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    return (address, int(port)) if "%" not in address and 0 < int(port) <= 65535 else None
