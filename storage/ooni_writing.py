"""Exporting a store's measurements as OONI's JSON Lines, exact or derived for the public."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection

from storage.derived_records import derive
from storage.errors import RefusedError
from storage.intake import Sound
from storage.lines import verdict_of
from storage.ooni_export import ooni_measurement
from storage.ooni_import import SOURCE
from storage.ooni_own import EXPRESSED
from storage.reading import Stored, blob_of, records_where
from storage.records import Measurement
from storage.schema import records
from storage.wanted import Exported, Wanted, sound_records

_BY_KIND = {kind.__struct_config__.tag for kind in EXPRESSED}


def ooni_lines(
    connection: Connection, wanted: Wanted, *, exact: bool, done: Exported
) -> Iterator[bytes]:
    """Yield a line for each measurement wanted that follows none, in the order of their ids.

    Its follow-ups stand inside it. What came from OONI is not given back: its own file is the
    better copy. Without `exact` times are rounded down to ten minutes, and bodies, raw replies,
    certificates' contents and the order of events are left out.
    """
    for sound in sound_records(connection, wanted, done):
        record = sound.record
        if not isinstance(record, Measurement) or record.follows is not None:
            continue
        if record.vantage.source == SOURCE:
            continue
        group = [Stored(sound.id, record), *_follow_ups(connection, sound.id)]
        main, *others = group if exact else [public(one) for one in group]
        verdict = verdict_of(connection, sound)
        yield ooni_measurement(main, others, lambda id: blob_of(connection, id), verdict)
        done.records += 1
    if not done.records:
        raise RefusedError("no measurement is wanted; nothing was written")


def public(stored: Stored[Measurement]) -> Stored[Measurement]:
    """Return the measurement as its derived record tells it, in the shape of a measurement.

    Every step starts when the measurement does, since a derived record does not say when.
    """
    sound = Sound(id=stored.id, kind="measurement", record=stored.record, canonical=b"")
    told: dict[str, Any] = msgspec.json.decode(derive(sound))
    start = told["time"]
    shape = {
        **told,
        "format": stored.record.format,
        "steps": [_step(step, start) for step in told["steps"] if step["kind"] in _BY_KIND],
        "helpers": [_timed(answer, start) for answer in told["helpers"]],
    }
    return Stored(stored.id, msgspec.convert(shape, Measurement))


def _step(step: dict[str, Any], start: str) -> dict[str, Any]:
    shape = _timed(step, start)
    if "replies" in shape:
        shape["replies"] = [
            {**reply, "after_us": 1000 * reply["after_ms"]} for reply in shape["replies"]
        ]
    return shape


def _timed(told: dict[str, Any], start: str) -> dict[str, Any]:
    return {**told, "start": start, "duration_us": 1000 * told["duration_ms"]}


def _follow_ups(connection: Connection, id: str) -> list[Stored[Measurement]]:
    found = records_where(connection, records.c.follows == id)
    return [Stored(one, record) for one, record in found if isinstance(record, Measurement)]
