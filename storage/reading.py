"""Reading records back: by time, by id, by what they follow, in pages of bounded size."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Engine, Select, literal, select, tuple_

from storage.chain import Envelope
from storage.compression import expand_blob, expand_record
from storage.errors import RefusedError
from storage.insertion import IN_LIST
from storage.intake import decode
from storage.records import Measurement, Record, Round, Verdict
from storage.schema import blobs, envelopes, records, verdicts

R = TypeVar("R", Round, Measurement)

_PAGE = 256
_ORDER = records.c.time, records.c.id


class Stored(msgspec.Struct, Generic[R], frozen=True):
    """A record and its id."""

    id: str
    record: R


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which records: of one kind, `since` (inclusive) to `until` (exclusive), country, URLs."""

    kind: str
    since: str | None = None
    until: str | None = None
    country: str | None = None
    urls: Collection[str] | None = None


def pages(engine: Engine, wanted: Selection) -> Iterator[list[tuple[str, Record]]]:
    """Yield (id, record) in the order of (time, id), a page at a time.

    Each page is a short transaction of its own, so that a slow reader holds nothing up; records
    added meanwhile appear if they lie ahead.
    """
    query = select(
        records.c.id, records.c.time, records.c.kind, records.c.codec, records.c.canonical
    )
    query = query.where(*conditions(wanted), records.c.canonical.is_not(None))
    query = query.order_by(*_ORDER).limit(_PAGE)
    after: tuple[str, str] | None = None
    while True:
        page = query
        if after is not None:
            page = query.where(beyond(_ORDER, after))
        with engine.connect() as connection:
            rows = connection.execute(page).all()
        yield [(row.id, record_in(row)) for row in rows]
        if len(rows) < _PAGE:
            return
        after = (rows[-1].time, rows[-1].id)


def beyond(columns: Sequence[Column[Any]], place: Sequence[object]) -> ColumnElement[bool]:
    """Return the condition that a row comes after that place in the order of these columns."""
    values = [literal(value, column.type) for column, value in zip(columns, place, strict=True)]
    return tuple_(*columns) > tuple_(*values)


def records_where(
    connection: Connection, condition: ColumnElement[bool]
) -> list[tuple[str, Record]]:
    """Return (id, record) of the few records for which the condition holds, by (time, id)."""
    query = select(records.c.id, records.c.kind, records.c.codec, records.c.canonical)
    query = query.where(condition, records.c.canonical.is_not(None))
    query = query.order_by(*_ORDER)
    return [(row.id, record_in(row)) for row in connection.execute(query)]


def canonical_of(connection: Connection, id: str) -> bytes | None:
    """Return the canonical bytes of a record; None if it is not there or was dropped."""
    query = select(records.c.codec, records.c.canonical).where(records.c.id == id)
    row = connection.execute(query).one_or_none()
    return None if row is None or row.canonical is None else expand_record(*row)


def blob_of(connection: Connection, id: str) -> bytes | None:
    """Return a blob's content; None if it is not there."""
    query = select(blobs.c.codec, blobs.c.content).where(blobs.c.id == id)
    row = connection.execute(query).one_or_none()
    return None if row is None else expand_blob(*row)


def envelopes_of(connection: Connection, id: str) -> list[Envelope]:
    """Return the envelopes of a record: one, unless an installation was copied."""
    query = select(*envelope_columns()).where(envelopes.c.id == id).order_by(envelopes.c.hash)
    return [Envelope(**row._mapping) for row in connection.execute(query)]


def envelope_columns() -> list[ColumnElement[Any]]:
    """Return the columns that make up an `Envelope`."""
    return [envelopes.c[field] for field in Envelope.__struct_fields__]


def verdicts_of(
    connection: Connection, inputs: Mapping[str, str], rules_version: str
) -> dict[str, Verdict]:
    """Return the kept verdicts by measurement id, where rules and inputs are still the same.

    A fixed one stays whatever the rules and the inputs: some of those it had are no longer there.
    """
    columns = (records.c.id, verdicts.c.inputs, verdicts.c.fixed, verdicts.c.verdict)
    query = select(*columns).join_from(verdicts, records)
    query = query.where((verdicts.c.rules_version == rules_version) | verdicts.c.fixed)
    ids, found = list(inputs), {}
    for start in range(0, len(ids), IN_LIST):
        chunk: Select[Any] = query.where(records.c.id.in_(ids[start : start + IN_LIST]))
        for id, kept_inputs, fixed, verdict in connection.execute(chunk):
            same = fixed or inputs[id] == kept_inputs
            if same and (kept := verdict_in(verdict)) is not None:
                found[id] = kept
    return found


def verdict_in(text: str) -> Verdict | None:
    """Return a kept verdict; one that cannot be read is as good as none: it is only a cache."""
    try:
        return msgspec.json.decode(text, type=Verdict)
    except msgspec.MsgspecError:
        return None


def conditions(wanted: Selection) -> list[ColumnElement[bool]]:
    """Return what must hold of a row of `records`."""
    conditions = [records.c.kind == wanted.kind]
    if wanted.since is not None:
        conditions.append(records.c.time >= wanted.since)
    if wanted.until is not None:
        conditions.append(records.c.time < wanted.until)
    if wanted.country is not None:
        conditions.append(records.c.country == wanted.country)
    if wanted.urls is not None:
        conditions.append(records.c.url.in_(list(wanted.urls)))
    return conditions


def record_in(row: Any) -> Record:
    """Return the record of a row with id, kind, codec and canonical; RefusedError if damaged."""
    try:
        return decode(row.kind, expand_record(row.codec, row.canonical))
    except (RefusedError, msgspec.MsgspecError) as error:
        raise RefusedError(f"{row.id}: the record is damaged ({error})") from error
