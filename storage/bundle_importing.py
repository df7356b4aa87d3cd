"""Taking a bundle into the database: first all of it is verified, then it enters in small pieces.

Nothing of a bundle enters in which anything is wrong. Each record enters together with its envelope
and its blobs, in one transaction. Verdicts are never in a bundle: the records are judged anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from sqlalchemy import Connection, select

from storage.bundle import Head
from storage.bundle_frames import Readable
from storage.bundle_reading import BundleReader, Entry
from storage.chain import Certification
from storage.errors import RefusedError
from storage.importing import Imported
from storage.insertion import (
    insert_blobs,
    insert_certifications,
    insert_envelopes,
    insert_record,
    link_blobs,
    number_of,
    require_kind,
    wrong_kind,
)
from storage.intake import referred_blobs
from storage.schema import records
from storage.store import Store

# A piece of work: so many places of a chain, or so many bytes of blobs, whichever comes first.
_PLACES = 100
_BYTES = 4 << 20

# Opens the bundle from its beginning; called twice.
Opener = Callable[[], AbstractContextManager[Readable]]


def import_bundle(open_bundle: Opener, store: Store) -> Imported:
    """Verify a bundle, then merge it into the store.

    Raises RefusedError without the file's name, and nothing enters, if anything in it is wrong, if
    it is a public one, or if it holds the other kind of records.
    """
    with open_bundle() as source:
        reader = BundleReader(source)
        _require_exact(reader.head)
        _require_same_kind(store.simulated(), reader.head)
        for _ in reader.parts():
            pass
    verified = reader.seal
    total = Imported()
    with open_bundle() as source:
        reader = BundleReader(source)
        for piece in _pieces(reader):
            new_keys = () if total.records_new or total.records_known else reader.keys
            part = store.write(_PieceMerge(piece, reader.head, new_keys).run)
            piece.clear()  # whoever still holds the finished work does not hold its blobs
            total.records_new += part.records_new
            total.records_known += part.records_known
            total.blobs_new += part.blobs_new
    if reader.seal != verified:
        raise RefusedError("it changed while it was read")
    return total


def _require_exact(head: Head) -> None:
    if not head.exact:
        raise RefusedError(
            "a public export: its derived records can be verified and read, but not merged; "
            "what can be merged is exported with --exact"
        )


def _require_same_kind(holds: bool | None, head: Head) -> None:
    if holds is not None and holds != head.simulated:
        raise RefusedError(wrong_kind(holds=holds))


def _pieces(reader: BundleReader) -> Iterator[list[Entry]]:
    piece: list[Entry] = []
    size = 0
    for part in reader.parts():
        if not isinstance(part, Entry):
            continue
        piece.append(part)
        size += sum(map(len, part.blobs.values())) + (
            len(part.sound.canonical) if part.sound else 0
        )
        if len(piece) >= _PLACES or size >= _BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


class _PieceMerge:
    """The work of one piece: some verified places into our database, in one transaction."""

    def __init__(self, piece: list[Entry], head: Head, keys: Iterable[Certification]) -> None:
        self._piece = piece
        self._head = head
        self._keys = keys

    def run(self, ours: Connection) -> Imported:
        """Merge the piece; what is there already stays as it is."""
        outcome = Imported()
        require_kind(ours, self._head.simulated)
        insert_certifications(ours, self._keys)
        for entry in self._piece:
            self._enter(ours, entry, outcome)
        insert_envelopes(ours, [entry.envelope for entry in self._piece])
        return outcome

    def _enter(self, ours: Connection, entry: Entry, outcome: Imported) -> None:
        if entry.sound is None:
            return
        number = number_of(ours, entry.sound.id)
        if number is None:
            number = insert_record(ours, entry.sound)
            outcome.records_new += 1
        else:
            outcome.records_known += 1
            if _was_thinned(ours, number):  # what was dropped on purpose does not come back
                return
        outcome.blobs_new += insert_blobs(ours, entry.blobs)
        if referred_blobs(entry.sound.record):
            link_blobs(ours, number, entry.sound.record)


def _was_thinned(ours: Connection, number: int) -> bool:
    query = select(records.c.canonical.is_(None)).where(records.c.number == number)
    return bool(ours.execute(query).scalar_one())
