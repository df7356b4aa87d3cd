"""The plan of a world: every address and every path, drawn from a seed and nothing else.

The same scenario and seed always give the same plan, so that each process of a world can work it
out for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random
from typing import Literal
from urllib.parse import urlsplit

from lab.addresses import Blocks, block_of
from lab.described import HelperServer, Network, Place, Site
from lab.scenario import Scenario

ABROAD = "abroad"  # name of the namespace in which the helpers live
SERVERS = "servers"  # name of the namespace in which all other servers live

PUBLIC_RESOLVERS = {"8.8.8.8": "dns.google", "9.9.9.9": "dns.quad9.net"}
PUBLIC_RESOLVERS6 = {"2001:4860:4860::8888": "dns.google", "2620:fe::fe": "dns.quad9.net"}
_TRANSIT_OPERATORS = 4
_CDN_TURNS, _CDN_TURN_SECONDS = 4, 10
_HOME = "192.168"  # first octets of the private networks behind NATs


@dataclass(frozen=True)
class PlannedNetwork:
    """A client network: the addresses of its one client and of its operator's resolver."""

    name: str
    country: str  # in which servers believe the client to be
    asn: int
    described: Network
    client: str  # as the world sees it
    resolver: str
    routers: tuple[str, ...]  # the operator's own, nearest first
    inside: str  # the client's own address where a NAT stands before it, else the same
    client6: str = ""
    resolver6: str = ""
    routers6: tuple[str, ...] = ()

    def own_addresses(self) -> list[str]:
        """Return the addresses that the client's machine has."""
        ipv4 = [] if self.described.nat64 else [self.inside]
        return ipv4 + ([self.client6] if self.client6 else [])

    def name_server(self) -> str:
        """Return the address of the resolver that the client's machine is told to ask."""
        return self.resolver6 if self.described.nat64 else self.resolver


@dataclass(frozen=True)
class PlannedSite:
    """A site and where it is. `edges` are a CDN's addresses by resolver, by network or by turn."""

    site: Site
    addresses: tuple[str, ...]
    edges: dict[str, str] = field(default_factory=dict)
    addresses6: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.site.host, *self.site.names)

    @property
    def everywhere(self) -> tuple[str, ...]:
        """Its addresses of both families."""
        return self.addresses + self.addresses6

    def answer(self, resolver: str, network: str, now: float) -> tuple[str, ...]:
        """Return the IPv4 addresses that a resolver gives to a network's clients at a time."""
        keys = (resolver, network, f"turn {int(now // _CDN_TURN_SECONDS) % _CDN_TURNS}")
        own = next((self.edges[key] for key in keys if key in self.edges), None)
        return (own,) if own else self.addresses


@dataclass(frozen=True)
class PlannedHelper:
    """A helper: its host name, addresses, country."""

    host: str
    address: str
    country: str
    described: HelperServer
    address6: str = ""

    @property
    def everywhere(self) -> tuple[str, ...]:
        return (self.address, self.address6) if self.address6 else (self.address,)


