"""Derived records: what of a record may be published without harm to whoever measured.

Somebody who watches a volunteer's line could hold a published record against what he saw, and so
learn who measured. Therefore a derived record

- has no exact times: `time` is rounded down and `until` up to ten minutes, by corrected time, and
  steps have no start, only durations in whole milliseconds;
- has no place in a chain and no clock offset, so that records cannot be put in order;
- has no source ports (nothing has) and no bodies or raw DNS replies, which may hold serial numbers;
- has of the headers only those that say what kind of server answered;
- has of walks the networks on the way, but not how many hops they took, and no distance to the
  system's own resolver;
- has no query or fragment in the URLs and redirects that the measurement met on its way.

What is published is listed here field by field; a field that a later version adds stays private
until it is listed. `of` is the id of the original.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

from storage.errors import RefusedError
from storage.intake import Sound
from storage.records import (
    Measurement,
    Record,
    Vantage,
    canonical,
    corrected_seconds,
    digest,
    is_id,
    utc_seconds,
    utc_text,
)

DERIVED_FORMAT = "sitewatch-public/1"
ROUNDING_SECONDS = 600
_ROUNDED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d0:00\.000000Z", re.ASCII)

HEADERS = frozenset(
    {
        "alt-svc",
        "content-encoding",
        "content-length",
        "content-type",
        "location",
        "proxy-agent",
        "server",
        "via",
        "www-authenticate",
        "x-powered-by",
    }
)

# The fields of records that are published as they are.
_RECORD = (
    *("simulated", "tool", "url", "round", "follows", "complete", "tier", "targets"),
    "agreement",
)
_VANTAGE = ("id", "kind", "country", "asn", "network", "networks_table", "source")
_LINE = (
    *("state", "ipv4", "ipv6", "resolver_asn", "resolver_at_home", "resolver_elsewhere"),
    *("diverted", "nat64", "intercepted"),
    "portal_status",
)
_STEP = (
    *("kind", "purpose", "hop", "attempt", "connection", "arm", "failure", "address", "port"),
    *("name", "type", "resolver", "answers", "cnames", "alpn", "extended_error", "rcode"),
    "over_tcp",
    *("icmp", "icmp_from_peer", "icmp_asn"),
    *("server_name", "version", "valid", "valid_by_system", "invalid_because"),
    *("hello_bytes", "acknowledged", "retransmissions", "bytes_received", "alert"),
    *("host", "protocol", "status", "title", "language", "simhash", "body_sha256"),
    *("body_bytes", "declared_bytes", "received_bytes", "truncated"),
    *("datagrams_received", "error", "method", "answer"),
)
_REPLY = ("ip_ttl", "rcode", "answers")
_CERTIFICATE = (
    *("sha256", "spki_sha256", "subject", "issuer", "names"),
    *("not_before", "not_after"),
)
# Of a walk only through which networks it led: how many hops they took tells where it began.
_HOP = ("answer", "asn")
# Durations inside steps, in microseconds, published in milliseconds.
_DURATIONS = ("duration_us", "first_byte_us", "last_byte_us")
_HELPER = ("helper", "answered", "tool", "dns", "dns_failure", "keys", "failure")
_ENDPOINT = ("status", "failure")
_HELPER_EXCHANGE = (
    *("status", "body_length", "title", "failure"),
    *("simhash", "body_sha256", "language", "truncated"),
)


class DerivedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What every derived record has; the rest is as in the record it is derived from."""

    format: Literal["sitewatch-public/1"]
    of: str
    kind: Literal["measurement", "round"]
    simulated: bool
    time: str
    until: str
    vantage: Vantage
    url: str | None = None


_derived = msgspec.json.Decoder(DerivedRecord)


