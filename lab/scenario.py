"""Scenario files: what a simulated world contains, who interferes with it, and when.

A scenario is a TOML file; its values are the structs below, decoded strictly. Times are UTC and
compared with the scenario's clock. See README.md beside this file for a description of each key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

CensorKind: TypeAlias = Literal[
    "tls-drop",
    "tls-reset",
    "dns-race",
    "dns-forge",
    "resolver-lie",
    "address-drop",
    "http-drop",
    "http-reset",
    "http-page",
]
Place: TypeAlias = Literal["home", "abroad"]


class ScenarioError(Exception):
    """A scenario cannot be used; the message is one line naming the file and the key."""


class _Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything in a scenario: immutable, unknown keys are errors."""


class _Span(_Value, frozen=True, kw_only=True):
    """Something that holds from `since` until just before `until`; None means without end."""

    since: datetime | None = msgspec.field(default=None, name="from")
    until: datetime | None = None

    def active(self, seconds: float) -> bool:
        """Tell whether it holds at `seconds` since the epoch of the scenario's clock."""
        return (self.since is None or self.since.timestamp() <= seconds) and (
            self.until is None or seconds < self.until.timestamp()
        )


class Network(_Value, frozen=True, kw_only=True):
    """A client network with an operator, a resolver and one client host."""

    name: str
    asn: int
    title: str = ""  # the operator's name for people
    latency_ms: float = 0.0  # one way


class Site(_Value, frozen=True, kw_only=True):
    """A web site. By default: one address, a page over TLS, port 80 redirects to https."""

    host: str
    names: tuple[str, ...] = ()  # further names that serve the same page at the same addresses
    place: Place = "abroad"
    title: str = ""
    text: str = ""  # of the page; a default is written from the title
    size: int = 4000  # bytes of the page, filled up with text
    status: int = 200
    redirect: str = ""  # every request is answered with 301 to this URL
    http: Literal["redirect", "serve", "closed"] = "redirect"  # what port 80 does
    https: bool = True
    cdn: bool = False  # every resolver answers with an address of its own
    share: str = ""  # host of the site whose addresses this one uses too
    refuse_countries: tuple[str, ...] = ()  # visitors from there get `refuse_status`
    refuse_status: int = 403
    echo: bool = False  # the page prints the visitor's address


class HelperServer(_Value, frozen=True, kw_only=True):
    """A test helper abroad. A dead one never answers a packet."""

    url: str
    country: str = "NL"
    dead: bool = False


class Neutral(_Value, frozen=True, kw_only=True):
    """URLs of hosts that nobody blocks; a site is made for each that is not described."""

    home: tuple[str, ...] = ("https://www.post.example/", "https://www.weather.example/")
    abroad: tuple[str, ...] = (
        "https://www.example.com/",
        "https://www.wikipedia.org/",
        "https://www.iana.org/",
    )


class Censor(_Span, frozen=True, kw_only=True):
    """One rule of interference on some networks.

    `names` match a host and all its subdomains. `answers` are what forged DNS replies give:
    addresses, or hosts of the scenario (their first address is meant), or one of the words
    nxdomain, servfail, refused, empty, silence.
    """

    kind: CensorKind
    networks: tuple[str, ...] = ()  # none named: all
    names: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # address-drop: whose addresses, or addresses
    answers: tuple[str, ...] = ("nxdomain",)
    page: str = ""  # http-page: body of the block page
    residual: float = 120.0  # seconds for which the 4-tuple stays cut


class Outage(_Span, frozen=True, kw_only=True):
    """A network without any connection, to home and abroad."""

    network: str


class Down(_Span, frozen=True, kw_only=True):
    """Hosts that nobody in the world can reach."""

    hosts: tuple[str, ...]
    how: Literal["swallow", "refuse"] = "swallow"


class Expect(_Value, frozen=True, kw_only=True):
    """What a careful observer must conclude about the first target at tier probing."""

    status: str
    layer: str | None = None
    technique: str | None = None
    certainty: str | None = None  # the least that must be reached


class Scenario(_Value, frozen=True, kw_only=True):
    """A whole world and its history."""

    name: str = ""  # the file's
    title: str = ""
    country: str
    start: datetime | None = None  # the scenario's clock at start; None: the real time
    helper_timeout: float = 2.0  # seconds per operation of a helper
    networks: tuple[Network, ...]
    sites: tuple[Site, ...] = ()
    targets: tuple[str, ...] = ()
    neutral: Neutral = Neutral()
    helpers: tuple[HelperServer, ...] = (
        HelperServer(url="https://helper-one.example/"),
        HelperServer(url="https://helper-two.example/", country="DE"),
    )
    censors: tuple[Censor, ...] = ()
    outages: tuple[Outage, ...] = ()
    downs: tuple[Down, ...] = ()
    sitewatch: dict[str, dict[str, Any]] = {}  # merged into the generated configuration
    expect: Expect | None = None

    def all_sites(self) -> list[Site]:
        """Return the sites described and a plain one for each other target and neutral host."""
        known = {name for site in self.sites for name in (site.host, *site.names)}
        made: list[Site] = []
        for place, urls in (
            ("home", self.neutral.home),
            ("abroad", [*self.neutral.abroad, *self.targets]),
        ):
            for url in urls:
                parts = urlsplit(url)
                host = parts.hostname or ""
                if host not in known:
                    known.add(host)
                    made.append(
                        _plain_site(host, "home" if place == "home" else "abroad", parts[0])
                    )
        return [*self.sites, *made]


