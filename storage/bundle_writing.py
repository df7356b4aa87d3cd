"""Writing bundles out of a database: exact ones with chains, public ones with derived records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, func, select

from storage.bundle import (
    MAX_PENDING_BYTES,
    Absence,
    Content,
    Derived,
    End,
    Head,
    Key,
    Place,
)
from storage.bundle_frames import FrameWriter, Writable
from storage.chain import (
    Certification,
    Envelope,
    certified_keys,
    public_hex,
    require_matching,
    signed,
)
from storage.derived_records import derive
from storage.errors import RefusedError
from storage.insertion import kind_of
from storage.intake import Sound, referred_blobs
from storage.keys import ExportKeys
from storage.reading import blob_of
from storage.records import digest
from storage.schema import envelopes, records
from storage.seen import Seen
from storage.stretches import Span, envelope_pages, stretches
from storage.wanted import Exported, Wanted, all_certifications, sound_in, sound_records

_PAGE = 100


class BundleWriter:
    """Writes one bundle of what a connection's one transaction sees.

    RefusedError without the database's name if there is nothing to write; then nothing was sealed
    and what was written so far is no bundle.
    """

    def __init__(
        self, connection: Connection, wanted: Wanted, keys: ExportKeys, out: Writable, tool: str
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._keys = keys
        self._frames = FrameWriter(out)
        self._tool = tool
        self._done = Exported()
        self._certifications = all_certifications(connection)
        self._certified = certified_keys(self._certifications)

    # --- exact bundles -----------------------------------------------------------------------

    def exact(self) -> Exported:
        """Write the signed originals, all places of the chains between the first and the last."""
        spans = self._spans()
        vantages = {span.vantage for span in spans}
        exporter = self._exporter(vantages)
        self._head(exact=True, empty=not spans)
        for certification in self._certifications:
            if certification.vantage in vantages and self._is_certified(certification):
                self._frames.item(Key(certification=certification))
        with Seen() as seen:
            for span in spans:
                self._span(span, self._own_key(span.vantage) or exporter, seen)
        return self._finish(exporter)

    def _spans(self) -> list[Span]:
        """Return for each vantage the places from the first to the last record that is wanted."""
        first, last = func.min(envelopes.c.sequence), func.max(envelopes.c.sequence)
        query = select(envelopes.c.vantage, first, last).group_by(envelopes.c.vantage)
        if conditions := self._wanted.conditions():
            query = query.join(records, records.c.id == envelopes.c.id).where(*conditions)
        query = query.order_by(envelopes.c.vantage)
        return [Span(*row) for row in self._connection.execute(query)]

    def _span(self, span: Span, key: Ed25519PrivateKey, seen: Seen) -> None:
        found = stretches(self._connection, span, self._certified)
        self._done.left_out += [f"record {line}" for line in found.broken.values()]
        anchors, left = iter(found.anchors), 0
        for page in envelope_pages(self._connection, span):
            rows = self._rows([envelope.id for _, envelope in page])
            for hash, envelope in page:
                if hash in found.broken:
                    continue
                if not left:
                    anchor = msgspec.structs.replace(next(anchors), key=public_hex(key))
                    self._frames.item(signed(anchor, key))
                    left = anchor.count
                self._place(envelope, rows.get(envelope.id), seen)
                left -= 1

    def _place(self, envelope: Envelope, row: Any, seen: Seen) -> None:
        if envelope.id in seen:  # a copied installation signed one record twice
            self._frames.item(Place(envelope=envelope))
            return
        sound, absent = self._content(envelope, row)
        if sound is None:
            self._frames.item(Place(envelope=envelope, absent=absent))
            return
        seen.add(envelope.id)
        self._blobs(sound, seen)
        self._frames.item(Place(envelope=envelope, size=len(sound.canonical)), sound.canonical)
        self._done.records += 1

    def _rows(self, ids: Sequence[str]) -> dict[str, Any]:
        wanted = [
            condition.label(f"wanted{i}") for i, condition in enumerate(self._wanted.conditions())
        ]
        query = select(records.c.id, records.c.codec, records.c.canonical, *wanted)
        rows = self._connection.execute(query.where(records.c.id.in_(ids)))
        return {row.id: row for row in rows}

    def _content(self, envelope: Envelope, row: Any) -> tuple[Sound | None, Absence | None]:
        """Return the record, or why it is not written."""
        if row is not None and not all(row[3:]):
            self._done.withheld += 1
            return None, "withheld"
        if row is None or row.canonical is None:
            self._done.thinned += 1
            return None, "thinned"
        try:
            sound = sound_in(row)
            require_matching(envelope, sound.id, sound.record)
        except RefusedError as error:
            self._done.left_out.append(f"record {error}")
            return None, "damaged"
        return sound, None

    def _blobs(self, sound: Sound, seen: Seen) -> None:
        """Write the blobs of a record that were not written yet."""
        size = 0
        for id in sorted(referred_blobs(sound.record)):
            if id in seen:
                continue
            try:
                content = self._blob(id)
            except RefusedError as error:
                self._done.left_out.append(str(error))
                continue
            if content is None:
                continue
            size += len(content)
            if size > MAX_PENDING_BYTES:
                self._done.left_out.append(f"record {sound.id}: too many blobs, not all written")
                return
            seen.add(id)
            self._frames.item(Content(id=id, size=len(content)), content)
            self._done.blobs += 1

    def _blob(self, id: str) -> bytes | None:
        try:
            content = blob_of(self._connection, id)
        except RefusedError as error:
            raise RefusedError(f"blob {id}: {error}") from error
        if content is not None and digest(content) != id:
            raise RefusedError(f"blob {id}: its content has another hash")
        return content

    # --- public bundles ----------------------------------------------------------------------

    def public(self) -> Exported:
        """Write derived records, in the order of their originals' ids, which tells nothing."""
        vantages = set[str]()
        self._head(exact=False, empty=False)
        for sound in sound_records(self._connection, self._wanted, self._done):
            vantage = sound.record.vantage.id
            vantages.add(vantage)
            key = self._public_key(vantage)
            data = derive(sound)
            unsigned = Derived(
                id=digest(data), vantage=vantage, key=public_hex(key), size=len(data)
            )
            self._frames.item(signed(unsigned, key), data)
            self._done.records += 1
        if not vantages:
            raise RefusedError("no record is wanted; nothing was written")
        own = sorted(vantage for vantage in vantages if vantage in self._keys.present)
        return self._finish(self._public_key(own[0] if own else ""))

    def _public_key(self, vantage: str) -> Ed25519PrivateKey:
        return self._keys.public(vantage if vantage in self._keys.present else "")

    # --- both --------------------------------------------------------------------------------

    def _head(self, *, exact: bool, empty: bool) -> None:
        simulated = kind_of(self._connection)
        if simulated is None:
            raise RefusedError("it holds no records yet")
        if empty:
            raise RefusedError("no record is wanted; nothing was written")
        self._frames.item(Head(exact=exact, simulated=simulated, tool=self._tool))

    def _finish(self, key: Ed25519PrivateKey) -> Exported:
        self._frames.item(End(records=self._done.records, blobs=self._done.blobs))
        self._frames.seal(key)
        return self._done

    def _exporter(self, vantages: set[str]) -> Ed25519PrivateKey:
        """Return who seals: the first own vantage among them, or else the installation."""
        own = filter(None, (self._own_key(vantage) for vantage in sorted(vantages)))
        return next(own, None) or self._keys.public("")

    def _own_key(self, vantage: str) -> Ed25519PrivateKey | None:
        """Return the certified key of an own vantage; None for others and where it is new."""
        key = self._keys.present.get(vantage)
        if key is None or public_hex(key) not in self._certified.get(vantage, ()):
            return None
        return key

    def _is_certified(self, certification: Certification) -> bool:
        return certification.key in self._certified.get(certification.vantage, ())
