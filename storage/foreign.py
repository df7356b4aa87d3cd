"""Reading a database that somebody handed over: never changed, and nothing in it is trusted.

The columns are read without SQLAlchemy's types, since SQLite lets any column hold anything; each
row is then held against the shape it must have. Hashes, keys and signatures stand there as bytes,
or as text in databases of earlier versions; both are read, and looked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Table, bindparam, text

from storage.chain import Certification, Envelope
from storage.compression import expand_blob
from storage.digits import Digits, hash_digits
from storage.errors import RefusedError, StoreError
from storage.migrate import require_known_revision
from storage.schema import annotations_table, blobs, certifications, envelopes, records

T = TypeVar("T")

_PAGE = 100
_TABLES = {"blobs", "certifications", "database_kind", "envelopes", "records"}


class Candidate(msgspec.Struct, frozen=True):
    """A record as it stands there, and the envelopes for it; any of it may be wrong."""

    number: int
    id: str
    codec: str
    canonical: object  # should be bytes
    envelopes: list[Envelope] = []


class _BlobId(msgspec.Struct, frozen=True):
    id: str


class _Blob(msgspec.Struct, frozen=True):
    codec: str
    content: object  # should be bytes


class _Noted(msgspec.Struct, frozen=True):
    id: str
    content: str


def require_readable(theirs: Connection, name: str) -> None:
    """Raise StoreError unless it is a Sitewatch database that this version can read."""
    require_known_revision(theirs, name)
    query = text("SELECT name FROM sqlite_master WHERE type = 'table'")
    if missing := _TABLES.difference(theirs.execute(query).scalars()):
        raise StoreError(f"{name}: not a Sitewatch database (no table {min(missing)})")


def simulated_there(theirs: Connection) -> bool | None:
    """Return whether its records are simulated; None if it has none."""
    kind = theirs.execute(text("SELECT simulated FROM database_kind")).scalar()
    return None if kind is None else bool(kind)


def certifications_there(theirs: Connection) -> list[Certification]:
    """Return its public keys, unverified."""
    query = text("SELECT vantage, key, previous, since, signature FROM certifications")
    return _shaped(theirs.execute(query).mappings(), certifications, Certification)


def candidates(theirs: Connection) -> Iterator[list[Candidate]]:
    """Yield its records with their envelopes, some at a time, unverified."""
    query = text(
        "SELECT number, id, codec, canonical FROM records "
        "WHERE canonical IS NOT NULL AND number > :last ORDER BY number LIMIT :page"
    )
    last = 0
    while rows := theirs.execute(query, {"last": last, "page": _PAGE}).mappings().all():
        page = _shaped(rows, records, Candidate)
        signed = _envelopes_there(theirs, [candidate.id for candidate in page])
        yield [
            msgspec.structs.replace(candidate, envelopes=signed.get(candidate.id, []))
            for candidate in page
        ]
        last = page[-1].number


def annotations_there(theirs: Connection) -> list[tuple[str, str]]:
    """Return its annotations, id and content, unverified; none where an older version made it."""
    tables = text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'annotations'")
    if theirs.execute(tables).first() is None:
        return []
    query = text("SELECT id, content FROM annotations WHERE content IS NOT NULL ORDER BY id")
    found = _shaped(theirs.execute(query).mappings(), annotations_table, _Noted)
    return [(each.id, each.content) for each in found]


def kept_there(theirs: Connection, ids: Collection[str]) -> list[str]:
    """Return which of these blobs it holds, in order."""
    query = text("SELECT id FROM blobs WHERE id IN :ids ORDER BY id")
    query = query.bindparams(bindparam("ids", expanding=True))
    found = theirs.execute(query, {"ids": _either_way(ids)}).mappings()
    return [one.id for one in _shaped(found, blobs, _BlobId)]


def blob_there(theirs: Connection, id: str) -> bytes | None:
    """Return the content of a blob, None if it is not there; RefusedError if it is damaged."""
    query = text("SELECT codec, content FROM blobs WHERE id IN :ids")
    query = query.bindparams(bindparam("ids", expanding=True))
    rows = theirs.execute(query, {"ids": _either_way([id])}).mappings().all()
    if not rows:
        return None
    blob = _shaped(rows[:1], blobs, _Blob)[0]
    try:
        return expand_blob(blob.codec, blob.content)
    except RefusedError as error:
        raise RefusedError(f"blob {id}: {error}") from error


def _envelopes_there(theirs: Connection, ids: Collection[str]) -> dict[str, list[Envelope]]:
    query = text(
        "SELECT vantage, sequence, previous, id, time, key, signature FROM envelopes "
        "WHERE id IN :ids ORDER BY hash"
    ).bindparams(bindparam("ids", expanding=True))
    found: dict[str, list[Envelope]] = {}
    rows = theirs.execute(query, {"ids": _either_way(ids)}).mappings()
    for envelope in _shaped(rows, envelopes, Envelope):
        found.setdefault(envelope.id, []).append(envelope)
    return found


def _either_way(ids: Collection[str]) -> list[object]:
    """Return the ids as text and as bytes, since either may stand there."""
    digits = hash_digits()
    return [*ids, *(digits.process_bind_param(id, None) for id in ids)]


def _shaped(rows: Any, table: Table, type: type[T]) -> list[T]:
    try:
        return [msgspec.convert(_told(row, table), type) for row in rows]
    except msgspec.ValidationError as error:
        raise RefusedError(f"a row is not what it should be ({error})") from error


def _told(row: Mapping[str, object], table: Table) -> dict[str, object]:
    """Return a row with the digits of bytes wherever ours has digits."""
    return {
        name: kind.process_result_value(value, None)
        if isinstance(value, bytes) and isinstance(kind := table.c[name].type, Digits)
        else value
        for name, value in row.items()
    }
