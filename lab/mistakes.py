"""What can be wrong with a described thing although every key has the right type.

Each function yields complaints, `key networks[0].name: what is wrong`, in the order of the file.
"""

from __future__ import annotations

import importlib.util
import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from lab.described import Captive, Down, HelperServer, Network, Outage, Resolver, Site, Span

PUBLIC_RESOLVERS = ("8.8.8.8", "9.9.9.9", "dns.google", "dns.quad9.net")


_SMALLEST_MTU = 576
_RESERVED = ("servers", "abroad")


def network_mistakes(networks: Sequence[Network]) -> Iterator[str]:
    """Yield what is wrong with the client networks."""
    if not networks:
        yield "key networks: at least one network is needed"
    yield from repeated("networks", [network.name for network in networks])
    for number, network in enumerate(networks):
        if network.name in _RESERVED:
            yield f"key networks[{number}].name: {network.name!r} is a name of the lab's own"
        for key in ("loss", "reorder"):
            if not 0 <= getattr(network, key) <= 1:
                yield f"key networks[{number}].{key}: it is a share, from 0 to 1"
        for key in ("latency_ms", "latency_back_ms", "jitter_ms", "bandwidth_kbit", "nat_seconds"):
            if (getattr(network, key) or 0) < 0:
                yield f"key networks[{number}].{key}: it is negative"
        if network.mtu and network.mtu < _SMALLEST_MTU:
            yield f"key networks[{number}].mtu: IPv4 needs {_SMALLEST_MTU} bytes at least"
        if network.nat64 and (network.nat_seconds or network.ipv6 != "none"):
            yield f"key networks[{number}].nat64: it goes with neither nat_seconds nor ipv6"


def url_mistakes(urls: Iterable[str]) -> Iterator[str]:
    """Yield the targets and neutral URLs that are none."""
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            yield f"key targets: {url!r} is not a URL"


def site_mistakes(sites: Sequence[Site], hosts: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the sites described; `hosts` are the names of all sites."""
    yield from repeated("sites", hosts)
    for number, site in enumerate(sites):
        if site.share and site.share not in hosts:
            yield f"key sites[{number}].share: no site is called {site.share!r}"
        yield from _manner_mistakes(f"sites[{number}]", site)
        if site.addresses < 1:
            yield f"key sites[{number}].addresses: at least one is needed"
        for address in site.at:
            if not _is_address(address):
                yield f"key sites[{number}].at: {address!r} is no address"


def _manner_mistakes(key: str, site: Site) -> Iterator[str]:
    """Yield which manners of a site do not go together."""
    if site.plain_443 and site.https:
        yield f"key {key}.plain_443: it needs https = false"
    if site.refuse_how == "redirect" and not site.refuse_location:
        yield f'key {key}.refuse_location: refuse_how = "redirect" needs it'
    if site.http3 and importlib.util.find_spec("aioquic") is None:
        yield f"key {key}.http3: the package aioquic is not installed (extra quic)"
    for name, status in (("status", site.status), ("refuse_status", site.refuse_status)):
        if not 200 <= status <= 599:
            yield f"key {key}.{name}: {status} is no final status"
    if not 300 <= site.redirect_status <= 399:
        yield f"key {key}.redirect_status: {site.redirect_status} is no redirect"
    if site.rate <= 0 or site.delay_ms < 0 or site.size < 0:
        yield f"key {key}: rate must be above 0, delay_ms and size not below"
    if any(not 0 < port < 65536 for port in site.ports):
        yield f"key {key}.ports: a port is from 1 to 65535"
    sent = (site.redirect, site.refuse_location, *site.headers, *site.headers.values())
    if not all(text.isascii() and text.isprintable() for text in sent):
        yield f"key {key}: headers and redirects must be printable ASCII"
    try:
        "".encode(site.charset)
    except LookupError:
        yield f"key {key}.charset: {site.charset!r} is unknown"


def helper_mistakes(helpers: Sequence[HelperServer]) -> Iterator[str]:
    """Yield what is wrong with the helpers."""
    yield from repeated("helpers", [urlsplit(helper.url).hostname or "" for helper in helpers])


def trouble_mistakes(
    outages: Sequence[Outage],
    downs: Sequence[Down],
    networks: Collection[str],
    hosts: Collection[str],
) -> Iterator[str]:
    """Yield what is wrong with outages and hosts that are down."""
    for number, outage in enumerate(outages):
        yield from span_mistakes(f"outages[{number}]", outage)
        yield from unknown_network(f"outages[{number}]", outage.network, networks)
    for number, down in enumerate(downs):
        yield from span_mistakes(f"downs[{number}]", down)
        for host in set(down.hosts) - set(hosts):
            yield f"key downs[{number}].hosts: no site is called {host!r}"


def resolver_mistakes(resolvers: Sequence[Resolver], networks: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the resolvers' troubles."""
    for number, resolver in enumerate(resolvers):
        key = f"resolvers[{number}]"
        yield from span_mistakes(key, resolver)
        if resolver.of and resolver.of not in networks and resolver.of not in PUBLIC_RESOLVERS:
            yield f"key {key}.of: neither a network nor a public resolver: {resolver.of!r}"
        if resolver.how == "late" and resolver.delay_ms <= 0:
            yield f"key {key}.delay_ms: a late resolver needs it"


def captive_mistakes(
    captives: Sequence[Captive], networks: Collection[str], hosts: Collection[str]
) -> Iterator[str]:
    """Yield what is wrong with the gates."""
    for number, captive in enumerate(captives):
        key = f"captives[{number}]"
        yield from span_mistakes(key, captive)
        yield from unknown_network(key, captive.network, networks)
        if captive.portal not in hosts:
            yield f"key {key}.portal: no site is called {captive.portal!r}"
        for host in set(captive.free) - set(hosts):
            yield f"key {key}.free: no site is called {host!r}"


def unknown_network(key: str, name: str, networks: Collection[str]) -> Iterator[str]:
    """Yield a complaint where no network has this name."""
    if name not in networks:
        yield f"key {key}.network: no network is called {name!r}"


def span_mistakes(key: str, span: Span) -> Iterator[str]:
    """Yield what is wrong with the times of a span."""
    for name, seconds in (("after", span.after), ("lasts", span.lasts)):
        if seconds is not None and seconds < 0:
            yield f"key {key}.{name}: it is negative"
        if seconds is not None and (span.since or span.until):
            yield f"key {key}.{name}: it goes with neither from nor until"
            return
    for name, time in (("from", span.since), ("until", span.until)):
        if time is not None and time.tzinfo is None:
            yield f"key {key}.{name}: the time has no zone (write it with Z)"
            return
    if span.since is not None and span.until is not None and span.since >= span.until:
        yield f"key {key}.until: it ends before it begins"


def repeated(key: str, names: Iterable[str]) -> Iterator[str]:
    """Yield the names that are there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"key {key}: {name!r} is there twice"
        seen.add(name)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
