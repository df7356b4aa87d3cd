"""Look at the vantage's own line first: do neutral hosts at home and abroad work, and the clock."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import msgspec

from probes.addresses import same_operator
from probes.instrument import is_elsewhere, is_hosting, leaves_by_tunnel
from probes.neutral import Neutral, clock_offset, intercepting_issuer
from probes.prober import NeutralHost, Prober
from probes.system_resolver import servers_behind_stub
from probes.visit import Visit
from probes.whoami import Resolver, ask_whoami, has_nat64, is_diverted
from storage.records import Line, LineState, Step


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
            known = self._prober.line.clock_offset_us if self._prober.line else None
            look = await _look(self._prober, known)
            self._looked = self._prober.clock.monotonic()
            if look.line.state == "up":
                return None
            self._prober.begin(look.line, ())
            return look


async def _look(prober: Prober, known_offset_us: int | None) -> Look:
    neutral = prober.settings.neutral
    numbers = itertools.count(1)  # connections are numbered through the whole round record
    home = [Neutral(url, prober.trace(numbers, neutral=True)) for url in neutral.home]
    abroad = [Neutral(url, prober.trace(numbers, neutral=True)) for url in neutral.abroad]
    visited = [*home, *abroad]
    (resolvers, nat64), _ = await asyncio.gather(
        _ask_around(prober), asyncio.gather(*(_visit(prober, each) for each in visited))
    )
    portal, issuer = None, intercepting_issuer(visited)
    works = [each.passed() or each.passed_through(issuer) for each in visited]
    if not any(works):
        portal = await _look_for_portal(prober, neutral.abroad, numbers)
    state = line_state(
        works[: len(home)],
        works[len(home) :],
        portal=portal is not None and portal.last is not None,
    )
    seen = [*visited, portal] if portal else visited
    steps = [step for each in seen for step in each.trace.steps]
    line = Line(
        state=state,
        clock_offset_us=_clock_offset_us(visited, known_offset_us),
        ipv4=_family_passed(visited, issuer, ipv6=False),
        ipv6=_family_passed(visited, issuer, ipv6=True),
        resolver_asn=_resolver_asn(prober, resolvers),
        resolver_at_home=resolver_stands_at_home(prober.system_server),
        resolver_elsewhere=_resolver_elsewhere(prober, resolvers),
        diverted=is_diverted(resolvers, prober.system_server, prober.settings.resolvers.public),
        nat64=nat64,
        intercepted=_intercepted(visited, issuer),
        tunnelled=_tunnelled(prober),
        portal_status=portal.last.status if portal and portal.last else None,
    )
    blobs = {name: data for each in seen for name, data in each.trace.blobs.items()}
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


def _resolver_elsewhere(prober: Prober, resolvers: Sequence[Resolver]) -> bool | None:
    """Tell whether the system's resolver is none of the line's own network: somebody chose it."""
    server, own = prober.system_server, prober.own.public()
    if server is None or not own or stands_at_home(server) is not False:
        return None
    table = prober.networks
    asked = _resolver_asn(prober, resolvers) or (table.asn_of(server) if table else None)
    ours = next(filter(None, map(table.asn_of, own)), None) if table else None
    if asked is not None and ours is not None:
        return asked != ours
    return not any(same_operator(server, each) for each in own)


def stands_at_home(server: str | None) -> bool | None:
    """Tell whether a resolver is in the volunteer's own network, so that a filter there may answer.

    None where it is not known, as of a stub on this machine, which hides whom it asks.
    """
    try:
        address = ipaddress.ip_address((server or "").split("%")[0])
    except ValueError:
        return None
    return None if address.is_loopback else not address.is_global


def resolver_stands_at_home(server: str | None) -> bool | None:
    """Tell whether the system's resolver, or whomever a stub on this machine asks, is at home."""
    known = stands_at_home(server)
    if known is not None or server is None:
        return known
    asked = [stands_at_home(each) for each in servers_behind_stub()]
    return any(asked) if asked and None not in asked else None


def _intercepted(visited: Sequence[Neutral], issuer: str | None) -> bool | None:
    """Tell whether one unknown authority opens up all TLS here; None where no chain was shown."""
    if issuer is not None:
        return True
    return False if any(step.chain for each in visited for step in each.handshakes()) else None


def _tunnelled(prober: Prober) -> bool | None:
    """Tell whether a VPN is suspected.

    By the default route, by a network of servers, or by one that is registered in another country
    than the one in which this installation says it is.
    """
    table, country = prober.networks, prober.vantage.country
    networks = [table.network_of(address) for address in prober.own.public()] if table else []
    by_network = any(
        is_hosting(network.name) or is_elsewhere(network.country, country)
        for network in networks
        if network is not None
    )
    return True if by_network else leaves_by_tunnel()


async def _visit(prober: Prober, neutral: Neutral) -> None:
    visit = Visit(prober, neutral.trace, full=False)
    try:
        await visit.run(neutral.url)
        await visit.settle()
    finally:
        visit.abandon()


async def _look_for_portal(
    prober: Prober, urls: Sequence[str], numbers: itertools.count[int]
) -> Neutral | None:
    """Ask the first neutral host over plain HTTP: a captive portal answers in its place."""
    for url in urls[:1]:
        plain = urlunsplit(urlsplit(url)._replace(scheme="http"))
        portal = Neutral(plain, prober.trace(numbers))
        await _visit(prober, portal)
        return portal
    return None


def line_state(home: Sequence[bool], abroad: Sequence[bool], *, portal: bool) -> LineState:
    """Return the state of a line on which these neutral hosts passed or failed.

    `portal`: something answered plain HTTP although no neutral host passed.
    """
    if not any(home) and not any(abroad):
        return "captive" if portal else "down"
    if abroad and not any(abroad) and 2 * sum(home) > len(home):
        return "foreign-cut"
    passed = sum(home) + sum(abroad)
    return "up" if 2 * passed >= len(home) + len(abroad) else "whitelisted"


def _clock_offset_us(visited: Sequence[Neutral], known: int | None) -> int | None:
    offset = clock_offset(visited)
    return known if offset is None else round(offset * 1e6)


def _family_passed(visited: Sequence[Neutral], issuer: str | None, *, ipv6: bool) -> bool:
    """Tell whether any neutral host was reached over that family, though TLS be opened up."""
    return any(
        (bool(step.valid) or each.passed_through(issuer)) and (":" in step.address) is ipv6
        for each in visited
        for step in each.handshakes()
    )