@dataclass(frozen=True)
class Middle:
    """A box on the way that answers connections itself, whoever they were meant for."""

    name: str  # of its namespace
    network: str
    purpose: Literal["captive", "antivirus"]
    number: int  # of its description in the scenario
    hop: int  # routers between the client and it
    address: str  # from which it asks others itself


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
    transit: tuple[str, ...]  # blocks of the transit operators' routers
    transit6: tuple[str, ...]
    asns: dict[str, int]  # by block
    middles: tuple[Middle, ...] = ()

    @property
    def has_ipv6(self) -> bool:
        """Whether anybody in the world has an IPv6 address."""
        servers = any(planned.addresses6 for planned in self.sites.values())
        return servers or any(network.client6 for network in self.networks.values())

    def public_resolvers(self) -> dict[str, str]:
        """Return the public resolvers' names by address."""
        return PUBLIC_RESOLVERS | (PUBLIC_RESOLVERS6 if self.has_ipv6 else {})

    def resolvers(self) -> list[str]:
        """Return the addresses of all resolvers."""
        own = [network.resolver for network in self.networks.values()]
        own6 = [network.resolver6 for network in self.networks.values() if network.resolver6]
        return [*own, *own6, *self.public_resolvers()]

    def server_addresses(self) -> list[str]:
        """Return every address of the servers' namespace, each once."""
        found = dict.fromkeys(self.resolvers())
        for planned in self.sites.values():
            found.update(dict.fromkeys(planned.everywhere))
        return list(found)

    def helper_addresses(self) -> list[str]:
        """Return every address of the namespace abroad."""
        return [address for helper in self.helpers for address in helper.everywhere]

    def namespace_of(self) -> dict[str, str]:
        """Return for each address of the world the name of the namespace that owns it."""
        owners = dict.fromkeys(self.server_addresses(), SERVERS)
        owners.update(dict.fromkeys(self.helper_addresses(), ABROAD))
        for network in self.networks.values():
            owners.update(dict.fromkeys([network.client, *network.own_addresses()], network.name))
        owners.update({middle.address: middle.name for middle in self.middles})
        return owners

    def visitor(self, address: str) -> tuple[str, str]:
        """Return network name and country of a visitor's address ("" where unknown)."""
        for network in self.networks.values():
            if address in (network.client, network.client6):
                return network.name, network.country
        for helper in self.helpers:
            if address in helper.everywhere:
                return ABROAD, helper.country
        for middle in self.middles:
            if address == middle.address:
                return middle.network, self.networks[middle.network].country
        return "", ""

    def asn(self, address: str) -> int:
        """Return the number of the operator of an address, 0 where unknown."""
        return self.asns.get(block_of(address), 0)

    def addresses_of(self, host_or_address: str) -> tuple[str, ...]:
        """Return the IPv4 addresses of a site or helper by name; an address stands for itself."""
        for planned in self.sites.values():
            if host_or_address in planned.names:
                return planned.addresses
        helpers = {helper.host: helper.address for helper in self.helpers}
        return (helpers.get(host_or_address, host_or_address),)

    def everywhere(self, host_or_address: str) -> tuple[str, ...]:
        """Return the addresses of both families of a site or helper by name."""
        for planned in self.sites.values():
            if host_or_address in planned.names:
                return planned.everywhere
        for helper in self.helpers:
            if host_or_address == helper.host:
                return helper.everywhere
        return (host_or_address,)

    def route(self, network: str, address: str) -> Route:
        """Return the way from a client network (or another namespace) to an address."""
        here, six = self.networks.get(network), ":" in address
        own = () if here is None else here.routers6 if six else here.routers
        if here is not None and address in (here.resolver, here.resolver6):
            return Route(() if here.described.home_resolver else own, 2)
        block = block_of(address)
        chance = Random(f"{self.seed}/{network}/{block}")
        count = chance.randint(2, 3) if self.place(address) == "home" else chance.randint(4, 7)
        last = f"{block}::1" if six else f"{block}.1"
        if six:
            blocks = (chance.choice(self.transit6) for _ in range(count))
            transit = [f"{one}::{chance.randint(1, 0xFFFF):x}" for one in blocks]
        else:
            transit = [
                f"{chance.choice(self.transit)}.{chance.randint(1, 250)}" for _ in range(count)
            ]
        return Route((*own, *transit, last), 2)

    def place(self, address: str) -> Place:
        """Tell whether an address of the servers' is at home or abroad."""
        for planned in self.sites.values():
            if address in planned.everywhere:
                return planned.site.place
        return "abroad"


# --- drawing ------------------------------------------------------------------------------------


