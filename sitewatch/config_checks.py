"""Which values of a configuration are impossible: every key that has the right type is checked."""

from __future__ import annotations

import ipaddress
import math
import re
import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from probes.settings import Limits, Resolvers
from probes.targets import CATEGORIES, TargetError, host_of, normal_form
from sitewatch.sections import Alerts, Schedule, Sections, Storage, Targets, Vantage

Problem: TypeAlias = tuple[str, str]  # the key, what is wrong with its value
_Check: TypeAlias = Callable[[str], str | None]  # what is wrong with one text, None if nothing

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_HOURS = re.compile(
    r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d|([01]\d|2[0-3]):[0-5]\d-24:00"
)


def problems(sections: Sections) -> Iterator[Problem]:
    """Yield every impossible value as (key, what is wrong)."""
    yield from _vantage(sections.vantage)
    yield from _targets(sections.targets)
    yield from _resolvers(sections.resolvers)
    yield from _each("helpers.urls", sections.helpers.urls, _web_address)
    yield from _each("neutral.home", sections.neutral.home, _web_address)
    yield from _each("neutral.abroad", sections.neutral.abroad, _web_address)
    yield from _limits(sections.limits)
    yield from _schedule(sections.schedule)
    yield from _storage(sections.storage)
    yield from _alerts(sections.alerts)


def seconds_of(duration: str) -> int:
    """Return the seconds of a duration such as ``30m`` or ``4h``. Raises ValueError."""
    found = re.fullmatch(r"([1-9]\d{0,8})([smhd])", duration, re.ASCII)
    if not found:
        raise ValueError(f"not a duration like 30m or 4h: {duration!r}")
    return int(found[1]) * _SECONDS[found[2]]


def bytes_of(size: str) -> int:
    """Return the bytes of a size such as ``2 GB`` (decimal units). Raises ValueError."""
    found = re.fullmatch(r"([1-9]\d{0,11}) ?([KMGT]B|)", size, re.ASCII)
    if not found:
        raise ValueError(f"not a size like 500 MB or 2 GB: {size!r}")
    return int(found[1]) * _BYTES[found[2]]


# --- sections ----------------------------------------------------------------------------------


def _vantage(vantage: Vantage) -> Iterator[Problem]:
    country = vantage.country
    if country is not None and not re.fullmatch("[A-Z]{2}", country):
        yield "vantage.country", f"not a country's two capital letters, like KZ: {country!r}"
    if vantage.asn is not None and not 1 <= vantage.asn < 2**32:
        yield "vantage.asn", f"not a network number between 1 and 4294967295: {vantage.asn}"
    if vantage.network is not None and not _printable(vantage.network):
        yield "vantage.network", "empty, or holds a control character"
    if vantage.user_agent and not re.fullmatch(r"[\x20-\x7e]+", vantage.user_agent):
        yield "vantage.user_agent", "holds a character that cannot stand in a header"


def _targets(targets: Targets) -> Iterator[Problem]:
    yield from _each("targets.file", [targets.file], _path)
    for code in targets.skip_categories:
        if code not in CATEGORIES:
            yield "targets.skip_categories", f"unknown category {code!r}"


def _resolvers(resolvers: Resolvers) -> Iterator[Problem]:
    yield from _each("resolvers.public", resolvers.public, _address)
    for server in resolvers.doh:
        yield from _each("resolvers.doh.url", [server.url], _encrypted_address)
        yield from _each("resolvers.doh.addresses", server.addresses, _address)
        if not server.addresses:
            yield "resolvers.doh.addresses", f"{server.url} needs at least one address"
    for entry in resolvers.whoami:
        yield from _each("resolvers.whoami.name", [entry.name], _host)
        yield from _each("resolvers.whoami.server", filter(None, [entry.server]), _address)
        if not 1 <= entry.port <= 65535:
            yield "resolvers.whoami.port", f"not a port: {entry.port}"


def _limits(limits: Limits) -> Iterator[Problem]:
    for name in ("dns_timeout", "connect_timeout", "tls_timeout", "http_timeout"):
        seconds: float = getattr(limits, name)
        if not math.isfinite(seconds) or not 0 < seconds <= 300:
            yield f"limits.{name}", f"not a time between 0 and 300 seconds: {seconds:g}"
    lowest_highest = {
        "parallel": (1, 1000),
        "addresses_per_family": (1, 16),
        "month_megabytes": (1, 10**9),
        "sensitive_per_target_day": (0, 10**6),
    }
    for name, (lowest, highest) in lowest_highest.items():
        value: int = getattr(limits, name)
        if not lowest <= value <= highest:
            yield f"limits.{name}", f"not between {lowest} and {highest}: {value}"


def _schedule(schedule: Schedule) -> Iterator[Problem]:
    yield from _each("schedule.every", [schedule.every], _duration)
    yield from _each("schedule.watch_every", [schedule.watch_every], _duration)
    yield from _each("schedule.waking_hours", [schedule.waking_hours], _hours)
    yield from _each("schedule.time_zone", [schedule.time_zone], _time_zone)
    yield from _each("schedule.watch", schedule.watch, _host)


def _storage(storage: Storage) -> Iterator[Problem]:
    yield from _each("storage.database", [storage.database], _path)
    yield from _each("storage.max_size", [storage.max_size], _size)
    if not 0 <= storage.accessible_days <= 36500:
        yield "storage.accessible_days", f"not between 0 and 36500: {storage.accessible_days}"


def _alerts(alerts: Alerts) -> Iterator[Problem]:
    yield from _each("alerts.webhook", filter(None, [alerts.webhook]), _web_address)
    yield from _each("alerts.quiet_hours", filter(None, [alerts.quiet_hours]), _hours)


# --- single values -----------------------------------------------------------------------------


def _each(key: str, values: Iterable[str], check: _Check) -> Iterator[Problem]:
    for value in values:
        problem = check(value)
        if problem:
            yield key, problem


def _printable(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


def _path(text: str) -> str | None:
    return None if _printable(text) else f"not the name of a file: {text!r}"


def _address(text: str) -> str | None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return f"not an IP address: {text!r}"
    return None


def _web_address(text: str) -> str | None:
    try:
        normal_form(text)
    except TargetError as error:
        return f"{error}: {text!r}"
    return None


def _encrypted_address(text: str) -> str | None:
    if not text.startswith("https://"):
        return f"not a URL that starts with https://: {text!r}"
    return _web_address(text)


def _host(text: str) -> str | None:
    try:
        known = host_of(normal_form(f"https://{text}/"))
    except TargetError:
        known = ""
    return None if known and known == text.lower() else f"not a host name: {text!r}"


def _duration(text: str) -> str | None:
    try:
        seconds_of(text)
    except ValueError as error:
        return str(error)
    return None


def _size(text: str) -> str | None:
    try:
        bytes_of(text)
    except ValueError as error:
        return str(error)
    return None


def _hours(text: str) -> str | None:
    if not _HOURS.fullmatch(text) or text[:5] == text[6:]:
        return f"not a time range like 08:00-23:00: {text!r}"
    return None


def _time_zone(text: str) -> str | None:
    if text == "local" or text in zoneinfo.available_timezones():
        return None
    return f"not a time zone like Asia/Almaty, nor local: {text!r}"
