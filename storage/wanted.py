"""Which records are wanted for an export, and reading them so that only what verifies comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, select

from storage.chain import Certification, certified_keys, require_certified, require_matching
from storage.compression import expand_record
from storage.errors import RefusedError
from storage.intake import Sound, accept
from storage.reading import envelopes_of
from storage.schema import certifications, records

_PAGE = 100


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which records: `since` (inclusive) to `until` (exclusive), UTC text; of which country."""

    since: str | None = None
    until: str | None = None
    country: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what must hold of a row of `records`."""
        found: list[ColumnElement[bool]] = []
        if self.since is not None:
            found.append(records.c.time >= self.since)
        if self.until is not None:
            found.append(records.c.time < self.until)
        if self.country is not None:
            found.append(records.c.country == self.country)
        return found


class Exported(msgspec.Struct, kw_only=True):
    """What was written; `left_out` has a line for each thing that did not verify."""

    records: int = 0
    blobs: int = 0
    withheld: int = 0
    thinned: int = 0
    left_out: list[str] = []


def all_certifications(connection: Connection) -> list[Certification]:
    """Return all public keys, each vantage's in the order of their certification."""
    columns = [certifications.c[field] for field in Certification.__struct_fields__]
    query = select(*columns).order_by(
        certifications.c.vantage, certifications.c.since, certifications.c.key
    )
    return [Certification(**row._mapping) for row in connection.execute(query)]


def sound_in(row: Any) -> Sound:
    """Return the record of a row with id, codec and canonical; RefusedError if it is damaged."""
    try:
        sound = accept(expand_record(row.codec, row.canonical))
    except RefusedError as error:
        raise RefusedError(f"{row.id}: {error}") from error
    if sound.id != row.id:
        raise RefusedError(f"{row.id}: its content has another hash")
    return sound


def sound_records(connection: Connection, wanted: Wanted, done: Exported) -> Iterator[Sound]:
    """Yield the records wanted, in the order of their ids, which tells nothing about them.

    Each is held against its envelopes first; what does not verify, or is thinned, is told in
    `done` instead.
    """
    certified = certified_keys(all_certifications(connection))
    query = select(records.c.id, records.c.codec, records.c.canonical).limit(_PAGE)
    query = query.where(*wanted.conditions()).order_by(records.c.id)
    page = query
    while rows := connection.execute(page).all():
        for row in rows:
            if row.canonical is None:
                done.thinned += 1
                continue
            try:
                sound = sound_in(row)
                _require_signed(connection, sound, certified)
            except RefusedError as error:
                done.left_out.append(f"record {error}")
                continue
            yield sound
        page = query.where(records.c.id > rows[-1].id)


def _require_signed(
    connection: Connection, sound: Sound, certified: Mapping[str, set[str]]
) -> None:
    signed = envelopes_of(connection, sound.id)
    if not signed:
        raise RefusedError(f"{sound.id}: nobody signed it")
    for envelope in signed:
        require_certified(envelope, certified)
        require_matching(envelope, sound.id, sound.record)
