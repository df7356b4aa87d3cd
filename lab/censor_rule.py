"""One rule of interference as a scenario describes it: its keys, and what can be wrong with them.

README.md beside this file describes each kind and key.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Literal, TypeAlias

from lab.described import Span
from lab.mistakes import span_mistakes

CensorKind: TypeAlias = Literal[
    "dns-race",
    "dns-forge",
    "dns-divert",
    "resolver-lie",
    "address-drop",
    "address-reset",
    "address-refuse",
    "address-unreachable",
    "national-cut",
    "whitelist",
    "tls-drop",
    "tls-reset",
    "tls-close",
    "tls-alert",
    "tls-http",
    "tls-intercept",
    "http-drop",
    "http-reset",
    "http-close",
    "http-page",
    "http-redirect",
    "http-alter",
    "freeze",
    "throttle",
    "loss",
    "quic-drop",
    "splice",
]

# What an ICMP error says, with its code in IPv4 (RFC 792, 1122, 1812) and in IPv6 (RFC 4443).
UNREACHABLE_CODES = {
    "network": (0, 0),
    "host": (1, 3),
    "protocol": (2, 4),
    "port": (3, 4),
    "network-prohibited": (9, 1),
    "host-prohibited": (10, 1),
    "administratively": (13, 1),
}

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_BY_NAME = ("dns-race", "dns-forge", "resolver-lie", "tls-", "freeze", "throttle", "loss", "quic-")
_BY_HOST = ("address-", "whitelist", "splice")


class Censor(Span, frozen=True, kw_only=True):
    """One rule of interference on some networks.

    `names` match a host and all its subdomains. `answers` are what forged DNS replies give:
    addresses, or hosts of the scenario (their first address is meant), or one of the words
    nxdomain, servfail, refused, empty, silence.
    """

    kind: CensorKind
    # whom it meets
    networks: tuple[str, ...] = ()  # none named: all
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()  # http kinds: beginnings of paths; none named: all
    words: tuple[str, ...] = ()  # http kinds: the server's answer is searched for them instead
    hosts: tuple[str, ...] = ()  # only to their addresses; addresses may stand here too
    ports: tuple[int, ...] = ()  # only to these ports of servers
    protocol: Literal["", "tcp", "udp"] = ""
    family: Literal["", "ipv4", "ipv6"] = ""
    hours: str = ""  # "08:00-20:00" of the scenario's clock, UTC, over midnight too
    share: float = 1.0  # of the connections, drawn anew for each
    port_share: float = 1.0  # of the pairs of client's port and server's address, always the same
    hop: int = 0  # before which router its box stands, from 1; 0: where the plan puts boxes
    # what it does to them
    on_path: bool = False  # what is answered passes all the same: the box can only inject
    side: Literal["both", "client", "server"] = "both"  # who is told that it is over
    ttl: Literal["own", "copied"] = "own"  # of what it injects: as the box sends, or the server's
    late_ms: float = 0.0  # by which what it injects to the client is late
    residual: float | None = None  # seconds for which it stays cut; None: as usual for the kind
    residual_by: Literal["4-tuple", "3-tuple"] = "4-tuple"
    answers: tuple[str, ...] = ("nxdomain",)
    page: str = ""  # body of the page; http-alter: what takes the place of `words`
    headers: Literal["plain", "realistic", "none"] = "plain"
    location: str = ""  # http-redirect
    unreachable: str = "host"  # address-unreachable: what the router says
    authority: Literal["qaznet", "isca", "generic", "trusted"] = "generic"  # tls-intercept
    bytes: int = 16384  # freeze: of payload, that still come
    kbit: float = 64.0  # throttle: per second, for all connections of the rule together
    burst: int = 8000  # throttle: bytes that pass at once
    loss: float = 0.3  # loss: share of the packets, each way


def censor_mistakes(
    censors: Collection[Censor], networks: Collection[str], hosts: Collection[str]
) -> Iterator[str]:
    """Yield what is wrong with the rules."""
    for number, censor in enumerate(censors):
        key = f"censors[{number}]"
        yield from span_mistakes(key, censor)
        for network in set(censor.networks) - set(networks):
            yield f"key {key}.networks: no network is called {network!r}"
        yield from _missing(key, censor)
        yield from _out_of_range(key, censor)
        for host in censor.hosts:
            if host not in hosts and not re.fullmatch(r"[0-9.]+|[0-9a-f:]*:[0-9a-f:]*", host):
                yield f"key {key}.hosts: {host!r} is no site, no helper and no address"


def _missing(key: str, censor: Censor) -> Iterator[str]:
    kind = censor.kind
    if kind.startswith(_BY_NAME) and not censor.names:
        yield f"key {key}.names: {kind} needs at least one"
    if kind.startswith("http-") and not (censor.names or censor.words):
        yield f"key {key}.names: {kind} needs at least one, or words"
    if kind.startswith(_BY_HOST) and not (censor.hosts or censor.ports):
        yield f"key {key}.hosts: {kind} needs at least one"
    if kind == "http-redirect" and not censor.location:
        yield f"key {key}.location: {kind} needs one"
    if kind == "http-alter" and not censor.words:
        yield f"key {key}.words: {kind} needs at least one"


def _out_of_range(key: str, censor: Censor) -> Iterator[str]:
    for name in ("share", "port_share", "loss"):
        if not 0 <= getattr(censor, name) <= 1:
            yield f"key {key}.{name}: it is a share, from 0 to 1"
    for name in ("late_ms", "hop", "bytes", "burst"):
        if getattr(censor, name) < 0:
            yield f"key {key}.{name}: it is negative"
    if (censor.residual or 0) < 0:
        yield f"key {key}.residual: it is negative"
    if censor.kbit <= 0:
        yield f"key {key}.kbit: it must be above 0"
    if censor.hours and not _HOURS.fullmatch(censor.hours):
        yield f"key {key}.hours: {censor.hours!r} is not like 08:00-20:00"
    if censor.unreachable not in UNREACHABLE_CODES:
        yield f"key {key}.unreachable: it is none of {', '.join(UNREACHABLE_CODES)}"
    if any(not 0 < port < 65536 for port in censor.ports):
        yield f"key {key}.ports: a port is from 1 to 65535"


def seconds_of_day(hours: str) -> tuple[int, int]:
    """Return where `hours` begin and end, in seconds after midnight."""
    first, last = hours.split("-")
    begin, end = (int(text[:2]) * 3600 + int(text[3:]) * 60 for text in (first, last))
    return begin, end
