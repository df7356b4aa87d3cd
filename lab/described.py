"""What a scenario describes: lines, sites, helpers and innocent troubles, a struct for each.

Every value is immutable, and an unknown key is an error. README.md describes each key.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, Self, TypeAlias

import msgspec

# What is wrong with a certificate.
Flaw: TypeAlias = Literal[
    "", "expired", "future", "self-signed", "wrong-name", "unknown-authority", "incomplete"
]
# What a server's TLS is like: as usual; of 2006, which today's clients refuse; or with nothing
# but ciphers for a kind of key that it does not have, so that no client can please it.
TlsManner: TypeAlias = Literal["usual", "old", "no-common-cipher"]
Place: TypeAlias = Literal["home", "abroad"]


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything in a scenario: immutable, unknown keys are errors."""


class Span(Value, frozen=True, kw_only=True):
    """Something that holds from `since` until just before `until`; None means without end.

    `after` and `lasts` are seconds from the world's beginning and from there, instead.
    """

    since: datetime | None = msgspec.field(default=None, name="from")
    until: datetime | None = None
    after: float | None = None
    lasts: float | None = None

    def active(self, seconds: float) -> bool:
        """Tell whether it holds at `seconds` since the epoch of the scenario's clock."""
        return (self.since is None or self.since.timestamp() <= seconds) and (
            self.until is None or seconds < self.until.timestamp()
        )

    def beginning_at(self, begin: datetime) -> Self:
        """Return the span with its times fixed, where they count from the world's beginning."""
        if self.after is None and self.lasts is None:
            return self
        since = begin + timedelta(seconds=self.after or 0)
        until = None if self.lasts is None else since + timedelta(seconds=self.lasts)
        return msgspec.structs.replace(self, since=since, until=until)


class Network(Value, frozen=True, kw_only=True):
    """A client network with an operator, a resolver and one client host."""

    name: str
    asn: int
    title: str = ""  # the operator's name for people
    country: str = ""  # in which servers believe its clients to be; empty: the scenario's
    latency_ms: float = 0.0  # one way
    latency_back_ms: float | None = None  # from the servers; None: the same
    jitter_ms: float = 0.0  # at most, added to each packet; they keep their order
    loss: float = 0.0  # share of the packets, each way
    reorder: float = 0.0  # share of the packets that others overtake, each way
    bandwidth_kbit: float = 0.0  # each way; 0 is no limit
    mtu: int = 0  # bytes of the narrowest link; 0 is no limit
    mtu_silent: bool = False  # what is longer disappears without a word
    silent_hops: tuple[int, ...] = ()  # routers that never answer, counted from 1
    ipv6: Literal["none", "works", "broken"] = "none"  # broken: addresses, but nothing passes
    nat_seconds: float = 0.0  # a private address behind a NAT that forgets idle flows; 0: none
    home_resolver: bool = False  # its resolver stands in the client's home, at a private address
    antivirus: str = ""  # issuer with which a program on the client's machine opens up all TLS
    old_roots: bool = False  # the client's root store lacks the newer of the lab's two roots
    nat64: bool = False  # the client has IPv6 alone, and reaches IPv4 through a translator
    tunnel: bool = False  # the client's route leads into a VPN's device


