"""What a prober is told to do: the sections of the configuration that probes read.

`sitewatch.config` embeds these values as they are, so that a key of sitewatch.toml is defined once,
beside the code that uses it. Seconds are floats.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Tier: TypeAlias = Literal["browser-like", "probing", "conspicuous"]

# A current desktop browser's, so that requests do not stand out.
BROWSER_USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/148.0.0.0 Safari/537.36"
)


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of configuration sections: immutable, every key has a default, none is unknown."""


class DohServer(_Section, frozen=True, kw_only=True):
    """An encrypted resolver with pinned addresses, so that no liar is asked where it is."""

    url: str
    addresses: tuple[str, ...]


class Whoami(_Section, frozen=True, kw_only=True):
    """A name whose answer is the address that asked: the resolver's, or ours at `server`."""

    name: str
    type: Literal["A", "AAAA", "TXT"] = "TXT"
    server: str = ""  # empty: asked of the system's and the public resolvers
    port: int = 53


class Resolvers(_Section, frozen=True, kw_only=True):
    """[resolvers]: whom to ask besides the system's resolver."""

    public: tuple[str, ...] = ("8.8.8.8", "9.9.9.9")
    doh: tuple[DohServer, ...] = (
        DohServer(url="https://dns.google/dns-query", addresses=("8.8.8.8",)),
        DohServer(url="https://dns.quad9.net/dns-query", addresses=("9.9.9.9",)),
    )
    whoami: tuple[Whoami, ...] = (
        Whoami(name="o-o.myaddr.l.google.com"),
        Whoami(name="o-o.myaddr.l.google.com", server="216.239.32.10"),
        Whoami(name="myip.opendns.com", type="A", server="208.67.222.222"),
    )


class Helpers(_Section, frozen=True, kw_only=True):
    """[helpers]: servers outside that say what they see for the same URL."""

    urls: tuple[str, ...] = ()


class Neutral(_Section, frozen=True, kw_only=True):
    """[neutral]: URLs of hosts that nobody blocks, at home and abroad."""

    home: tuple[str, ...] = ()
    abroad: tuple[str, ...] = (
        "https://www.example.com/",
        "https://www.wikipedia.org/",
        "https://www.iana.org/",
    )


class Tls(_Section, frozen=True, kw_only=True):
    """[tls]: the roots by which chains are judged; empty means certifi's."""

    ca_bundle: str = ""


class Limits(_Section, frozen=True, kw_only=True):
    """[limits]: bounds on time, sockets and bytes."""

    parallel: int = 16
    dns_timeout: float = 5.0
    connect_timeout: float = 10.0
    tls_timeout: float = 10.0
    http_timeout: float = 15.0
    addresses_per_family: int = 2
    month_megabytes: int = 1000
    sensitive_per_target_day: int = 12


class Settings(_Section, frozen=True, kw_only=True):
    """Everything that one measurement needs to know."""

    resolvers: Resolvers = Resolvers()
    helpers: Helpers = Helpers()
    neutral: Neutral = Neutral()
    tls: Tls = Tls()
    limits: Limits = Limits()
    tier: Tier = "browser-like"
    user_agent: str = BROWSER_USER_AGENT
