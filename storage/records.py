"""The records: rounds and measurements with their steps, exactly as they are hashed and signed.

Everything here is a plain immutable value. Durations are integer microseconds, times are UTC text
with microseconds and ``Z`` by the machine's clock, absent facts are None. Fields may be added with
a default; old records then read as None. See design.md sections 3 and 5 for the contract.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

MEASUREMENT_FORMAT = "sitewatch-measurement/1"
ROUND_FORMAT = "sitewatch-round/1"

Purpose: TypeAlias = Literal["main", "repeat", "contrast", "ttl-walk"]
Arm: TypeAlias = Literal[
    "name@site",
    "neutral@site",
    "none@site",
    "name@neutral",
    "foreign@neutral",
    "neutral@neutral",
]
LineState: TypeAlias = Literal["up", "captive", "down", "foreign-cut", "whitelisted"]
Status: TypeAlias = Literal[
    "accessible", "blocked", "down", "restricted", "inconclusive", "offline"
]
Layer: TypeAlias = Literal["dns", "tcp", "tls", "http", "quic"]
Certainty: TypeAlias = Literal["suspected", "likely", "confirmed"]


class _Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all record parts: immutable, keyword-only, unknown fields ignored on reading."""


# --- steps -----------------------------------------------------------------------------------


class Reply(_Value, frozen=True, kw_only=True):
    """One datagram that arrived in answer to a DNS query; a race leaves several."""

    after_us: int  # since the query was sent
    ip_ttl: int | None = None  # of the packet that carried it, where the kernel tells
    rcode: int | None = None  # None: it did not parse
    answers: list[str] = []
    raw: str | None = None  # blob id of the datagram


class Lookup(_Value, frozen=True, kw_only=True, tag="lookup", tag_field="kind"):
    """One name asked of one resolver.

    `resolver` is "system" (as the system answers its programs; `replies` then show what its
    configured server sent to the same question), "udp", or the URL of a DoH server.
    `address` is the server asked, None for the system's, whose address is the volunteer's own.
    """

    purpose: Purpose = "main"
    hop: int = 0
    attempt: int = 0
    arm: Arm | None = None
    name: str
    type: str  # "A", "AAAA"
    resolver: str
    address: str | None = None
    answers: list[str] = []  # addresses, in the order given
    rcode: int | None = None
    replies: list[Reply] = []
    failure: str | None = None
    start: str
    duration_us: int


class Connect(_Value, frozen=True, kw_only=True, tag="connect", tag_field="kind"):
    """One TCP connection attempt to one address."""

    purpose: Purpose = "main"
    hop: int = 0
    attempt: int = 0
    connection: int  # ties connect, handshake and exchange of one measurement
    arm: Arm | None = None
    address: str
    port: int
    failure: str | None = None
    icmp: str | None = None
    start: str
    duration_us: int


class Certificate(_Value, frozen=True, kw_only=True):
    """One certificate as the server sent it; its DER is a blob under the same hash."""

    sha256: str  # hex
    spki_sha256: str | None = None
    subject: str | None = None  # RFC 4514 text; None where it does not parse
    issuer: str | None = None
    names: list[str] = []  # DNS names and IP addresses of the subjectAltName
    not_before: str | None = None
    not_after: str | None = None


class Handshake(_Value, frozen=True, kw_only=True, tag="handshake", tag_field="kind"):
    """One TLS handshake. `valid` is the offline judgement of the chain for `server_name`.

    A handshake that completed with an invalid chain has `valid` False, a failure of the ssl_
    family and still its whole chain.
    """

    purpose: Purpose = "main"
    hop: int = 0
    attempt: int = 0
    connection: int
    arm: Arm | None = None
    address: str
    port: int
    server_name: str | None  # the SNI sent; None: none was sent
    version: str | None = None
    alpn: str | None = None
    chain: list[Certificate] = []
    valid: bool | None = None  # None: no chain was received
    invalid_because: str | None = None
    hello_bytes: int | None = None  # size of the first flight sent
    acknowledged: bool | None = None  # did the peer's TCP acknowledge the first flight
    bytes_received: int | None = None  # from the peer during the handshake
    alert: int | None = None  # number of the TLS alert received
    failure: str | None = None
    start: str
    duration_us: int


class Exchange(_Value, frozen=True, kw_only=True, tag="exchange", tag_field="kind"):
    """One HTTP request and what came back. Headers are Latin-1 text in the order received."""

    purpose: Purpose = "main"
    hop: int = 0
    attempt: int = 0
    connection: int
    arm: Arm | None = None
    url: str
    address: str
    status: int | None = None
    headers: list[tuple[str, str]] = []
    title: str | None = None  # first <title>, at most 512 characters
    body: str | None = None  # blob id; only kept for plain HTTP, unverified TLS, anything odd
    body_sha256: str | None = None  # hex, of the decoded bytes received
    body_bytes: int | None = None  # decoded bytes received
    declared_bytes: int | None = None  # Content-Length as sent
    truncated: bool | None = None  # True: our cap was reached
    failure: str | None = None
    start: str
    duration_us: int


