"""Techniques: which failure of which layer is called what, and which could be our own machine's."""

from __future__ import annotations

from ipaddress import ip_address

from storage.failures import Failure
from storage.records import Lookup

# What the network or a server can do to a connection. A failure that is in none of these tables
# (this machine's firewall, a defect of ours) names no technique and so can never allege anything.
TCP_TECHNIQUES: dict[str, str] = {
    Failure.TIMEOUT: "timeout",
    Failure.TIMED_OUT: "timeout",
    Failure.CONNECTION_RESET: "reset",
    Failure.CONNECTION_ABORTED: "reset",
    Failure.CONNECTION_REFUSED: "refused",
    Failure.HOST_UNREACHABLE: "unreachable",
    Failure.NETWORK_UNREACHABLE: "unreachable",
}
TLS_TECHNIQUES: dict[str, str] = {
    Failure.TIMEOUT: "timeout",
    Failure.TIMED_OUT: "timeout",
    Failure.CONNECTION_RESET: "reset",
    Failure.CONNECTION_ABORTED: "reset",
    Failure.EOF: "closed",
    Failure.TLS_ALERT: "alert",
    Failure.TLS_NOT_TLS: "not-tls",
    Failure.TLS_UNKNOWN_AUTHORITY: "mitm",
    Failure.TLS_INVALID_HOSTNAME: "mitm",
    Failure.TLS_INVALID_CERTIFICATE: "mitm",
}
HTTP_TECHNIQUES: dict[str, str] = {
    Failure.TIMEOUT: "timeout",
    Failure.TIMED_OUT: "timeout",
    Failure.CONNECTION_RESET: "reset",
    Failure.CONNECTION_ABORTED: "reset",
    Failure.EOF: "closed",
    Failure.HTTP_TRUNCATED: "truncated",
}
QUIC_TECHNIQUES: dict[str, str] = {
    Failure.TIMEOUT: "timeout",
    Failure.TIMED_OUT: "timeout",
    Failure.CONNECTION_REFUSED: "refused",
}
DNS_TECHNIQUES: dict[str, str] = {
    Failure.DNS_NXDOMAIN: "nxdomain",
    Failure.DNS_SERVFAIL: "servfail",
    Failure.DNS_REFUSED: "refused",
    Failure.DNS_NO_ANSWER: "no-answer",
    Failure.TIMEOUT: "timeout",
    Failure.TIMED_OUT: "timeout",
}
_RCODES = {2: "servfail", 3: "nxdomain", 5: "refused"}
# The system's resolver hides the reason behind these; what its server sent tells it.
_UNSPECIFIC = {Failure.DNS_TEMPORARY, Failure.DNS_NON_RECOVERABLE, Failure.DNS_MISBEHAVING}

# The ends of a connection that leave no byte from the server.
CUT_OFF = frozenset(
    {
        Failure.TIMEOUT,
        Failure.TIMED_OUT,
        Failure.CONNECTION_RESET,
        Failure.CONNECTION_ABORTED,
        Failure.EOF,
    }
)

# How a technique reads in a sentence after "the connection" or "the name".
IN_WORDS: dict[str, str] = {
    "dns.nxdomain": "the resolver said that the name does not exist",
    "dns.servfail": "the resolver answered with an error",
    "dns.refused": "the resolver refused to answer",
    "dns.no-answer": "the resolver returned no address",
    "dns.timeout": "the resolver did not answer",
    "dns.forged-address": "the resolver gave an address that is not the site's",
    "dns.injected": "a forged answer raced the resolver's own",
    "tcp.timeout": "the site's address did not answer",
    "tcp.reset": "the connection was reset before it was opened",
    "tcp.refused": "the connection was refused",
    "tcp.unreachable": "the site's address was reported unreachable",
    "tls.timeout": "the connection was cut off after the name was sent",
    "tls.reset": "the connection was reset after the name was sent",
    "tls.closed": "the connection was closed after the name was sent",
    "tls.alert": "the encrypted connection was refused after the name was sent",
    "tls.not-tls": "the answer to the name was not an encrypted one",
    "tls.mitm": "another party's certificate was presented in the site's name",
    "http.timeout": "the request was not answered",
    "http.reset": "the connection was reset after the request",
    "http.closed": "the connection was closed after the request",
    "http.stalled": "the page began to arrive and then stopped",
    "http.truncated": "the page was cut short",
    "http.altered": "another page was shown in the site's place",
    "http.redirect": "the visitor was sent to another site",
}


# What the stored strings mean, for readers of an evidence sheet.
FAILURES_IN_WORDS: dict[str, str] = {
    Failure.TIMEOUT: "no answer in time",
    Failure.TIMED_OUT: "no answer in time",
    Failure.CONNECTION_RESET: "reset",
    Failure.CONNECTION_ABORTED: "aborted",
    Failure.CONNECTION_REFUSED: "refused",
    Failure.EOF: "closed too early",
    Failure.HOST_UNREACHABLE: "reported unreachable",
    Failure.NETWORK_UNREACHABLE: "reported unreachable",
    Failure.DNS_NXDOMAIN: "no such name",
    Failure.DNS_NO_ANSWER: "no address",
    Failure.DNS_REFUSED: "refused to answer",
    Failure.DNS_SERVFAIL: "the resolver failed",
    Failure.TLS_INVALID_HOSTNAME: "certificate of another name",
    Failure.TLS_UNKNOWN_AUTHORITY: "certificate by an unknown authority",
    Failure.TLS_INVALID_CERTIFICATE: "invalid certificate",
    Failure.TLS_NOT_TLS: "the answer is no TLS",
}


def failure_in_words(failure: str) -> str:
    """Return a stored failure with its meaning, "no answer in time (generic_timeout_error)"."""
    words = FAILURES_IN_WORDS.get(failure)
    return failure if words is None else f"{words} ({failure})"


def in_words(technique: str) -> str:
    """Return a clause for a "layer.technique" path; the path itself where no words are known."""
    return IN_WORDS.get(technique, technique)


def dns_technique(lookup: Lookup) -> str | None:
    """Return the technique by which a lookup without addresses failed."""
    if lookup.failure is None:
        return None if lookup.answers else "no-answer"
    if lookup.failure in DNS_TECHNIQUES:
        return DNS_TECHNIQUES[lookup.failure]
    if lookup.failure not in _UNSPECIFIC:
        return None
    codes = [lookup.rcode, *(reply.rcode for reply in lookup.replies)]
    named = [_RCODES[code] for code in codes if code in _RCODES]
    if named:
        return named[0]
    return "timeout" if lookup.failure == Failure.DNS_TEMPORARY else "servfail"


def is_special(address: str) -> bool:
    """Tell whether `address` can belong to no public site: private, reserved, or not an address."""
    try:
        return not ip_address(address).is_global
    except ValueError:
        return True
