"""Putting accepted records, envelopes, keys and blobs into the tables, inside a transaction.

Everything here is idempotent: what is already there stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec
from sqlalchemy import Column, Connection, insert, select

from storage.chain import Certification, Envelope, envelope_hash
from storage.compression import (
    MAX_BLOB_BYTES,
    RECORD_CODEC,
    compress_blob,
    compress_record,
)
from storage.errors import RefusedError
from storage.intake import Sound, referred_blobs
from storage.outcomes import note
from storage.records import Record, digest
from storage.rows import index_columns, step_rows
from storage.schema import (
    blob_uses,
    blobs,
    certifications,
    database_kind,
    envelopes,
    records,
    steps,
)

# Values in one IN list; the database allows a few times as many.
IN_LIST = 5000


def kind_of(connection: Connection) -> bool | None:
    """Return whether the database holds simulated records; None before the first record."""
    return connection.execute(select(database_kind.c.simulated)).scalar_one_or_none()


def require_kind(connection: Connection, simulated: bool) -> None:
    """Fix the kind with the first record; raise RefusedError for a record of the other kind."""
    kind = kind_of(connection)
    if kind is None:
        connection.execute(insert(database_kind).values(one=1, simulated=simulated))
    elif kind != simulated:
        raise RefusedError(wrong_kind(holds=kind))


def wrong_kind(*, holds: bool) -> str:
    """Return why simulated and real records do not mix."""
    names = {True: "simulated", False: "real"}
    return f"the database holds {names[holds]} records; {names[not holds]} ones may not enter"


def number_of(connection: Connection, id: str) -> int | None:
    """Return the local number of a record, None if it is not there."""
    return connection.execute(select(records.c.number).where(records.c.id == id)).scalar()


def is_stub(connection: Connection, number: int) -> bool:
    """Return whether the content of that record was dropped."""
    query = select(records.c.canonical.is_(None)).where(records.c.number == number)
    return bool(connection.execute(query).scalar_one())


def insert_record(connection: Connection, sound: Sound) -> int:
    """Add a record that is not there yet, with its steps and outcome; return its local number."""
    row = index_columns(sound)
    row |= {"codec": RECORD_CODEC, "canonical": compress_record(sound.canonical)}
    number = connection.execute(insert(records).values(row)).inserted_primary_key
    assert number is not None  # only multi-row inserts have none
    insert_steps(connection, number[0], sound.record)
    note(connection, [(sound.id, sound.record)])
    return int(number[0])


def insert_steps(connection: Connection, number: int, record: Record) -> None:
    """Add one row for each step of the record."""
    if rows := step_rows(number, record):
        connection.execute(insert(steps), rows)


def insert_envelopes(connection: Connection, signed: Iterable[Envelope]) -> None:
    """Add the envelopes that are not there yet."""
    by_hash = {envelope_hash(envelope): envelope for envelope in signed}
    missing = _missing(connection, envelopes.c.hash, by_hash)
    if rows := [{"hash": hash, **msgspec.structs.asdict(by_hash[hash])} for hash in missing]:
        connection.execute(insert(envelopes), rows)


def insert_certifications(connection: Connection, valid: Iterable[Certification]) -> None:
    """Add the public keys that are not there yet."""
    by_key = {certification.key: certification for certification in valid}
    missing = _missing(connection, certifications.c.key, by_key)
    if rows := [msgspec.structs.asdict(by_key[key]) for key in missing]:
        connection.execute(insert(certifications), rows)


def insert_blobs(connection: Connection, contents: Mapping[str, bytes]) -> int:
    """Add the blobs that are not there yet; return how many. Raises RefusedError for a wrong id."""
    for id, content in contents.items():
        if digest(content) != id:
            raise RefusedError(f"blob {id}: its content has another hash")
        if len(content) > MAX_BLOB_BYTES:
            raise RefusedError(f"blob {id}: larger than {MAX_BLOB_BYTES} bytes")
    rows = []
    for id in _missing(connection, blobs.c.id, contents):
        codec, compressed = compress_blob(contents[id])
        rows.append({"id": id, "codec": codec, "content": compressed})
    if rows:
        connection.execute(insert(blobs), rows)
    return len(rows)


def link_blobs(connection: Connection, number: int, record: Record) -> None:
    """Note which of the blobs that the record names are kept."""
    referred = referred_blobs(record)
    if not referred:
        return
    kept = set(blob_numbers(connection, referred).values())
    uses = select(blob_uses.c.blob).where(blob_uses.c.record == number)
    known = set(connection.execute(uses).scalars())
    if rows := [{"record": number, "blob": blob} for blob in sorted(kept - known)]:
        connection.execute(insert(blob_uses), rows)


def blob_numbers(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """Return the local numbers of those blobs that are kept, by id."""
    numbers: dict[str, int] = {}
    ordered = sorted(ids)
    for start in range(0, len(ordered), IN_LIST):
        chunk = ordered[start : start + IN_LIST]
        query = select(blobs.c.id, blobs.c.number).where(blobs.c.id.in_(chunk))
        numbers.update((id, number) for id, number in connection.execute(query))
    return numbers


def _missing(connection: Connection, column: Column[str], wanted: Collection[str]) -> set[str]:
    """Return those of `wanted` that do not stand in `column`."""
    missing, ordered = set(wanted), sorted(wanted)
    for start in range(0, len(ordered), IN_LIST):
        chunk = ordered[start : start + IN_LIST]
        missing.difference_update(
            connection.execute(select(column).where(column.in_(chunk))).scalars()
        )
    return missing