def derive(sound: Sound) -> bytes:
    """Return the canonical form of the record derived from a record."""
    record = sound.record
    whole: dict[str, Any] = msgspec.to_builtins(record)
    start, end = _span(record)
    derived = _only(whole, _RECORD) | {
        "format": DERIVED_FORMAT,
        "of": sound.id,
        "kind": sound.kind,
        "time": utc_text(start),
        "until": utc_text(end),
        "vantage": _only(whole["vantage"], _VANTAGE),
        "line": _only(whole["line"], _LINE),
        "steps": [_step(step, record) for step in whole["steps"]],
    }
    if "helpers" in whole:
        derived["helpers"] = [_helper(answer) for answer in whole["helpers"]]
    return canonical(derived)


def accept_derived(data: bytes) -> DerivedRecord:
    """Return the derived record whose canonical form is `data`; RefusedError if it is not sound."""
    id = digest(data)
    try:
        record = _derived.decode(data)
        if canonical(msgspec.json.decode(data)) != data:
            raise ValueError("not in canonical form")
        if not is_id(record.of):
            raise ValueError("the id of its original is malformed")
        for time in (record.time, record.until):
            if not _ROUNDED.fullmatch(time):
                raise ValueError(f"the time {time[:40]!r} is not rounded to ten minutes")
            utc_seconds(time)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"derived record {id}: not sound: {error}") from error
    return record


def _span(record: Record) -> tuple[int, int]:
    """Return from when to when it was made by corrected time, rounded outward, in seconds."""
    start = corrected_seconds(record)
    ends = [utc_seconds(step.start) + step.duration_us / 1e6 for step in record.steps]
    took = max(0.0, max(ends, default=0.0) - utc_seconds(record.time))
    earliest = int(start // ROUNDING_SECONDS)
    latest = int(-(-(start + took) // ROUNDING_SECONDS))
    return earliest * ROUNDING_SECONDS, max(latest, earliest + 1) * ROUNDING_SECONDS


def _step(step: Mapping[str, Any], record: Record) -> dict[str, Any]:
    derived = _only(step, _STEP)
    for name in _DURATIONS:
        if name in step:
            derived[name.replace("_us", "_ms")] = _milliseconds(step[name])
    if "url" in step:
        target = record.url if isinstance(record, Measurement) else None
        derived["url"] = step["url"] if step["url"] == target else _without_query(step["url"])
    if "headers" in step:
        derived["headers"] = _headers(step["headers"])
    if "replies" in step:
        derived["replies"] = [_reply(reply, step) for reply in step["replies"]]
    if "chain" in step:
        derived["chain"] = [_only(certificate, _CERTIFICATE) for certificate in step["chain"]]
    if "hops" in step:
        hops = [_only(hop, _HOP) for hop in step["hops"]]
        derived["hops"] = [hop for hop, _ in groupby(hops)]
    return derived


def _reply(reply: Mapping[str, Any], lookup: Mapping[str, Any]) -> dict[str, Any]:
    derived = _only(reply, _REPLY) | {"after_ms": _milliseconds(reply["after_us"])}
    if lookup["resolver"] == "system":  # how far away it is tells where on the network one stands
        derived["ip_ttl"] = None
    return derived


def _helper(answer: Mapping[str, Any]) -> dict[str, Any]:
    exchange = answer["exchange"]
    return _only(answer, _HELPER) | {
        "connect": _each(answer["connect"], lambda end: _only(end, _ENDPOINT)),
        "handshake": _each(answer["handshake"], lambda end: _only(end, _ENDPOINT)),
        "exchange": _only(exchange, _HELPER_EXCHANGE)
        | {"headers": dict(_headers(exchange["headers"].items()))},
        "duration_ms": _milliseconds(answer["duration_us"]),
    }


def _headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (name, _without_query(value) if name.lower() == "location" else value)
        for name, value in headers
        if name.lower() in HEADERS
    ]


def _without_query(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # what a server sent as one need not be one
        return ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _milliseconds(microseconds: int | None) -> int | None:
    return None if microseconds is None else round(microseconds / 1000)


def _only(whole: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: whole[name] for name in names if name in whole}


def _each(
    whole: Mapping[str, Any], change: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    return {key: change(value) for key, value in whole.items()}
