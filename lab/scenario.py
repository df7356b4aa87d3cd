"""Scenario files: what a simulated world contains, who interferes with it, and when.

A scenario is a TOML file; its values are the structs below, decoded strictly. Times are UTC and
compared with the scenario's clock. See README.md beside this file for a description of each key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from lab.censor_rule import Censor as Censor
from lab.censor_rule import CensorKind as CensorKind
from lab.censor_rule import censor_mistakes
from lab.described import (
    Captive,
    Down,
    HelperServer,
    Network,
    Neutral,
    Outage,
    Place,
    Resolver,
    Site,
    Value,
)
from lab.expected import Expect, expect_mistakes
from lab.mistakes import (
    captive_mistakes,
    helper_mistakes,
    network_mistakes,
    resolver_mistakes,
    site_mistakes,
    trouble_mistakes,
    url_mistakes,
)
from lab.symptom_lines import symptom_mistakes
from lab.toml_lines import line_of


class ScenarioError(Exception):
    """A scenario cannot be used; the message is one line naming the file and the key."""


class Scenario(Value, frozen=True, kw_only=True):
    """A whole world and its history."""

    name: str = ""  # the file's
    title: str = ""
    country: str
    start: datetime | None = None  # the scenario's clock at start; None: the real time
    clock_ahead: float = 0.0  # seconds by which the world's true time is ahead of the machine's
    helper_timeout: float = 2.0  # seconds per operation of a helper
    dual_stack: bool = False  # sites, helpers and resolvers have IPv6 addresses too
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
    resolvers: tuple[Resolver, ...] = ()
    captives: tuple[Captive, ...] = ()
    sitewatch: dict[str, dict[str, Any]] = {}  # merged into the generated configuration
    expect: Expect | None = None
    symptoms: dict[str, str] = {}  # what plain programs meet on the first client

    def beginning_at(self, begin: datetime) -> Scenario:
        """Return the scenario with spans fixed in time that count from its beginning."""
        return msgspec.structs.replace(
            self,
            censors=tuple(one.beginning_at(begin) for one in self.censors),
            outages=tuple(one.beginning_at(begin) for one in self.outages),
            downs=tuple(one.beginning_at(begin) for one in self.downs),
            resolvers=tuple(one.beginning_at(begin) for one in self.resolvers),
            captives=tuple(one.beginning_at(begin) for one in self.captives),
        )

    def true_time(self) -> datetime:
        """Return what time it is in the world now, if it begins now."""
        return self.start or datetime.now(UTC) + timedelta(seconds=self.clock_ahead)

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


_FIELD = re.compile(r"Object (contains unknown|missing required) field `(.*)`")
_COMPLAINT = re.compile(r'key ((?:"[^"]*"|[^:"])+):')
# What msgspec knows of a type is made at its first use, and is half made for other threads
# meanwhile: two first uses at once crash the interpreter. Worlds are made by several threads.
msgspec.json.Decoder(Scenario)

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
        raise ScenarioError(f"{label}: {_with_line(text, _in_one_line(str(error)))}") from error
    for complaint in _complaints(scenario):
        raise ScenarioError(f"{label}: {_with_line(text, complaint)}")
    return scenario


def _read(name_or_path: str | Path) -> tuple[str, str]:
    """Return the text of a scenario and the name under which errors speak of it."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix != ".toml":
        entry = resources.files("lab") / "scenarios" / f"{name_or_path}.toml"
        if not entry.is_file():
            raise ScenarioError(f"{name_or_path}: no such scenario (see python -m lab list)")
        return entry.read_text("utf-8"), f"{name_or_path}.toml"
    try:
        return path.read_text("utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error


def _in_one_line(message: str) -> str:
    """Turn msgspec's ``... - at `$.networks[0].asn` `` into ``key networks[0].asn: ...``."""
    what, _, where = message.partition(" - at `$")
    key = where.rstrip("`").removeprefix(".")
    if field := _FIELD.fullmatch(what):
        what = "there is no such key" if field[1] == "contains unknown" else "it is missing"
        key = f"{key}.{field[2]}" if key else field[2]
    return f"key {key}: {what}" if key else what


def _with_line(text: str, complaint: str) -> str:
    """Put the line before a complaint of the form ``key networks[0].asn: ...``."""
    key = _COMPLAINT.match(complaint)
    line = line_of(text, key[1]) if key is not None else None
    return complaint if line is None else f"line {line}, {complaint}"


def _complaints(scenario: Scenario) -> Iterator[str]:
    """Yield what is wrong with a scenario although every key has the right type."""
    networks = [network.name for network in scenario.networks]
    hosts = [name for site in scenario.all_sites() for name in (site.host, *site.names)]
    yield from network_mistakes(scenario.networks)
    yield from url_mistakes([*scenario.targets, *scenario.neutral.home, *scenario.neutral.abroad])
    yield from site_mistakes(scenario.sites, hosts)
    yield from helper_mistakes(scenario.helpers)
    yield from censor_mistakes(scenario.censors, networks, _known_hosts(scenario, hosts))
    yield from trouble_mistakes(scenario.outages, scenario.downs, networks, hosts)
    yield from expect_mistakes(scenario.expect)
    yield from symptom_mistakes(scenario.symptoms)
    yield from resolver_mistakes(scenario.resolvers, networks)
    yield from captive_mistakes(scenario.captives, networks, hosts)
    if scenario.start is not None and scenario.clock_ahead:
        yield "key clock_ahead: it does not go with start"
    if scenario.start is not None and scenario.start.tzinfo is None:
        yield "key start: the time has no zone (write it with Z)"


def _known_hosts(scenario: Scenario, hosts: list[str]) -> list[str]:
    """Return every name that has an address: sites, helpers and the public resolvers."""
    helpers = [urlsplit(helper.url).hostname or "" for helper in scenario.helpers]
    return [*hosts, *helpers]
