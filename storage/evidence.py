"""Evidence: chosen records as files, with what signs them and the blobs they name, to hand out.

Exact, they are the canonical bytes with their envelopes, certified keys and blobs; public, they are
derived records, signed as an export signs them. The order of files and lines tells nothing about
the order in which records were made, but what stands in the records themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from storage.bundle import Derived, Seal
from storage.chain import (
    Envelope,
    certified_keys,
    public_hex,
    require_certified,
    require_matching,
    signed,
)
from storage.derived_records import derive
from storage.errors import RefusedError
from storage.intake import Sound, accept, referred_blobs
from storage.keys import ExportKeys
from storage.reading import blob_of, canonical_of, envelopes_of
from storage.records import canonical, digest
from storage.store import Store
from storage.wanted import all_certifications

T = TypeVar("T")

# Takes one file: its name, with "/" between folders, and its content.
Put = Callable[[str, bytes], None]


class Evidence:
    """The files of some records, put one after the other; `absent` says why what is not among them.

    Its values, by id, are `not kept` (dropped by retention, or never here) and `damaged`.
    """

    def __init__(self, connection: Connection, keys: ExportKeys, put: Put) -> None:
        self.absent: dict[str, str] = {}
        self._connection = connection
        self._keys = keys
        self._put = put
        self._certifications = all_certifications(connection)
        self._certified = certified_keys(self._certifications)
        self._vantages: set[str] = set()

    def exact(self, ids: Collection[str]) -> None:
        """Put the originals, in the order of their ids, their envelopes, keys and blobs."""
        envelopes: list[Envelope] = []
        blobs: set[str] = set()
        for id in sorted(ids):
            found = self._record(id)
            if found is None:
                continue
            sound, signers = found
            self._put(f"records/{id[7:]}.json", sound.canonical)
            self._vantages.add(sound.record.vantage.id)
            envelopes += signers
            blobs |= referred_blobs(sound.record)
        for id in sorted(blobs):
            self._blob(id)
        envelopes.sort(key=lambda envelope: (envelope.vantage, envelope.sequence, envelope.id))
        self._lines("envelopes.jsonl", envelopes)
        keys = [key for key in self._certifications if key.vantage in self._vantages]
        certified = [key for key in keys if key.key in self._certified.get(key.vantage, ())]
        self._lines("keys.jsonl", certified)

    def public(self, ids: Collection[str]) -> None:
        """Put the derived records, in the order of their originals' ids, and their signatures."""
        statements: list[Derived] = []
        for id in sorted(ids):
            found = self._record(id)
            if found is None:
                continue
            vantage, data = found[0].record.vantage.id, derive(found[0])
            self._put(f"records/{id[7:]}.json", data)
            self._vantages.add(vantage)
            key = self._public_key(vantage)
            statement = Derived(
                id=digest(data), vantage=vantage, key=public_hex(key), size=len(data)
            )
            statements.append(signed(statement, key))
        self._lines("envelopes.jsonl", statements)

    def seal(self, sha256: str) -> bytes:
        """Return the seal over a file with that hash, signed as a public export is."""
        own = sorted(vantage for vantage in self._vantages if vantage in self._keys.present)
        key = self._public_key(own[0] if own else "")
        return canonical(signed(Seal(sha256=sha256, key=public_hex(key)), key))

    def _record(self, id: str) -> tuple[Sound, list[Envelope]] | None:
        """Return a record that verifies, with its envelopes, or note why there is none."""
        try:
            data = canonical_of(self._connection, id)
            if data is None:
                self.absent[id] = "not kept"
                return None
            sound = accept(data)
            envelopes = envelopes_of(self._connection, id)
            if sound.id != id or not envelopes:
                raise RefusedError(f"{id}: its content has another hash, or nobody signed it")
            for envelope in envelopes:
                require_certified(envelope, self._certified)
                require_matching(envelope, id, sound.record)
        except RefusedError:
            self.absent[id] = "damaged"
            return None
        return sound, envelopes

    def _blob(self, id: str) -> None:
        try:
            content = blob_of(self._connection, id)
        except RefusedError:
            self.absent[id] = "damaged"
            return
        if content is None:
            self.absent[id] = "not kept"
        elif digest(content) != id:
            self.absent[id] = "damaged"
        else:
            self._put(f"blobs/{id[7:]}", content)

    def _public_key(self, vantage: str) -> Ed25519PrivateKey:
        return self._keys.public(vantage if vantage in self._keys.present else "")

    def _lines(self, name: str, statements: Collection[msgspec.Struct]) -> None:
        lines = [canonical(_fields(statement)) + b"\n" for statement in statements]
        self._put(name, b"".join(lines))


def _fields(statement: msgspec.Struct) -> dict[str, object]:
    """Return what was signed and its signature, without the tag that items of bundles have."""
    return msgspec.structs.asdict(statement)


def with_evidence(store: Store, put: Put, work: Callable[[Evidence], T]) -> T:
    """Run `work` with the evidence of a store, in one transaction that changes nothing."""
    keys = store.export_keys()
    return store.read(lambda connection: work(Evidence(connection, keys, put)))
