"""Records as rows: the index columns of a record and one row for each of its steps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeAlias

from storage.intake import Sound
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    Lookup,
    Measurement,
    Quic,
    Record,
    Step,
    Walk,
)

Row: TypeAlias = dict[str, Any]


def index_columns(sound: Sound) -> Row:
    """Return the columns of table `records` that follow from the record itself."""
    record = sound.record
    measured = record if isinstance(record, Measurement) else None
    return {
        "id": sound.id,
        "kind": sound.kind,
        "time": record.time,
        "vantage": record.vantage.id,
        "country": record.vantage.country,
        "asn": record.vantage.asn,
        "vantage_kind": record.vantage.kind,
        "network": record.vantage.network,
        "clock_offset_us": record.line.clock_offset_us,
        "url": measured.url if measured else None,
        "round": measured.round if measured else None,
        "follows": measured.follows if measured else None,
        "line": record.line.state,
        "complete": record.complete,
    }


def step_rows(number: int, record: Record) -> list[Row]:
    """Return the rows of table `steps` for the record with that local number."""
    begun = datetime.fromisoformat(record.time)
    return [
        {"record": number, "position": position, **_step_columns(step, begun)}
        for position, step in enumerate(record.steps)
    ]


def _step_columns(step: Step, begun: datetime) -> Row:
    return {
        "kind": type(step).__name__.lower(),
        "purpose": step.purpose,
        "hop": step.hop,
        "attempt": step.attempt,
        "connection": None,
        "arm": step.arm,
        "name": None,
        "resolver": None,
        "address": step.address,
        "port": None,
        "url": None,
        "status": None,
        "rcode": None,
        "valid": None,
        "failure": step.failure,
        "start_us": (datetime.fromisoformat(step.start) - begun) // timedelta(microseconds=1),
        "duration_us": step.duration_us,
        **_own_columns(step),
    }


def _own_columns(step: Step) -> Row:
    """Return what only this kind of step has."""
    match step:
        case Lookup():
            return {"name": step.name, "resolver": step.resolver, "rcode": step.rcode}
        case Connect():
            return {"connection": step.connection, "port": step.port}
        case Handshake():
            return {
                "connection": step.connection,
                "port": step.port,
                "name": step.server_name,
                "valid": step.valid,
            }
        case Exchange():
            return {"connection": step.connection, "url": step.url, "status": step.status}
        case Quic():
            return {"port": step.port, "name": step.server_name}
        case Walk():
            return {"port": step.port, "name": step.name}
