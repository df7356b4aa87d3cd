"""What a helper and its askers say to each other: OONI's test-helper protocol, and what we add.

Names and failure words are those of OONI's test helper. Whatever is ours stands under
`x_sitewatch`, which other askers pass over.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from storage.failures import Failure

GREETING = {"message": "Hello OONItarian!"}

# ip_info: who knows an address, and what it is worth.
FROM_PROBE, FROM_HELPER, BOGON, VALID_TLS = 1, 2, 4, 8


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What an asker wants to know; endpoints are `address:port`, the URL as he watches it."""

    http_request: str
    http_request_headers: dict[str, list[str]] | None = None
    tcp_connect: list[str] | None = None
    x_quic_enabled: bool = False


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """How a TCP connection to one endpoint went."""

    status: bool
    failure: str | None = None


class Shaken(msgspec.Struct, frozen=True, kw_only=True):
    """How a TLS handshake at one endpoint went."""

    server_name: str
    status: bool
    failure: str | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What an HTTP visit led to in the end; length in bytes, decoded."""

    body_length: int = -1
    discovered_h3_endpoint: str = ""
    failure: str | None = None
    title: str = ""
    headers: dict[str, str] = {}
    status_code: int = -1


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """What the name system says."""

    failure: str | None = None
    addrs: list[str] = []


class AddressInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An address's network (0 where unknown) and flags."""

    asn: int
    flags: int


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """What OONI's helpers do not tell: fields of our own.

    `spki` holds the SHA-256 of the leaf's key by endpoint, whatever the chain is worth; `simhash`
    is that of `probes.text`, over the page's visible text.
    """

    tool: str
    simhash: str | None = None
    body_sha256: str | None = None
    language: str | None = None
    truncated: bool = False
    spki: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a helper says to one question."""

    tcp_connect: dict[str, Connected]
    tls_handshake: dict[str, Shaken]
    quic_handshake: dict[str, Shaken] = {}
    http_request: Page
    http3_request: Page | None = None
    dns: Resolved
    ip_info: dict[str, AddressInfo]
    x_sitewatch: Extra


# --- failures in the helper's words ---------------------------------------------------------------

_TIMEOUTS: dict[str, str] = {
    Failure.TIMEOUT: "generic_timeout_error",
    Failure.TIMED_OUT: "generic_timeout_error",
}
_CONNECTING: dict[str, str] = {**_TIMEOUTS, Failure.CONNECTION_REFUSED: "connection_refused_error"}
_RESOLVING: dict[str, str | None] = {
    Failure.DNS_NXDOMAIN: "dns_name_error",
    Failure.DNS_NO_ANSWER: None,
}
_SERVER_FAILURES: frozenset[str] = frozenset(
    {
        Failure.DNS_REFUSED,
        Failure.DNS_SERVFAIL,
        Failure.DNS_MISBEHAVING,
        Failure.DNS_TEMPORARY,
        Failure.DNS_NON_RECOVERABLE,
    }
)
# Names of our own for what OONI calls by one.
_SHAKING: dict[str, str] = {
    **_TIMEOUTS,
    Failure.TLS_ALERT: Failure.TLS_FAILED.value,
    Failure.TLS_NOT_TLS: Failure.TLS_FAILED.value,
}


def dns_word(failure: str | None) -> str | None:
    """Return a lookup's failure; a name without addresses is none."""
    if failure is None or failure in _RESOLVING:
        return None if failure is None else _RESOLVING[failure]
    return "dns_server_failure" if failure in _SERVER_FAILURES else "unknown_error"


def connect_word(failure: str | None) -> str | None:
    """Return a TCP connection's failure."""
    return None if failure is None else _CONNECTING.get(failure, "connect_error")


def handshake_word(failure: str | None) -> str | None:
    """Return a TLS handshake's failure, in the field's own strings."""
    return None if failure is None else _SHAKING.get(failure, failure)


def page_word(failure: str | None) -> str | None:
    """Return a visit's failure; whatever TLS or a redirect did wrong is unknown."""
    if failure is None:
        return None
    if failure.startswith("dns_"):
        return "dns_lookup_error"
    return _CONNECTING.get(failure, "unknown_error")


def header_map(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers under the names that Go gives them: `Content-Type`, whatever was sent."""
    return {
        "-".join(part.capitalize() for part in name.split("-")): value
        for name, value in headers.items()
    }