def make_plan(scenario: Scenario, seed: int) -> Plan:
    """Draw the plan of a world."""
    chance = Random(f"sitewatch-lab/{seed}")
    blocks = Blocks(chance, Random(f"sitewatch-lab/{seed}/ipv6"))
    networks = {
        network.name: _plan_network(network, number, scenario, blocks, chance)
        for number, network in enumerate(scenario.networks)
    }
    resolvers = [*(network.resolver for network in networks.values()), *PUBLIC_RESOLVERS]
    return Plan(
        scenario=scenario,
        seed=seed,
        networks=networks,
        sites=_plan_sites(scenario, resolvers, blocks),
        helpers=tuple(_plan_helper(helper, scenario, blocks) for helper in scenario.helpers),
        transit=tuple(blocks.next() for _ in range(_TRANSIT_OPERATORS)),
        transit6=tuple(blocks.next6() for _ in range(_TRANSIT_OPERATORS)),
        asns=blocks.asns,
        middles=tuple(_plan_middles(scenario, blocks)),
    )


def _plan_middles(scenario: Scenario, blocks: Blocks) -> Iterator[Middle]:
    for number, captive in enumerate(scenario.captives):
        name = f"captive {number}"
        yield Middle(name, captive.network, "captive", number, 1, blocks.host())
    for number, network in enumerate(scenario.networks):
        if network.antivirus:
            name = f"antivirus {number}"
            yield Middle(name, network.name, "antivirus", number, 0, blocks.host())


def _plan_network(
    network: Network, number: int, scenario: Scenario, blocks: Blocks, chance: Random
) -> PlannedNetwork:
    block = blocks.next(network.asn)
    client = f"{block}.{chance.randint(100, 250)}"
    resolver = f"{block}.{chance.randint(40, 60)}"
    hops = chance.randint(4, 5)
    six = network.nat64 or network.ipv6 != "none"
    block6 = blocks.next6(network.asn) if six else ""
    return PlannedNetwork(
        name=network.name,
        country=network.country or scenario.country,
        asn=network.asn,
        described=network,
        client=client,
        resolver=f"{_HOME}.{number + 1}.1" if network.home_resolver else resolver,
        routers=tuple(f"{block}.{hop}" for hop in range(1, hops)),
        inside=f"{_HOME}.{number + 1}.20" if network.nat_seconds else client,
        client6=_text(f"{block6}:1::{client.rpartition('.')[2]}") if six else "",
        resolver6=_text(f"{block6}::53") if six else "",
        routers6=tuple(_text(f"{block6}::{hop}") for hop in range(1, hops)) if six else (),
    )


def _plan_helper(helper: HelperServer, scenario: Scenario, blocks: Blocks) -> PlannedHelper:
    host, address = urlsplit(helper.url).hostname or "", blocks.host()
    six = blocks.host6(address) if scenario.dual_stack else ""
    return PlannedHelper(host, address, helper.country, helper, six)


def _plan_sites(
    scenario: Scenario, resolvers: Sequence[str], blocks: Blocks
) -> dict[str, PlannedSite]:
    sites = scenario.all_sites()
    planned: dict[str, PlannedSite] = {}
    for site in sites:
        if site.share and not site.cdn:
            continue
        edges = {key: blocks.host() for key in _edge_keys(site, scenario, resolvers)}
        addresses = (
            tuple(edges.values())
            or tuple(one for one in site.at if ":" not in one)
            or tuple(blocks.host() for _ in range(site.addresses))
        )
        six = site.ipv6 or ("works" if scenario.dual_stack else "none")
        addresses6 = tuple(one for one in site.at if ":" in one)
        if six != "none" and not addresses6:
            addresses6 = tuple(blocks.host6(address) for address in addresses[: site.addresses])
        planned[site.host] = PlannedSite(site, addresses, edges, addresses6)
    for site in sites:
        if site.share and not site.cdn:
            shared = planned[site.share]
            planned[site.host] = PlannedSite(
                site, shared.addresses, shared.edges, shared.addresses6
            )
    return planned


def _edge_keys(site: Site, scenario: Scenario, resolvers: Sequence[str]) -> Sequence[str]:
    """Return what a CDN chooses an address by."""
    if site.cdn == "asker":
        return [*(network.name for network in scenario.networks), ABROAD]
    if site.cdn == "time":
        return [f"turn {number}" for number in range(_CDN_TURNS)]
    return resolvers if site.cdn else ()


def _text(address: str) -> str:
    return str(ip_address(address))
