"""Checking that a database is intact: hashes, signatures, chains, derived rows, triggers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, select, text

from storage.annotations import damaged as damaged_annotations
from storage.chain import (
    Certification,
    Envelope,
    Missing,
    broken_links,
    certified_keys,
    envelope_hash,
    require_certified,
    require_matching,
)
from storage.compression import expand_blob, expand_record
from storage.errors import DATABASE_ERRORS, RefusedError, reason_for
from storage.insertion import kind_of
from storage.intake import Sound, accept
from storage.reading import envelope_columns
from storage.records import digest
from storage.retention import stubs_without_leave
from storage.rows import Row, index_columns, step_rows
from storage.schema import APPEND_ONLY, DERIVED, blobs, certifications, envelopes, records, steps

T = TypeVar("T", Certification, Envelope)

_PAGE = 256


def check(connection: Connection) -> list[str]:
    """Return one line for each thing that is wrong with the database, [] if it is intact.

    Lines about what is not there, records or places in a chain, are of the type `Missing`.
    Records that retention made stubs are not wrong; their envelopes are checked with the chain.
    Records cut off at the end of a chain leave no trace inside the database.
    """
    keys, damaged = _keys(connection)
    certified = certified_keys(keys)
    return [
        *damaged,
        *_section("file", _check_file(connection)),
        *_section("triggers", _check_triggers(connection)),
        *_section("keys", _check_keys(keys, certified)),
        *_section("records", _check_records(connection, certified)),
        *_section("envelopes", _check_envelopes(connection)),
        *_section("blobs", _check_blobs(connection)),
        *_section("annotations", _check_annotations(connection)),
    ]


def _keys(connection: Connection) -> tuple[list[Certification], list[str]]:
    """Return all public keys, and a line for each row that is none."""
    columns = [certifications.c[field] for field in Certification.__struct_fields__]
    keys, damaged = [], []
    for row in connection.execute(select(*columns)):
        try:
            keys.append(_shaped(row, Certification))
        except RefusedError as error:
            damaged.append(f"key: {error}")
    return keys, damaged


def _section(name: str, lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines; where damage ends a part of the check, that is a line too."""
    try:
        yield from lines
    except (*DATABASE_ERRORS, RefusedError) as error:
        yield f"{name}: could not be checked to the end ({reason_for(error)})"


def _check_keys(keys: Iterable[Certification], certified: Mapping[str, set[str]]) -> Iterator[str]:
    for key in keys:
        if key.key not in certified.get(key.vantage, ()):
            yield f"key {key.key}: not certified by the vantage {key.vantage}"


def _check_file(connection: Connection) -> Iterator[str]:
    """Let SQLite check its own structures."""
    if connection.dialect.name != "sqlite":
        return
    for (line,) in connection.execute(text("PRAGMA integrity_check")):
        if line != "ok":
            yield f"file: {' '.join(str(line).split())}"
    for row in connection.execute(text("PRAGMA foreign_key_check")):
        yield f"table {row[0]}: row {row[1]} refers to a row of {row[2]} that is not there"


def _check_triggers(connection: Connection) -> Iterator[str]:
    if connection.dialect.name != "sqlite":
        return
    names = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    present = set(connection.execute(names).scalars())
    for table in (*APPEND_ONLY, *DERIVED):
        for action in ("update", "delete"):
            if f"no_{action}_{table}" not in present:
                yield f"table {table}: the trigger against {action} is gone"


def _check_records(connection: Connection, certified: Mapping[str, set[str]]) -> Iterator[str]:
    simulated = kind_of(connection)
    query = select(records).order_by(records.c.number)
    last = 0
    while rows := connection.execute(query.where(records.c.number > last).limit(_PAGE)).all():
        ids, numbers = [row.id for row in rows], [row.number for row in rows]
        signed = _envelopes_for(connection, ids)
        kept_steps = _steps_for(connection, numbers)
        for row in rows:
            if row.canonical is None:  # a stub: its envelope is checked with the chain
                continue
            try:
                sound = _sound(row)
                _require_consistent(row, sound, simulated, kept_steps.get(row.number, []))
                if row.id not in signed:
                    raise RefusedError(f"{row.id}: its envelope is missing")
                for envelope in signed[row.id]:
                    require_certified(envelope, certified)
                    require_matching(envelope, sound.id, sound.record)
            except RefusedError as error:
                yield f"record {error}"
        last = rows[-1].number
    for id in stubs_without_leave(connection):
        yield f"record {id}: its content is gone, and not by retention"


def _sound(row: Any) -> Sound:
    try:
        sound = accept(expand_record(row.codec, row.canonical))
    except RefusedError as error:
        raise RefusedError(f"{row.id}: {error}") from error
    if sound.id != row.id:
        raise RefusedError(f"{row.id}: its content has another hash")
    return sound


def _require_consistent(
    row: Any, sound: Sound, simulated: bool | None, kept_steps: list[Row]
) -> None:
    if sound.record.simulated != simulated:
        raise RefusedError(f"{row.id}: simulated and real records are mixed")
    for column, value in index_columns(sound).items():
        if row._mapping[column] != value:
            raise RefusedError(f"{row.id}: the column {column} says something else")
    if step_rows(row.number, sound.record) != kept_steps:
        raise RefusedError(f"{row.id}: the rows of its steps say something else")


def _check_envelopes(connection: Connection) -> Iterator[str]:
    query = select(envelopes.c.id).where(envelopes.c.id.not_in(select(records.c.id)))
    for id in connection.execute(query).scalars():
        yield Missing(f"record {id}: missing, its envelope is there")
    columns = [*envelope_columns(), envelopes.c.hash]
    for row in connection.execute(select(*columns)):
        if envelope_hash(_shaped(row, Envelope)) != row.hash:
            yield f"envelope {row.hash}: its content has another hash"
    ordered = select(*envelope_columns()).order_by(envelopes.c.vantage, envelopes.c.sequence)
    yield from broken_links(_shaped(row, Envelope) for row in connection.execute(ordered))


def _check_blobs(connection: Connection) -> Iterator[str]:
    query = select(blobs.c.id, blobs.c.codec, blobs.c.content)
    for id, codec, content in connection.execute(query.execution_options(yield_per=_PAGE)):
        try:
            if digest(expand_blob(codec, content)) != id:
                yield f"blob {id}: its content has another hash"
        except RefusedError as error:
            yield f"blob {id}: {error}"


def _check_annotations(connection: Connection) -> Iterator[str]:
    yield from damaged_annotations(connection)


def _envelopes_for(connection: Connection, ids: Sequence[str]) -> dict[str, list[Envelope]]:
    found: dict[str, list[Envelope]] = {}
    query = select(*envelope_columns()).where(envelopes.c.id.in_(ids))
    for row in connection.execute(query):
        envelope = _shaped(row, Envelope)
        found.setdefault(envelope.id, []).append(envelope)
    return found


def _steps_for(connection: Connection, numbers: Sequence[int]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    query = select(steps).where(steps.c.record.in_(numbers)).order_by(steps.c.position)
    for row in connection.execute(query).mappings():
        found.setdefault(row["record"], []).append(dict(row))
    return found


def _shaped(row: Any, type: type[T]) -> T:
    try:
        return msgspec.convert(dict(zip(type.__struct_fields__, row, strict=False)), type)
    except msgspec.ValidationError as error:
        raise RefusedError(f"a row is not what it should be: {error}") from error
