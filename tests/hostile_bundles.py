"""Bundles made by somebody who means harm, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.bundle import Anchor, Content, End, Head, Key, Place
from storage.chain import (
    Certification,
    Envelope,
    envelope_hash,
    public_hex,
    sign_certification,
    sign_envelope,
    signed,
    vantage_id,
)
from storage.errors import StoreError
from storage.records import Measurement, canonical, digest
from storage.store import Store
from storage.train_dictionary import Invention
from tests.bundles import (
    Piece,
    bundle_of,
    merge,
    packed,
    verified,
)
from tests.test_import import filled

Change = Callable[[list[Piece]], list[Piece]]
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TIME = "2017-06-20T00:00:00.000000Z"


def sound_bundle(folder: Path) -> Path:
    """Return a sound bundle of four records and a blob."""
    return bundle_of(filled(folder / "a.db", 1, 2, 3, 4))


def fault(bundle: Path) -> str:
    """Verify and import a bundle with a fault; return the one line that names it."""
    findings = verified(bundle)
    (line,) = findings.broken
    assert not findings.complete
    assert line.startswith(f"{bundle}: ")
    assert "\n" not in line
    target = bundle.with_name("target.db")
    with pytest.raises(StoreError) as raised:
        merge(target, bundle)
    assert str(raised.value) == line
    with Store(target) as store:
        assert store.simulated() is None
        assert list(store.measurements()) == []
    return line.removeprefix(f"{bundle}: ")


def own_bundle(path: Path, *records: bytes, before: Sequence[Piece] = ()) -> Path:
    """Write a bundle as somebody writes it who has a vantage of his own and no scruples."""
    key = public_hex(STRANGER)
    vantage = vantage_id(key)
    certification = sign_certification(
        Certification(vantage=vantage, key=key, previous=None, since=TIME), STRANGER
    )
    envelopes: list[Envelope] = []
    for number, record in enumerate(records, start=1):
        previous = envelope_hash(envelopes[-1]) if envelopes else None
        unsigned = Envelope(
            vantage=vantage,
            sequence=number,
            previous=previous,
            id=digest(record),
            time=TIME,
            key=key,
        )
        envelopes.append(sign_envelope(unsigned, STRANGER))
    anchor = Anchor(
        vantage=vantage,
        first=1,
        last=len(records),
        previous=None,
        count=len(records),
        head=envelope_hash(envelopes[-1]),
        key=key,
    )
    pieces: list[Piece] = [
        (Head(exact=True, simulated=False, tool="hostile"), None),
        (Key(certification=certification), None),
        (signed(anchor, STRANGER), None),
        *before,
    ]
    for envelope, record in zip(envelopes, records, strict=True):
        pieces.append((Place(envelope=envelope, size=len(record)), record))
    blobs = sum(isinstance(item, Content) for item, _ in pieces)
    pieces.append((End(records=len(records), blobs=blobs), None))
    return packed(path, pieces, STRANGER)


def own_record(**fields: object) -> bytes:
    record = Invention(1).measurement()
    vantage = msgspec.structs.replace(record.vantage, id=vantage_id(public_hex(STRANGER)))
    made = msgspec.structs.replace(record, vantage=vantage, time=TIME)
    assert isinstance(made, Measurement)
    return canonical(msgspec.to_builtins(made) | fields)
