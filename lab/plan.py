"""The plan of a world: every address and every path, drawn from a seed and nothing else.

The same scenario and seed always give the same plan, so that each process of a world can work it
out for itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

from lab.described import Place, Site
from lab.scenario import Scenario

ABROAD = "abroad"  # name of the namespace in which the helpers live
SERVERS = "servers"  # name of the namespace in which all other servers live

# First octets under which ordinary networks are found: nothing special-purpose begins with them.
_FIRST_OCTETS = (23, 31, 37, 45, 46, 62, 77, 78, 80, 82, 84, 88, 91, 93, 95, 109, 146, 151, 176)
_TAKEN = ("8.8.8.0/24", "9.9.9.0/24")
_FIRST_OPERATOR_ASN = 65536  # of the range reserved for documentation

PUBLIC_RESOLVERS = {"8.8.8.8": "dns.google", "9.9.9.9": "dns.quad9.net"}


@dataclass(frozen=True)
class PlannedNetwork:
    """A client network: the address of its one client and of its operator's resolver."""

    name: str
    country: str
    asn: int
    latency: float  # seconds one way
    client: str
    resolver: str
    routers: tuple[str, ...]  # the operator's own, nearest first


@dataclass(frozen=True)
class PlannedSite:
    """A site and where it is. `by_resolver` is empty where all resolvers say the same."""

    site: Site
    addresses: tuple[str, ...]
    by_resolver: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.site.host, *self.site.names)

    def answer(self, resolver: str) -> tuple[str, ...]:
        """Return the addresses that the resolver at this address gives for the site."""
        own = self.by_resolver.get(resolver)
        return (own,) if own else self.addresses


@dataclass(frozen=True)
class PlannedHelper:
    """A helper: its host name, address, country."""

    host: str
    address: str
    country: str
    dead: bool


@dataclass(frozen=True)
class Route:
    """The way from a network to an address. The censor's box stands before router `censor`."""

    routers: tuple[str, ...]  # nearest first
    censor: int  # hop number, from 1


@dataclass(frozen=True)
class Plan:
    """Everything about a world that the seed decides."""

    scenario: Scenario
    seed: int
    networks: dict[str, PlannedNetwork]
    sites: dict[str, PlannedSite]  # by host
    helpers: tuple[PlannedHelper, ...]
    transit: tuple[str, ...]  # first three octets of the transit operators' routers
    asns: dict[str, int]  # by the first three octets of an address

    def resolvers(self) -> list[str]:
        """Return the addresses of all resolvers."""
        return [*(network.resolver for network in self.networks.values()), *PUBLIC_RESOLVERS]

    def server_addresses(self) -> list[str]:
        """Return every address of the servers' namespace, each once."""
        found = dict.fromkeys(self.resolvers())
        for planned in self.sites.values():
            found.update(dict.fromkeys(planned.addresses))
        return list(found)

    def namespace_of(self) -> dict[str, str]:
        """Return for each address of the world the name of the namespace that owns it."""
        owners = dict.fromkeys(self.server_addresses(), SERVERS)
        owners.update({helper.address: ABROAD for helper in self.helpers})
        owners.update({network.client: network.name for network in self.networks.values()})
        return owners

    def visitor(self, address: str) -> tuple[str, str]:
        """Return network name and country of a visitor's address ("" where unknown)."""
        for network in self.networks.values():
            if address == network.client:
                return network.name, network.country
        for helper in self.helpers:
            if address == helper.address:
                return ABROAD, helper.country
        return "", ""

    def asn(self, address: str) -> int:
        """Return the number of the operator of an address, 0 where unknown."""
        return self.asns.get(_block_of(address), 0)

    def addresses_of(self, host_or_address: str) -> tuple[str, ...]:
        """Return the addresses of a site or helper by name; an address stands for itself."""
        for planned in self.sites.values():
            if host_or_address in planned.names:
                return planned.addresses
        helpers = {helper.host: helper.address for helper in self.helpers}
        return (helpers.get(host_or_address, host_or_address),)

    def route(self, network: str, address: str) -> Route:
        """Return the way from a client network (or ABROAD) to an address."""
        here = self.networks.get(network)
        own = here.routers if here else ()
        if here is not None and address == here.resolver:
            return Route(own, 2)
        chance = Random(f"{self.seed}/{network}/{_block_of(address)}")
        count = chance.randint(2, 3) if self._place(address) == "home" else chance.randint(4, 7)
        transit = (f"{chance.choice(self.transit)}.{chance.randint(1, 250)}" for _ in range(count))
        return Route((*own, *transit, f"{_block_of(address)}.1"), 2)

    def _place(self, address: str) -> Place:
        for planned in self.sites.values():
            if address in planned.addresses:
                return planned.site.place
        return "abroad"