def _plain_site(host: str, place: Place, scheme: str) -> Site:
    """Return a healthy site that serves what its URL's scheme asks for."""
    return Site(host=host, place=place, http="serve" if scheme == "http" else "redirect")


# --- reading ---------------------------------------------------------------------------------


def scenario_names() -> list[str]:
    """Return the names of the scenarios that come with the lab, sorted."""
    folder = resources.files("lab") / "scenarios"
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Return a scenario by its name, or by the path of a TOML file.

    Raises ScenarioError when it does not exist, does not parse or does not make sense.
    """
    text, label = _read(name_or_path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{label}: {error}") from error
    name = Path(str(name_or_path)).name.removesuffix(".toml")
    try:
        scenario = msgspec.convert({"name": name, **table}, Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{label}: {_in_one_line(str(error))}") from error
    for complaint in _complaints(scenario):
        raise ScenarioError(f"{label}: {complaint}")
    return scenario


def _read(name_or_path: str | Path) -> tuple[str, str]:
    """Return the text of a scenario and the name under which errors speak of it."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix != ".toml":
        if name_or_path not in scenario_names():
            raise ScenarioError(f"{name_or_path}: no such scenario (see python -m lab list)")
        entry = resources.files("lab") / "scenarios" / f"{name_or_path}.toml"
        return entry.read_text("utf-8"), f"{name_or_path}.toml"
    try:
        return path.read_text("utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error


def _in_one_line(message: str) -> str:
    """Turn msgspec's ``... - at `$.networks[0].asn` `` into ``key networks[0].asn: ...``."""
    what, _, where = message.partition(" - at `$")
    key = where.rstrip("`").removeprefix(".")
    return f"key {key}: {what}" if key else what


def _complaints(scenario: Scenario) -> Iterator[str]:
    """Yield what is wrong with a scenario although every key has the right type."""
    if not scenario.networks:
        yield "key networks: at least one network is needed"
    networks = [network.name for network in scenario.networks]
    yield from _repeated("networks", networks)
    sites = scenario.all_sites()
    hosts = [name for site in sites for name in (site.host, *site.names)]
    yield from _repeated("sites", hosts)
    for url in [*scenario.targets, *scenario.neutral.home, *scenario.neutral.abroad]:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            yield f"key targets: {url!r} is not a URL"
    for number, site in enumerate(scenario.sites):
        if site.share and site.share not in hosts:
            yield f"key sites[{number}].share: no site is called {site.share!r}"
    helpers = [urlsplit(helper.url).hostname or "" for helper in scenario.helpers]
    yield from _repeated("helpers", helpers)
    yield from _censor_complaints(scenario, networks)
    for number, outage in enumerate(scenario.outages):
        yield from _span_complaints(f"outages[{number}]", outage)
        if outage.network not in networks:
            yield f"key outages[{number}].network: no network is called {outage.network!r}"
    for number, down in enumerate(scenario.downs):
        yield from _span_complaints(f"downs[{number}]", down)
        for host in set(down.hosts) - set(hosts):
            yield f"key downs[{number}].hosts: no site is called {host!r}"
    if scenario.start is not None and scenario.start.tzinfo is None:
        yield "key start: the time has no zone (write it with Z)"


def _censor_complaints(scenario: Scenario, networks: list[str]) -> Iterator[str]:
    for number, censor in enumerate(scenario.censors):
        key = f"censors[{number}]"
        yield from _span_complaints(key, censor)
        for network in set(censor.networks) - set(networks):
            yield f"key {key}.networks: no network is called {network!r}"
        if censor.kind == "address-drop" and not censor.hosts:
            yield f"key {key}.hosts: {censor.kind} needs at least one"
        if censor.kind != "address-drop" and not censor.names:
            yield f"key {key}.names: {censor.kind} needs at least one"


def _span_complaints(key: str, span: _Span) -> Iterator[str]:
    for name, time in (("from", span.since), ("until", span.until)):
        if time is not None and time.tzinfo is None:
            yield f"key {key}.{name}: the time has no zone (write it with Z)"
            return
    if span.since is not None and span.until is not None and span.since >= span.until:
        yield f"key {key}.until: it ends before it begins"


def _repeated(key: str, names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"key {key}: {name!r} is there twice"
        seen.add(name)
