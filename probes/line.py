"""Look at the vantage's own line first: do neutral hosts at home and abroad work, and the clock."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from statistics import median
from urllib.parse import urlsplit, urlunsplit

import msgspec

from probes.instrument import is_hosting, leaves_by_tunnel
from probes.prober import NeutralHost, Prober
from probes.trace import Trace
from probes.visit import Visit
from probes.whoami import Resolver, ask_whoami, has_nat64, is_diverted
from storage.failures import Failure
from storage.records import Exchange, Handshake, Line, LineState, Step, utc_seconds

# An HTTP Date is cut to whole seconds: on average the true time is half a second later.
_DATE_ROUNDING = 0.5


@dataclass
class _Neutral:
    """One neutral URL and what a visit to it showed."""

    url: str
    trace: Trace

    @property
    def exchange(self) -> Exchange | None:
        found = [step for step in self.trace.steps if isinstance(step, Exchange)]
        return found[-1] if found else None

    def passed(self) -> bool:
        """Tell whether a page came, over https inside a TLS connection valid for the name."""
        page = self.exchange
        if page is None or page.failure is not None or page.status is None:
            return False
        return not page.url.startswith("https:") or self._handshake_valid(page.connection)

    def _handshake_valid(self, connection: int) -> bool:
        return any(
            isinstance(step, Handshake) and step.connection == connection and bool(step.valid)
            for step in self.trace.steps
        )

    def host(self) -> NeutralHost | None:
        """Return the name and the address at which TLS for it is valid."""
        for step in self.trace.steps:
            if isinstance(step, Handshake) and step.valid and step.server_name and step.hop == 0:
                return NeutralHost(step.server_name, step.address)
        return None

    def offset(self) -> float | None:
        """Return server time minus our time in seconds, from the Date of the page."""
        page = self.exchange
        if page is None:
            return None
        date = next((value for name, value in page.headers if name.lower() == "date"), None)
        try:
            told = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return None
        return told + _DATE_ROUNDING - (utc_seconds(page.start) + page.duration_us / 2e6)

    def unknown_authority(self) -> str | None:
        """Return the issuer of the chain's top, where nobody whom we trust vouches for it."""
        for step in self.trace.steps:
            if isinstance(step, Handshake) and step.failure == Failure.TLS_UNKNOWN_AUTHORITY:
                return step.chain[-1].issuer if step.chain else None
        return None

    def refused_for_its_dates(self) -> bool:
        return any(
            isinstance(step, Handshake) and step.failure == Failure.TLS_INVALID_CERTIFICATE
            for step in self.trace.steps
        )


@dataclass(frozen=True)
class Look:
    """The line's state, the steps that show it, and the neutral hosts that passed."""

    line: Line
    steps: list[Step]
    neutrals: list[NeutralHost]
    blobs: dict[str, bytes]


async def look_at_line(prober: Prober) -> Look:
    """Visit the neutral hosts and return what that says about line and clock.

    Where all of them fail for the dates of their certificates the clock is suspected, and they
    are visited once more with the clock corrected by what they said.
    """
    look = await _look(prober, None)
    if look.line.state != "up" and look.line.clock_offset_us is not None:
        corrected = msgspec.structs.replace(look.line, state="up")
        prober.begin(corrected, ())
        look = await _look(prober, look.line.clock_offset_us)
    return look


class LineWatch:
    """Looks at the line again in the middle of a round, when much fails, but not too often."""

    AT_MOST_EVERY = 30.0  # seconds

    def __init__(self, prober: Prober) -> None:
        self._prober = prober
        self._turn = asyncio.Lock()
        self._looked = prober.clock.monotonic()

    async def look_again(self) -> Look | None:
        """Return the new look where the line is no longer up, and have the prober know it."""
        async with self._turn:
            elapsed = self._prober.clock.monotonic() - self._looked
            if not self._prober.line_is_up or elapsed < self.AT_MOST_EVERY:
                return None
            look = await _look(self._prober, None)
            self._looked = self._prober.clock.monotonic()
            if look.line.state == "up":
                return None
            self._prober.begin(look.line, ())
            return look


async def _look(prober: Prober, known_offset_us: int | None) -> Look:
    neutral = prober.settings.neutral
    numbers = itertools.count(1)  # connections are numbered through the whole round record
    home = [_Neutral(url, prober.trace(numbers, neutral=True)) for url in neutral.home]
    abroad = [_Neutral(url, prober.trace(numbers, neutral=True)) for url in neutral.abroad]
    visited = [*home, *abroad]
    (resolvers, nat64), _ = await asyncio.gather(
        _ask_around(prober), asyncio.gather(*(_visit(prober, each) for each in visited))
    )
    portal = None
    if not any(each.passed() for each in visited):
        portal = await _look_for_portal(prober, neutral.abroad, numbers)
        visited += [portal] if portal else []
    state = line_state(
        [each.passed() for each in home],
        [each.passed() for each in abroad],
        portal=portal is not None and portal.exchange is not None,
    )
    steps = [step for each in visited for step in each.trace.steps]
    line = Line(
        state=state,
        clock_offset_us=_clock_offset_us(visited, known_offset_us),
        ipv4=_family_passed(visited, ipv6=False),
        ipv6=_family_passed(visited, ipv6=True),
        resolver_asn=_resolver_asn(prober, resolvers),
        resolver_at_home=stands_at_home(prober.system_server),
        diverted=is_diverted(resolvers, prober.system_server, prober.settings.resolvers.public),
        nat64=nat64,
        intercepted=_intercepted(visited),
        tunnelled=_tunnelled(prober),
        portal_status=portal.exchange.status if portal and portal.exchange else None,
    )
    blobs = {name: data for each in visited for name, data in each.trace.blobs.items()}
    hosts = [each.host() for each in [*abroad, *home] if each.passed()]
    return Look(line, steps, [host for host in hosts if host], blobs)


