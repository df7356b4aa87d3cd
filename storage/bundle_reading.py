"""Reading a bundle item by item: nothing is handed on that does not verify."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TypeAlias

import msgspec

from storage.bundle import (
    MAX_KEYS,
    MAX_PENDING_BYTES,
    Absence,
    Anchor,
    Content,
    Derived,
    End,
    Head,
    Item,
    Key,
    Place,
    Seal,
    item_in,
)
from storage.bundle_frames import FrameReader, Readable
from storage.chain import (
    Certification,
    Envelope,
    certified_keys,
    envelope_hash,
    require_certified,
    require_matching,
    signed_by,
)
from storage.compression import MAX_BLOB_BYTES, MAX_RECORD_BYTES
from storage.derived_records import DerivedRecord, accept_derived
from storage.errors import RefusedError
from storage.intake import Sound, accept, referred_blobs
from storage.records import digest
from storage.seen import Seen


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A verified place in a chain, with its record and the blobs that came right before it.

    Without a record `absent` says why; both null: an earlier entry has the same record.
    """

    envelope: Envelope
    sound: Sound | None
    absent: Absence | None
    blobs: Mapping[str, bytes]
    blobs_missing: int  # named by the record and not in the bundle so far
    twice: bool  # its place was taken already: the installation was copied or set back


class DerivedEntry(msgspec.Struct, frozen=True):
    """A verified derived record."""

    item: Derived
    record: DerivedRecord


Part: TypeAlias = Anchor | Entry | DerivedEntry


class BundleReader:
    """One pass over a bundle in constant memory.

    Everything raises RefusedError in one line without the file's name, for whatever is malformed,
    out of order, unsigned, signed by the wrong key, or contradicted by its anchor. Only when
    `parts` came to its end is the whole file as its exporter sealed it.
    """

    def __init__(self, source: Readable) -> None:
        self._frames = FrameReader(source)
        self.head = self._head()
        self.keys: list[Certification] = []
        self.certified: Mapping[str, set[str]] = {}
        self._signers: set[str] = set()  # of anchors that the vantage itself did not sign
        self._records, self._blobs = 0, 0

    @property
    def seal(self) -> Seal:
        """The seal, once all parts were read."""
        assert self._frames.seal is not None
        return self._frames.seal

    def parts(self) -> Iterator[Part]:
        """Yield everything in order: each stretch's anchor before its entries."""
        with Seen() as seen:
            item = yield from self._exact(seen) if self.head.exact else self._public()
        if not isinstance(item, End):
            raise RefusedError(f"{_name(item)} where its end should be")
        if (item.records, item.blobs) != (self._records, self._blobs):
            raise RefusedError(
                f"it says that it holds {item.records} records and {item.blobs} blobs, "
                f"and holds {self._records} and {self._blobs}"
            )
        if self._frames.line() is not None:
            raise RefusedError("something follows after its end")
        if self._signers - {self.seal.key}:
            raise RefusedError("an anchor is signed by neither its vantage nor the exporter")

    def _head(self) -> Head:
        item = self._next()
        if not isinstance(item, Head):
            raise RefusedError(f"it begins with {_name(item)}")
        return item

    def _next(self) -> Item:
        line = self._frames.line()
        if line is None:
            raise RefusedError("its end is missing")
        return item_in(line)

    # --- exact bundles -----------------------------------------------------------------------

    def _exact(self, seen: Seen) -> Generator[Part, None, Item]:
        item = self._next()
        while isinstance(item, Key):
            self.keys.append(item.certification)
            if len(self.keys) > MAX_KEYS:
                raise RefusedError(f"more than {MAX_KEYS} keys")
            item = self._next()
        self.certified = certified_keys(self.keys)
        for key in self.keys:
            if key.key not in self.certified.get(key.vantage, ()):
                raise RefusedError(f"key {key.key[:64]}: not certified by its vantage")
        last = ("", 0)
        while isinstance(item, Anchor):
            if (item.vantage, item.first) < last:
                raise RefusedError(f"vantage {item.vantage}: its stretches are out of order")
            self._require_signed(item)
            yield item
            yield from self._stretch(item, seen)
            last = item.vantage, item.last
            item = self._next()
        return item

    def _require_signed(self, anchor: Anchor) -> None:
        if not signed_by(anchor, anchor.key):
            raise RefusedError(f"vantage {anchor.vantage}: its anchor has a wrong signature")
        if anchor.key not in self.certified.get(anchor.vantage, ()):
            self._signers.add(anchor.key)

    def _stretch(self, anchor: Anchor, seen: Seen) -> Iterator[Entry]:
        links = _Links(anchor)
        for _ in range(anchor.count):
            item, blobs = self._pending(seen)
            if not isinstance(item, Place):
                raise RefusedError(
                    f"vantage {anchor.vantage}: {_name(item)} where its anchor tells of a record"
                )
            require_certified(item.envelope, self.certified)
            twice = links.follow(item.envelope)
            yield self._entry(item, blobs, seen, twice=twice)
        links.require_end()

    def _pending(self, seen: Seen) -> tuple[Item, dict[str, bytes]]:
        """Return the next item that is no blob, and the blobs before it."""
        blobs: dict[str, bytes] = {}
        size = 0
        while isinstance(item := self._next(), Content):
            size += item.size
            if not 0 <= item.size <= MAX_BLOB_BYTES or size > MAX_PENDING_BYTES:
                raise RefusedError(f"blob {item.id}: too large")
            content = self._frames.take(item.size)
            if digest(content) != item.id:
                raise RefusedError(f"blob {item.id}: its content has another hash")
            if not seen.add(item.id):
                raise RefusedError(f"blob {item.id}: it is there twice")
            blobs[item.id] = content
            self._blobs += 1
        return item, blobs

    def _entry(self, item: Place, blobs: dict[str, bytes], seen: Seen, *, twice: bool) -> Entry:
        sound = self._sound(item, seen)
        if sound is None and item.absent is None and item.envelope.id not in seen:
            raise RefusedError(f"record {item.envelope.id}: it is not there, and nothing says why")
        named = referred_blobs(sound.record) if sound else set()
        if strangers := blobs.keys() - named:
            raise RefusedError(f"blob {min(strangers)}: the record after it does not name it")
        return Entry(
            envelope=item.envelope,
            sound=sound,
            absent=item.absent,
            blobs=blobs,
            blobs_missing=seen.missing(named),
            twice=twice,
        )

    def _sound(self, item: Place, seen: Seen) -> Sound | None:
        if item.size is None:
            return None
        id = item.envelope.id
        if not 0 <= item.size <= MAX_RECORD_BYTES or item.absent is not None:
            raise RefusedError(f"record {id}: too large, or said to be absent")
        data = self._frames.take(item.size)
        if digest(data) != id:
            raise RefusedError(f"record {id}: its content has another hash")
        sound = accept(data)
        require_matching(item.envelope, sound.id, sound.record)
        self._require_kind(id, sound.record.simulated)
        if not seen.add(id):
            raise RefusedError(f"record {id}: it is there twice")
        self._records += 1
        return sound

    def _require_kind(self, id: str, simulated: bool) -> None:
        if simulated != self.head.simulated:
            raise RefusedError(f"record {id}: simulated and real records are mixed")

    # --- public bundles ----------------------------------------------------------------------

    def _public(self) -> Generator[Part, None, Item]:
        last = ""
        while isinstance(item := self._next(), Derived):
            if not 0 <= item.size <= MAX_RECORD_BYTES:
                raise RefusedError(f"derived record {item.id}: too large")
            data = self._frames.take(item.size)
            if digest(data) != item.id:
                raise RefusedError(f"derived record {item.id}: its content has another hash")
            if not signed_by(item, item.key):
                raise RefusedError(f"derived record {item.id}: wrong signature")
            record = accept_derived(data)
            if record.vantage.id != item.vantage:
                raise RefusedError(f"derived record {item.id}: of another vantage than it says")
            if record.of <= last:
                raise RefusedError(f"derived record {item.id}: out of order")
            self._require_kind(item.id, record.simulated)
            self._records += 1
            last = record.of
            yield DerivedEntry(item, record)
        return item


