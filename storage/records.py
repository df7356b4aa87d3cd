"""The records: rounds and measurements with their steps, exactly as they are hashed and signed.

Everything here is a plain immutable value. Durations are integer microseconds, times are UTC text
with microseconds and ``Z`` by the machine's clock, absent facts are None. Fields may be added with
a default; old records then read as None. See design.md sections 3 and 5 for the contract.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

from storage.steps import Arm as Arm
from storage.steps import Certificate as Certificate
from storage.steps import Connect as Connect
from storage.steps import Exchange as Exchange
from storage.steps import Handshake as Handshake
from storage.steps import Lookup as Lookup
from storage.steps import Purpose as Purpose
from storage.steps import Quic as Quic
from storage.steps import Reply as Reply
from storage.steps import Step as Step
from storage.steps import Value as Value
from storage.steps import Walk as Walk
from storage.steps import WalkAnswer as WalkAnswer
from storage.steps import WalkHop as WalkHop
from storage.steps import WalkMethod as WalkMethod

MEASUREMENT_FORMAT = "sitewatch-measurement/1"
ROUND_FORMAT = "sitewatch-round/1"

LineState: TypeAlias = Literal["up", "captive", "down", "foreign-cut", "whitelisted"]
Status: TypeAlias = Literal[
    "accessible", "blocked", "down", "restricted", "inconclusive", "offline"
]
Layer: TypeAlias = Literal["dns", "tcp", "tls", "http", "quic"]
Certainty: TypeAlias = Literal["suspected", "likely", "confirmed"]


# --- what stands around the steps --------------------------------------------------------------


class HelperEndpoint(Value, frozen=True, kw_only=True):
    """What a helper met at one `address:port`."""

    status: bool
    failure: str | None = None


class HelperExchange(Value, frozen=True, kw_only=True):
    """What a helper got for the URL; everything None where it did not say."""

    status: int | None = None
    body_length: int | None = None
    title: str | None = None
    headers: dict[str, str] = {}
    # Only helpers of our own say these, in the words of an exchange step.
    simhash: str | None = None
    body_sha256: str | None = None
    language: str | None = None
    truncated: bool | None = None
    failure: str | None = None


class HelperAnswer(Value, frozen=True, kw_only=True):
    """One helper's view of the URL. `answered` False: `failure` says why, the rest is empty."""

    helper: str  # its URL
    answered: bool
    dns: list[str] = []
    dns_failure: str | None = None
    connect: dict[str, HelperEndpoint] = {}  # by "address:port", IPv6 in brackets
    handshake: dict[str, HelperEndpoint] = {}
    keys: dict[str, str] = {}  # SHA-256 of the leaf's key by endpoint; ours alone say it
    exchange: HelperExchange = HelperExchange()
    tool: str | None = None  # of a helper of our own, its program
    failure: str | None = None
    start: str
    duration_us: int


class HelperAgreement(Value, frozen=True, kw_only=True):
    """Whether the helpers say the same; each point None unless two of them spoke of it."""

    asked: int
    answered: int  # the others kept silent, which is no disagreement
    names: bool | None = None  # all found addresses, or none did
    addresses: bool | None = None  # any two of them share one
    connect: bool | None = None  # each endpoint that two tried worked, or failed, for both
    handshake: bool | None = None
    keys: bool | None = None  # the leaf's key, by endpoint
    page: bool | None = None  # all got a page, or none did
    status: bool | None = None
    title: bool | None = None
    text: bool | None = None  # simhashes differ in at most 8 bits


class Vantage(Value, frozen=True, kw_only=True):
    """A pseudonym for one installation on one network."""

    id: str
    kind: Literal["field", "reference"] = "field"
    country: str | None = None
    asn: int | None = None
    network: str | None = None
    networks_table: str | None = None  # date of the offline table that named the network
    # "ooni": no installation, but what this one imported of that project's data on the network.
    source: str | None = None


class Line(Value, frozen=True, kw_only=True):
    """The state of the vantage's own line and clock."""

    state: LineState
    clock_offset_us: int | None = None  # to be added to our times; None counts as 0
    ipv4: bool | None = None  # did a neutral host of that family pass in the same minutes
    ipv6: bool | None = None
    resolver_asn: int | None = None
    resolver_at_home: bool | None = None  # is the system's at a private address; None: unknown
    resolver_elsewhere: bool | None = None  # is the system's in another network than the line
    diverted: bool | None = None  # do questions to other resolvers end at the line's own
    nat64: bool | None = None  # are IPv4 hosts reached through IPv6 addresses
    intercepted: bool | None = None  # one unknown authority vouches for several neutral hosts
    tunnelled: bool | None = None  # a VPN or a hosting network is suspected
    portal_status: int | None = None  # what plain HTTP was answered with where nothing passed


class Instrument(Value, frozen=True, kw_only=True):
    """What this installation can see, apart from the network."""

    roots_age_days: int | None = None  # of the root store that chains are judged by
    networks_table: str | None = None  # date of the table of networks by number
    openssl: str | None = None
    python: str | None = None
    system: str | None = None
    features: list[str] = []  # of the kernel: "tcp-info", "icmp-errors", "rto-max", "ip-ttl"


class Round(Value, frozen=True, kw_only=True):
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
    instrument: Instrument | None = None
    source_id: str | None = None  # what it is called where it was imported from


class Measurement(Value, frozen=True, kw_only=True):
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
    agreement: HelperAgreement | None = None  # of helpers; None: fewer than two were asked
    source_id: str | None = None  # what it is called where it was imported from


Record: TypeAlias = Round | Measurement


class Verdict(Value, frozen=True, kw_only=True):
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
_ID = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


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


def is_id(text: str) -> bool:
    """Return whether the text is an id as `digest` writes it."""
    return _ID.fullmatch(text) is not None


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


# What msgspec knows of a type is made at its first use, and is half made for other threads
# meanwhile: two first uses at once, by the writer and another thread, crash the interpreter.
for _kind in (Measurement, Round, Verdict):
    msgspec.json.Decoder(_kind)
