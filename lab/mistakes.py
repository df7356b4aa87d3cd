"""What can be wrong with a described thing although every key has the right type.

Each function yields complaints, `key networks[0].name: what is wrong`, in the order of the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from lab.described import Down, HelperServer, Network, Outage, Site, Span


def network_mistakes(networks: Sequence[Network]) -> Iterator[str]:
    """Yield what is wrong with the client networks."""
    if not networks:
        yield "key networks: at least one network is needed"
    yield from repeated("networks", [network.name for network in networks])


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


def unknown_network(key: str, name: str, networks: Collection[str]) -> Iterator[str]:
    """Yield a complaint where no network has this name."""
    if name not in networks:
        yield f"key {key}.network: no network is called {name!r}"


def span_mistakes(key: str, span: Span) -> Iterator[str]:
    """Yield what is wrong with the times of a span."""
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
