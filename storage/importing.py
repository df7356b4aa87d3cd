"""Merging another Sitewatch database: idempotent, in any order, nothing unverified enters.

Of the other's tables only canonical bytes, envelopes, public keys, blobs and annotations are taken,
each of them verified; index columns and steps are derived anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, select

from storage import annotations as context
from storage.chain import certified_keys, require_certified, require_matching
from storage.compression import expand_record
from storage.database import foreign_engine
from storage.errors import RefusedError, StoreError, named
from storage.foreign import (
    Candidate,
    annotations_there,
    blob_there,
    candidates,
    certifications_there,
    kept_there,
    require_readable,
    simulated_there,
)
from storage.insertion import (
    insert_blobs,
    insert_certifications,
    insert_envelopes,
    insert_record,
    is_stub,
    kind_of,
    link_blobs,
    number_of,
    require_kind,
    wrong_kind,
)
from storage.intake import Sound, accept, referred_blobs
from storage.schema import blobs
from storage.writer import Writer


class Imported(msgspec.Struct, kw_only=True):
    """What came of an import; `refused` has one line for each thing that did not enter."""

    records_new: int = 0
    records_known: int = 0
    blobs_new: int = 0
    annotations_new: int = 0
    refused: list[str] = []


def import_from(path: Path, writer: Writer, busy_seconds: float) -> Imported:
    """Merge the database at `path` through the thread that writes."""
    if not path.is_file():
        raise StoreError(f"{path}: no such file")
    engine = foreign_engine(path, busy_seconds)
    try:
        with named(str(path)), engine.connect() as theirs:
            require_readable(theirs, str(path))
            return _merge(theirs, engine, writer, str(path))
    finally:
        engine.dispose()


def _merge(theirs: Connection, engine: Engine, writer: Writer, name: str) -> Imported:
    simulated = simulated_there(theirs)
    if simulated is None:
        return Imported()
    writer.submit(lambda ours: _require_same_kind(ours, simulated, name)).result()
    keys = certifications_there(theirs)
    certified = certified_keys(keys)
    valid = [key for key in keys if key.key in certified.get(key.vantage, ())]
    writer.submit(lambda ours: insert_certifications(ours, valid)).result()
    total = Imported()
    for page in candidates(theirs):
        part = writer.submit(_PageMerge(page, simulated, certified, engine).run).result()
        total.records_new += part.records_new
        total.records_known += part.records_known
        total.blobs_new += part.blobs_new
        total.refused += part.refused
    handed = annotations_there(theirs)
    total.annotations_new, refused = writer.submit(lambda c: context.merge(c, handed)).result()
    total.refused += refused
    # A blob that many records name is refused once for each of them.
    total.refused = list(dict.fromkeys(total.refused))
    return total


class _PageMerge:
    """The work of one page: a few candidates into our database, in one transaction."""

    def __init__(
        self,
        page: Sequence[Candidate],
        simulated: bool,
        certified: Mapping[str, set[str]],
        theirs: Engine,
    ) -> None:
        self._page = page
        self._simulated = simulated
        self._certified = certified
        self._theirs = theirs

    def run(self, ours: Connection) -> Imported:
        """Merge the page; what is refused is named in the result."""
        outcome = Imported()
        for candidate in self._page:
            try:
                sound = self._verified(candidate)
            except RefusedError as error:
                outcome.refused.append(f"record {error}")
            else:
                self._enter(ours, candidate, sound, outcome)
        return outcome

    def _verified(self, candidate: Candidate) -> Sound:
        try:
            sound = accept(expand_record(candidate.codec, candidate.canonical))
        except RefusedError as error:
            raise RefusedError(f"{candidate.id}: {error}") from error
        if sound.id != candidate.id:
            raise RefusedError(f"{candidate.id}: its content has another hash")
        if sound.record.simulated != self._simulated:
            raise RefusedError(f"{candidate.id}: {wrong_kind(holds=self._simulated)}")
        if not candidate.envelopes:
            raise RefusedError(f"{candidate.id}: nobody signed it")
        for envelope in candidate.envelopes:
            require_certified(envelope, self._certified)
            require_matching(envelope, sound.id, sound.record)
        return sound

    def _enter(
        self, ours: Connection, candidate: Candidate, sound: Sound, outcome: Imported
    ) -> None:
        number = number_of(ours, sound.id)
        if number is None:
            require_kind(ours, self._simulated)
            number = insert_record(ours, sound)
            outcome.records_new += 1
        else:
            outcome.records_known += 1
        insert_envelopes(ours, candidate.envelopes)
        if is_stub(ours, number):  # what was dropped on purpose does not come back
            return
        self._enter_blobs(ours, sound, outcome)
        link_blobs(ours, number, sound.record)

    def _enter_blobs(self, ours: Connection, sound: Sound, outcome: Imported) -> None:
        """Take the blobs that we lack; a damaged one stays out and does not hold up its record."""
        wanted = referred_blobs(sound.record)
        wanted.difference_update(
            ours.execute(select(blobs.c.id).where(blobs.c.id.in_(wanted))).scalars()
        )
        if not wanted:
            return
        with self._theirs.connect() as theirs:
            for id in kept_there(theirs, wanted):
                try:
                    content = blob_there(theirs, id)
                    if content is not None:
                        outcome.blobs_new += insert_blobs(ours, {id: content})
                except RefusedError as error:
                    outcome.refused.append(str(error))


def _require_same_kind(ours: Connection, simulated: bool, name: str) -> None:
    holds = kind_of(ours)
    if holds is not None and holds != simulated:
        raise StoreError(f"{name}: {wrong_kind(holds=holds)}")