async def _ask_around(prober: Prober) -> tuple[list[Resolver], bool]:
    """Ask who we are seen as, and whether IPv4 hosts have made-up IPv6 addresses."""
    resolvers = prober.settings.resolvers
    timeout = prober.settings.limits.dns_timeout
    return await asyncio.gather(
        ask_whoami(resolvers.whoami, prober.own, prober.system_server, resolvers.public, timeout),
        has_nat64(timeout),
    )


def _resolver_asn(prober: Prober, resolvers: Sequence[Resolver]) -> int | None:
    """Return the network of the resolver that answers for the system's."""
    if prober.networks is None:
        return None
    for resolver in resolvers:
        if resolver.server == prober.system_server:
            return next(filter(None, map(prober.networks.asn_of, sorted(resolver.seen_as))), None)
    return None


def stands_at_home(server: str | None) -> bool | None:
    """Tell whether a resolver is in the volunteer's own network, so that a filter there may answer.

    None where it is not known, as of a stub on this machine, which hides whom it asks.
    """
    try:
        address = ipaddress.ip_address((server or "").split("%")[0])
    except ValueError:
        return None
    return None if address.is_loopback else not address.is_global


def _intercepted(visited: Sequence[_Neutral]) -> bool | None:
    """Tell whether one unknown authority vouches for at least two neutral hosts' chains.

    Then it sits on this machine or its network and intercepts everything. None where no neutral
    host showed a chain at all.
    """
    issuers = [issuer for each in visited if (issuer := each.unknown_authority()) is not None]
    if any(issuers.count(issuer) > 1 for issuer in issuers):
        return True
    shown = any(
        isinstance(step, Handshake) and step.chain for each in visited for step in each.trace.steps
    )
    return False if shown else None


def _tunnelled(prober: Prober) -> bool | None:
    """Tell whether a VPN is suspected: by the default route, or by a network of servers."""
    by_route = leaves_by_tunnel()
    networks = (
        [prober.networks.network_of(a) for a in prober.own.public()] if prober.networks else []
    )
    by_network = any(is_hosting(network.name) for network in networks if network is not None)
    return True if by_network else by_route


async def _visit(prober: Prober, neutral: _Neutral) -> None:
    visit = Visit(prober, neutral.trace, full=False)
    try:
        await visit.run(neutral.url)
        await visit.settle()
    finally:
        visit.abandon()


async def _look_for_portal(
    prober: Prober, urls: Sequence[str], numbers: itertools.count[int]
) -> _Neutral | None:
    """Ask the first neutral host over plain HTTP: a captive portal answers in its place."""
    for url in urls[:1]:
        plain = urlunsplit(urlsplit(url)._replace(scheme="http"))
        portal = _Neutral(plain, prober.trace(numbers))
        await _visit(prober, portal)
        return portal
    return None


def line_state(home: Sequence[bool], abroad: Sequence[bool], *, portal: bool) -> LineState:
    """Return the state of a line on which these neutral hosts passed or failed.

    `portal`: something answered plain HTTP although no neutral host passed.
    """
    if not any(home) and not any(abroad):
        return "captive" if portal else "down"
    if abroad and not any(abroad):
        return "foreign-cut"
    passed = sum(home) + sum(abroad)
    return "up" if 2 * passed >= len(home) + len(abroad) else "whitelisted"


def _clock_offset_us(visited: Sequence[_Neutral], known: int | None) -> int | None:
    """Return the median offset by hosts in valid TLS, or by those that only dates refuse."""
    trusted = [each.offset() for each in visited if each.passed()]
    if not any(offset is not None for offset in trusted):
        trusted = [each.offset() for each in visited if each.refused_for_its_dates()]
    offsets = [offset for offset in trusted if offset is not None]
    return round(median(offsets) * 1e6) if offsets else known


def _family_passed(visited: Sequence[_Neutral], *, ipv6: bool) -> bool:
    """Tell whether any neutral host completed valid TLS over that family."""
    return any(
        isinstance(step, Handshake) and bool(step.valid) and (":" in step.address) is ipv6
        for each in visited
        for step in each.trace.steps
    )
