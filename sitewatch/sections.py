"""The sections of sitewatch.toml as values: every key with its type and default."""

from __future__ import annotations

from typing import Literal

import msgspec

from probes import settings

_DEFAULT_SKIPPED = (
    "ALDR",
    "ANON",
    "DATE",
    "GMB",
    "HACK",
    "HATE",
    "LGBT",
    "MILX",
    "PORN",
    "PROV",
    "REL",
    "XED",
)


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: immutable, every key has a default, none is unknown."""


class Vantage(_Section, frozen=True, kw_only=True):
    """[vantage]: what this installation says of itself; found out when left out."""

    country: str | None = None  # ISO 3166-1 alpha-2
    asn: int | None = None
    network: str | None = None
    kind: Literal["field", "reference"] = "field"
    simulated: bool = False
    user_agent: str = ""  # empty: a current browser's


class Targets(_Section, frozen=True, kw_only=True):
    """[targets]: what is watched."""

    file: str = "targets.csv"
    skip_categories: tuple[str, ...] = _DEFAULT_SKIPPED


class Schedule(_Section, frozen=True, kw_only=True):
    """[schedule]: when rounds start."""

    every: str = "4h"
    waking_hours: str = "08:00-23:00"
    time_zone: str = "local"
    watch: tuple[str, ...] = ()
    watch_every: str = "30m"


class Safety(_Section, frozen=True, kw_only=True):
    """[safety]: how conspicuous measurements may be."""

    tier: settings.Tier = "browser-like"


class Storage(_Section, frozen=True, kw_only=True):
    """[storage]: where records are kept, and how many."""

    database: str = "sitewatch.db"
    max_size: str = "2 GB"
    accessible_days: int = 0


class Alerts(_Section, frozen=True, kw_only=True):
    """[alerts]: whom to tell of changes; empty is nobody."""

    command: str = ""
    webhook: str = ""
    atom: str = ""
    quiet_hours: str = ""


class Data(_Section, frozen=True, kw_only=True):
    """[data]: tables that come from elsewhere."""

    networks: str = ""


class Sections(_Section, frozen=True, kw_only=True):
    """All of sitewatch.toml. The sections that probes read are defined beside the probes."""

    vantage: Vantage = Vantage()
    targets: Targets = Targets()
    resolvers: settings.Resolvers = settings.Resolvers()
    helpers: settings.Helpers = settings.Helpers()
    neutral: settings.Neutral = settings.Neutral()
    tls: settings.Tls = settings.Tls()
    limits: settings.Limits = settings.Limits()
    schedule: Schedule = Schedule()
    safety: Safety = Safety()
    storage: Storage = Storage()
    alerts: Alerts = Alerts()
    data: Data = Data()