Step: TypeAlias = Lookup | Connect | Handshake | Exchange


# --- what stands around the steps --------------------------------------------------------------


class HelperEndpoint(_Value, frozen=True, kw_only=True):
    """What a helper met at one `address:port`."""

    status: bool
    failure: str | None = None


class HelperExchange(_Value, frozen=True, kw_only=True):
    """What a helper got for the URL; everything None where it did not say."""

    status: int | None = None
    body_length: int | None = None
    title: str | None = None
    headers: dict[str, str] = {}
    failure: str | None = None


class HelperAnswer(_Value, frozen=True, kw_only=True):
    """One helper's view of the URL. `answered` False: `failure` says why, the rest is empty."""

    helper: str  # its URL
    answered: bool
    dns: list[str] = []
    dns_failure: str | None = None
    connect: dict[str, HelperEndpoint] = {}  # by "address:port", IPv6 in brackets
    handshake: dict[str, HelperEndpoint] = {}
    exchange: HelperExchange = HelperExchange()
    failure: str | None = None
    start: str
    duration_us: int


class Vantage(_Value, frozen=True, kw_only=True):
    """A pseudonym for one installation on one network."""

    id: str
    kind: Literal["field", "reference"] = "field"
    country: str | None = None
    asn: int | None = None
    network: str | None = None
    networks_table: str | None = None  # date of the offline table that named the network
    # "ooni": no installation, but what this one imported of that project's data on the network.
    source: str | None = None


class Line(_Value, frozen=True, kw_only=True):
    """The state of the vantage's own line and clock."""

    state: LineState
    clock_offset_us: int | None = None  # to be added to our times; None counts as 0
    ipv4: bool | None = None  # did a neutral host of that family pass in the same minutes
    ipv6: bool | None = None
    resolver_asn: int | None = None


class Round(_Value, frozen=True, kw_only=True):
    """One pass over the targets, recorded when its line is known and before any target."""

    format: Literal["sitewatch-round/1"] = "sitewatch-round/1"
    simulated: bool
    tool: str
    time: str
    vantage: Vantage
    line: Line
    steps: list[Step] = []  # those of the neutral hosts
    targets: int
    complete: bool = True
    source_id: str | None = None  # what it is called where it was imported from


class Measurement(_Value, frozen=True, kw_only=True):
    """One target in one round, or a follow-up of such a measurement."""

    format: Literal["sitewatch-measurement/1"] = "sitewatch-measurement/1"
    simulated: bool
    tool: str
    url: str
    time: str
    round: str
    follows: str | None = None
    complete: bool = True
    tier: Literal["browser-like", "probing", "conspicuous"] | None = None
    vantage: Vantage
    line: Line
    steps: list[Step] = []
    helpers: list[HelperAnswer] = []
    source_id: str | None = None  # what it is called where it was imported from


Record: TypeAlias = Round | Measurement


class Verdict(_Value, frozen=True, kw_only=True):
    """The conclusion for one measurement. Never part of what is hashed or signed."""

    rules_version: str
    status: Status
    layer: Layer | None = None
    technique: str | None = None
    certainty: Certainty | None = None
    blocked_name: str | None = None
    interference: list[str] = []  # every "layer.technique" seen
    rules: list[str] = []  # ids of all rules that fired, the deciding one first
    reasons: list[str] = []  # a sentence for each of them


# --- canonical form, ids and times ---------------------------------------------------------------

_canonical_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: object) -> bytes:
    """Return `value` as RFC 8785 canonical JSON.

    Records hold only text, integers below 2**53, booleans, null, lists and objects with ASCII
    keys; for those sorted compact JSON is the canonical form (a test holds it against the
    reference implementation).
    """
    return _canonical_encoder.encode(value)


def digest(data: bytes) -> str:
    """Return the id of a canonical record or a blob: ``sha256:`` and 64 hex digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def record_id(record: Record) -> str:
    """Return the id of a record: the same content has the same id wherever it comes from."""
    return digest(canonical(record))


def utc_text(seconds: float) -> str:
    """Return seconds since the epoch as ``2017-06-20T05:00:12.000000Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc_seconds(text: str) -> float:
    """Return the seconds since the epoch of a time written by `utc_text`."""
    return datetime.fromisoformat(text).timestamp()


def corrected_seconds(record: Record) -> float:
    """Return when the record was made by the right time: its clock plus the measured offset."""
    return utc_seconds(record.time) + (record.line.clock_offset_us or 0) / 1e6
