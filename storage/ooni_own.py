"""What our own exports carry beside OONI's keys, under names that begin with ``x_sitewatch``.

OONI's keys hold what was asked and what came of it, as far as they have a place for it; these hold
the rest, so that nothing is lost: which attempt, which arm of an experiment, late replies, and
whole steps of kinds that the format does not know. On reading, OONI's keys win where both speak.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from storage.ooni_document import BrokenError, Document
from storage.ooni_steps import Gathered, events
from storage.ooni_values import binary, endpoint, mapping
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    HelperAnswer,
    Line,
    Lookup,
    Measurement,
    Step,
)

BESIDE = "x_sitewatch"

# The fields of each kind of step that OONI's keys have a place for.
EXPRESSED: dict[type[Step], frozenset[str]] = {
    Lookup: frozenset(
        {"name", "type", "resolver", "address", "answers", "rcode", "failure", "start"}
        | {"duration_us"}
    ),
    Connect: frozenset({"address", "port", "failure", "start", "duration_us"}),
    Handshake: frozenset(
        {"address", "port", "server_name", "version", "alpn", "failure", "start", "duration_us"}
    ),
    Exchange: frozenset({"url", "address", "status", "headers", "failure", "start", "duration_us"}),
}

_S = TypeVar("_S", Lookup, Connect, Handshake, Exchange)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What stands once in the test keys: of the measurement itself, not of a step."""

    id: str | None = None  # of the record that was exported
    complete: bool = True
    tier: str | None = None
    line: Line
    helpers: list[HelperAnswer] = []
    steps: list[Step] = []  # of kinds that OONI's keys have no place for


def beside(step: Step) -> dict[str, Any]:
    """Return the fields of a step that stand beside OONI's own."""
    expressed = EXPRESSED[type(step)] | {"kind"}
    return {k: v for k, v in msgspec.to_builtins(step).items() if k not in expressed}


def own_steps(gathered: Gathered) -> list[Step]:
    """Return the steps of our own export, in order of time."""
    document = gathered.document
    steps: list[Step] = list(_state(document).steps)
    for entry in events(document, "queries"):
        steps += [_completed(one, entry) for one in gathered.lookups(entry)]
    for entry in events(document, "x_dns_duplicate_responses"):
        gathered.late_reply(entry, 0.0)  # its datagram is kept; the reply stands beside the query
    for entry in events(document, "tcp_connect"):
        connect = gathered.connect(entry, 0)
        steps += [_completed(connect, entry)] if connect else []
    for entry in events(document, "tls_handshakes"):
        where = endpoint(entry.get("address"))
        steps += [_completed(gathered.handshake(entry, where, 0), entry)] if where else []
    for entry in reversed(events(document, "requests")):
        where = endpoint(entry.get("address"))
        page = gathered.exchange(entry, 0, where[0] if where else "")
        if body := binary(mapping(entry.get("response")).get("body")):
            gathered.keep(body)
        steps += [_completed(page, entry)] if page else []
    return sorted(steps, key=lambda step: (step.start, step.hop, step.attempt))


def own_helpers(document: Document) -> list[HelperAnswer]:
    """Return all helpers' answers; OONI's key has a place for one."""
    return list(_state(document).helpers)


def own_state(document: Document, measurement: Measurement) -> Measurement:
    """Return the measurement with its line, tier and completeness as they were."""
    state = _state(document)
    changed = {
        **msgspec.to_builtins(measurement),
        "line": msgspec.to_builtins(state.line),
        "complete": state.complete,
        "tier": state.tier,
    }
    try:
        return msgspec.convert(changed, Measurement)
    except msgspec.ValidationError as error:
        raise BrokenError(f"{BESIDE}: {error}") from error


def _state(document: Document) -> State:
    try:
        return msgspec.convert(document.keys.x_sitewatch, State)
    except msgspec.ValidationError as error:
        raise BrokenError(f"{BESIDE}: {error}") from error


def _completed(step: _S, entry: dict[str, Any]) -> _S:
    """Return the step with what stands beside it; the blob it names must be in the line."""
    expressed = EXPRESSED[type(step)]
    extra = {k: v for k, v in mapping(entry.get(BESIDE)).items() if k not in expressed}
    try:
        return msgspec.convert({**msgspec.to_builtins(step), **extra}, type(step))
    except msgspec.ValidationError as error:
        raise BrokenError(f"{BESIDE}: {error}") from error
