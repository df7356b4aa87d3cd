"""What may enter: canonical bytes that are a sound record, whether made here or handed over."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

import msgspec

from storage.compression import MAX_RECORD_BYTES
from storage.errors import RefusedError
from storage.records import (
    Exchange,
    Handshake,
    Lookup,
    Measurement,
    Record,
    Round,
    canonical,
    digest,
    is_id,
)

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_VANTAGE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_LARGEST = 2**53 - 1  # integers beyond it are not the same in every JSON reader

_measurement = msgspec.json.Decoder(Measurement)
_round = msgspec.json.Decoder(Round)


class Sound(msgspec.Struct, frozen=True):
    """A record that may enter, with its id, its kind and its canonical bytes."""

    id: str
    kind: Literal["round", "measurement"]
    record: Record
    canonical: bytes


def accept_made(record: Record) -> Sound:
    """Return a record made by this program in its canonical form.

    Raises RefusedError when it holds what cannot be written or read back.
    """
    try:
        data = canonical(record)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError) as error:
        raise RefusedError(
            f"record of {record.time}: cannot be written as JSON ({error})"
        ) from error
    return accept(data)


def accept(data: bytes) -> Sound:
    """Return the record that `data` is the canonical form of; RefusedError if it is not sound.

    Fields that this version does not know are allowed and stay in the bytes.
    """
    id = digest(data)
    if len(data) > MAX_RECORD_BYTES:
        raise RefusedError(f"{id}: larger than {MAX_RECORD_BYTES} bytes")
    try:
        generic = msgspec.json.decode(data)
        kind = _kind(generic)
        record = decode(kind, data)
        if canonical(generic) != data:
            raise ValueError("not in canonical form")
        _require_portable(generic)
        _require_ids(record)
        for time in (record.time, *(step.start for step in record.steps)):
            _require_time(time)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{id}: not a sound record: {error}") from error
    return Sound(id=id, kind=kind, record=record, canonical=data)


def decode(kind: str, data: bytes) -> Record:
    """Return the round or measurement; msgspec.DecodeError (a ValueError) if it is not one."""
    return _round.decode(data) if kind == "round" else _measurement.decode(data)


def referred_blobs(record: Record) -> set[str]:
    """Return the ids of all blobs that the record names, kept or not."""
    found: set[str | None] = set()
    for step in record.steps:
        match step:
            case Lookup():
                found.update(reply.raw for reply in step.replies)
            case Handshake():
                found.update(f"sha256:{certificate.sha256}" for certificate in step.chain)
            case Exchange():
                found.add(step.body)
    return {id for id in found if id is not None}


def _kind(generic: object) -> Literal["round", "measurement"]:
    format = generic.get("format") if isinstance(generic, dict) else None
    if format == "sitewatch-round/1":
        return "round"
    if format == "sitewatch-measurement/1":
        return "measurement"
    raise ValueError(f"unknown format {str(format)[:40]!r}")


def _require_portable(value: object) -> None:
    """Raise ValueError for what other implementations of RFC 8785 would write differently."""
    if isinstance(value, dict):
        for key, item in value.items():
            # RFC 8785 sorts by UTF-16; nearly all names are ASCII, and telling that is quick
            if not key.isascii() and max(key) > "\uffff":
                raise ValueError("the name of a field has characters beyond U+FFFF")
            _require_portable(item)
    elif isinstance(value, list):
        for item in value:
            _require_portable(item)
    elif isinstance(value, float):
        raise ValueError("a number is not an integer")
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError("an integer is beyond 2**53")


def _require_ids(record: Record) -> None:
    if not _VANTAGE.fullmatch(record.vantage.id):
        raise ValueError("the vantage's id is not 32 hex digits")
    if isinstance(record, Measurement):
        for id in (record.round, record.follows):
            if id is not None and not is_id(id):
                raise ValueError("the id of its round or of what it follows is malformed")
    for blob in referred_blobs(record):
        if not is_id(blob):
            raise ValueError("the id of a blob is malformed")


def _require_time(time: str) -> None:
    if not _TIME.fullmatch(time):
        raise ValueError(f"time {time[:40]!r} is not like 2017-06-20T05:00:12.000000Z")
    datetime.fromisoformat(time)  # the 31st of June is a ValueError
