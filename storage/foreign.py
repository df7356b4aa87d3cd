"""Reading a database that somebody handed over: never changed, and nothing in it is trusted.

The columns are read without SQLAlchemy's types, since SQLite lets any column hold anything; each
row is then held against the shape it must have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, bindparam, text

from storage.chain import Certification, Envelope
from storage.compression import expand_blob
from storage.errors import RefusedError, StoreError
from storage.migrate import require_known_revision

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
    return _shaped(theirs.execute(query).mappings(), Certification)


def candidates(theirs: Connection) -> Iterator[list[Candidate]]:
    """Yield its records with their envelopes, some at a time, unverified."""
    query = text(
        "SELECT number, id, codec, canonical FROM records "
        "WHERE canonical IS NOT NULL AND number > :last ORDER BY number LIMIT :page"
    )
    last = 0
    while rows := theirs.execute(query, {"last": last, "page": _PAGE}).mappings().all():
        page = _shaped(rows, Candidate)
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
    found = _shaped(theirs.execute(query).mappings(), _Noted)
    return [(each.id, each.content) for each in found]


def kept_there(theirs: Connection, ids: Collection[str]) -> list[str]:
    """Return which of these blobs it holds, in order."""
    query = text("SELECT id FROM blobs WHERE id IN :ids ORDER BY id")
    query = query.bindparams(bindparam("ids", expanding=True))
    return list(theirs.execute(query, {"ids": list(ids)}).scalars())


def blob_there(theirs: Connection, id: str) -> bytes | None:
    """Return the content of a blob, None if it is not there; RefusedError if it is damaged."""
    query = text("SELECT codec, content FROM blobs WHERE id = :id")
    rows = theirs.execute(query, {"id": id}).mappings().all()
    if not rows:
        return None
    blob = _shaped(rows[:1], _Blob)[0]
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
    for envelope in _shaped(theirs.execute(query, {"ids": list(ids)}).mappings(), Envelope):
        found.setdefault(envelope.id, []).append(envelope)
    return found


def _shaped(rows: Any, type: type[T]) -> list[T]:
    try:
        return [msgspec.convert(dict(row), type) for row in rows]
    except msgspec.ValidationError as error:
        raise RefusedError(f"a row is not what it should be ({error})") from error