class Site(Value, frozen=True, kw_only=True):
    """A web site. By default: one address, a page over TLS, port 80 redirects to https."""

    host: str
    names: tuple[str, ...] = ()  # further names that serve the same page at the same addresses
    place: Place = "abroad"
    title: str = ""
    text: str = ""  # of the page; a default is written from the title
    size: int = 4000  # bytes of the page, filled up with text
    status: int = 200
    redirect: str = ""  # every request is sent on to this URL, or to whatever stands here
    redirect_status: int = 301
    http: Literal["redirect", "serve", "closed"] = "redirect"  # what port 80 does
    https: bool = True
    # Another address for every resolver (or true), every network that asks, every ten seconds.
    cdn: bool | Literal["resolver", "asker", "time"] = False
    cname: tuple[str, ...] = ()  # aliases that lead from its names to its addresses
    https_record: bool = False  # the name system says which HTTP it speaks
    share: str = ""  # host of the site whose addresses this one uses too
    refuse_countries: tuple[str, ...] = ()  # visitors from there get `refuse_status`
    refuse_status: int = 403
    refuse_how: Literal[
        "page",
        "redirect",
        "captcha",
        "tls-alert",
        "tls-reset",
        "tls-close",
        "tls-silence",
        "silence",
        "refuse",
    ] = "page"
    refuse_location: str = ""  # refuse_how "redirect": where to
    captcha: bool = False  # everybody is asked to prove that he is human
    parked: bool = False  # the domain is for sale
    changing: bool = False  # title and text are others at each load
    no_title: bool = False
    language: str = ""  # of the page, as it says itself
    charset: str = "utf-8"
    headers: dict[str, str] = {}  # further ones
    body: Literal["whole", "endless", "bomb", "slow", "stall", "cut", "reset"] = "whole"
    rate: float = 1000.0  # body "slow": bytes a second
    delay_ms: float = 0.0  # before each answer
    http2: bool = False
    http3: bool = False  # over QUIC too
    plain_443: bool = False  # plain HTTP is spoken on port 443; needs https = false
    ports: tuple[int, ...] = ()  # further ones with plain HTTP; with a command: its own
    certificate: Flaw = ""
    newer_root: bool = False  # its certificate hangs on the newer of the lab's two roots
    tls: TlsManner = "usual"
    unknown_name: Literal["default", "alert", "reset", "close", "silence"] = "default"
    command: tuple[str, ...] = ()  # a program that stands there instead
    echo: bool = False  # the page prints the visitor's address
    addresses: int = 1  # how many it has; every answer gives all of them
    at: tuple[str, ...] = ()  # fixed addresses, also private ones, instead of drawn ones
    ipv6: Literal["", "none", "works", "dead"] = ""  # empty: as the scenario's `dual_stack` says


class HelperServer(Value, frozen=True, kw_only=True):
    """A test helper abroad. A dead one never answers a packet."""

    url: str
    country: str = "NL"
    dead: bool = False
    delay_ms: float = 0.0  # before each answer
    fails: tuple[Literal["dns", "tcp", "tls", "http", "all"], ...] = ()  # what it cannot do
    lies: Literal["", "accessible", "down"] = ""  # it says so whatever it saw, or without looking
    command: tuple[str, ...] = ()  # a program that stands there instead
    ports: tuple[int, ...] = ()  # of the command


class Neutral(Value, frozen=True, kw_only=True):
    """URLs of hosts that nobody blocks; a site is made for each that is not described."""

    home: tuple[str, ...] = ("https://www.post.example/", "https://www.weather.example/")
    abroad: tuple[str, ...] = (
        "https://www.example.com/",
        "https://www.wikipedia.org/",
        "https://www.iana.org/",
    )


class Outage(Span, frozen=True, kw_only=True):
    """A network without any connection, to home and abroad."""

    network: str


class Down(Span, frozen=True, kw_only=True):
    """Hosts that nobody in the world can reach."""

    hosts: tuple[str, ...]
    how: Literal["swallow", "refuse", "unreachable", "nxdomain", "servfail"] = "swallow"


class Resolver(Span, frozen=True, kw_only=True):
    """A resolver's trouble: it is dead, late, cuts its answers off, or filters names."""

    of: str = ""  # network, or name or address of a public resolver; empty: every network's
    how: Literal["dead", "late", "truncate", "filter"]
    names: tuple[str, ...] = ()  # with subdomains; none: all
    delay_ms: float = 0.0  # late: by how much
    answers: tuple[str, ...] = ("0.0.0.0",)  # filter: as a censor's


class Captive(Span, frozen=True, kw_only=True):
    """A gate: until somebody signs in or pays, a network reaches a portal and little else."""

    network: str
    portal: str  # host of the site to which plain HTTP is redirected
    free: tuple[str, ...] = ()  # hosts that can be reached all the same
    https: Literal["silence", "refuse", "portal"] = "silence"  # portal: with its certificate
    dns: Literal["truth", "portal"] = "truth"  # portal: every name has the portal's address