def _block_of(address: str) -> str:
    return address.rpartition(".")[0]


class _Blocks:
    """Hands out networks of 256 addresses, never one twice, each with its operator's number."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._taken = {_block_of(network) for network in _TAKEN}
        self.asns: dict[str, int] = {"8.8.8": 65551, "9.9.9": 65550}

    def next(self, asn: int = 0) -> str:
        """Return the first three octets of a new block."""
        while True:
            first = self._chance.choice(_FIRST_OCTETS)
            block = f"{first}.{self._chance.randint(0, 255)}.{self._chance.randint(0, 255)}"
            if block not in self._taken and ipaddress.ip_network(f"{block}.0/24").is_global:
                self._taken.add(block)
                self.asns[block] = asn or _FIRST_OPERATOR_ASN + len(self.asns) % 14
                return block

    def host(self) -> str:
        """Return an address in a block of its own."""
        return f"{self.next()}.{self._chance.randint(2, 250)}"


def make_plan(scenario: Scenario, seed: int) -> Plan:
    """Draw the plan of a world."""
    chance = Random(f"sitewatch-lab/{seed}")
    blocks = _Blocks(chance)
    networks = {
        network.name: _plan_network(
            network.name,
            scenario.country,
            network.asn,
            network.latency_ms / 1000,
            blocks.next(network.asn),
            chance,
        )
        for network in scenario.networks
    }
    resolvers = [*(network.resolver for network in networks.values()), *PUBLIC_RESOLVERS]
    return Plan(
        scenario=scenario,
        seed=seed,
        networks=networks,
        sites=_plan_sites(scenario.all_sites(), resolvers, blocks),
        helpers=tuple(
            PlannedHelper(
                urlsplit(helper.url).hostname or "", blocks.host(), helper.country, helper.dead
            )
            for helper in scenario.helpers
        ),
        transit=tuple(blocks.next() for _ in range(4)),
        asns=blocks.asns,
    )


def _plan_network(
    name: str, country: str, asn: int, latency: float, block: str, chance: Random
) -> PlannedNetwork:
    return PlannedNetwork(
        name=name,
        country=country,
        asn=asn,
        latency=latency,
        client=f"{block}.{chance.randint(100, 250)}",
        resolver=f"{block}.{chance.randint(40, 60)}",
        routers=tuple(f"{block}.{hop}" for hop in range(1, chance.randint(4, 5))),
    )


def _plan_sites(
    sites: Sequence[Site], resolvers: Sequence[str], blocks: _Blocks
) -> dict[str, PlannedSite]:
    planned: dict[str, PlannedSite] = {}
    for site in sites:
        if site.cdn:
            by_resolver = {resolver: blocks.host() for resolver in resolvers}
            planned[site.host] = PlannedSite(site, tuple(by_resolver.values()), by_resolver)
        elif not site.share:
            planned[site.host] = PlannedSite(site, (blocks.host(),))
    for site in sites:
        if site.share and not site.cdn:
            shared = planned[site.share]
            planned[site.host] = PlannedSite(site, shared.addresses, shared.by_resolver)
    return planned