class _Links:
    """Holds the envelopes of one stretch against its anchor and against each other."""

    def __init__(self, anchor: Anchor) -> None:
        self._anchor = anchor
        self._place = anchor.first - 1
        self._before: set[str | None] = set()
        self._here: set[str | None] = {anchor.previous}
        self._hash = ""

    def follow(self, envelope: Envelope) -> bool:
        """Take the next envelope; return whether its place was taken already."""
        hash, vantage = envelope_hash(envelope), self._anchor.vantage
        if envelope.vantage != vantage:
            raise RefusedError(f"record {envelope.id}: of another vantage than its anchor")
        if envelope.sequence < 1 or (envelope.sequence == 1) != (envelope.previous is None):
            raise RefusedError(f"record {envelope.id}: its envelope has no place in a chain")
        twice = envelope.sequence == self._place
        if twice and hash <= self._hash:
            raise RefusedError(f"vantage {vantage}: place {self._place} is out of order")
        if not twice:
            if envelope.sequence != self._place + 1:
                raise RefusedError(
                    f"vantage {vantage}: place {envelope.sequence} where {self._place + 1} is due"
                )
            self._before, self._here = self._here, set()
        if envelope.previous not in self._before:
            raise RefusedError(
                f"vantage {vantage}: place {envelope.sequence} does not follow the one before"
            )
        self._place, self._hash = envelope.sequence, hash
        self._here.add(hash)
        return twice

    def require_end(self) -> None:
        """Raise RefusedError unless the anchor told of exactly what came."""
        if (self._place, self._hash) != (self._anchor.last, self._anchor.head):
            raise RefusedError(
                f"vantage {self._anchor.vantage}: its anchor contradicts what is there"
            )


def _name(item: Item) -> str:
    """Return what an item is, with its article."""
    name = str(type(item).__struct_config__.tag)
    return f"an {name}" if name[0] in "ae" else f"a {name}"
