"""Bundles put together anew, with sound checksums: each forgery is named in a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.bundle import Anchor, Content, End, Key, Place
from storage.chain import (
    envelope_hash,
    public_hex,
    sign_certification,
    sign_envelope,
    signed,
)
from storage.records import digest
from tests.bundles import (
    Piece,
    anchor_at,
    changed,
    packed,
    places,
    unpacked,
    verified,
)
from tests.hostile_bundles import (
    STRANGER,
    TIME,
    Change,
    fault,
    sound_bundle,
)
from tests.test_import import BODY


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sound_bundle(tmp_path_factory.mktemp("sound"))


def _at_place(change: Callable[[Place, bytes], Piece], number: int = 1) -> Change:
    def apply(pieces: list[Piece]) -> list[Piece]:
        at = places(pieces)[number]
        item, content = pieces[at]
        assert isinstance(item, Place)
        assert content is not None
        pieces[at] = change(item, content)
        return pieces

    return apply


def _with_envelope(place: Place, **fields: object) -> Place:
    envelope = msgspec.structs.replace(place.envelope, **fields)
    return msgspec.structs.replace(place, envelope=envelope)


def _other_content(place: Place, content: bytes) -> tuple[Place, bytes]:
    return place, content.replace(b"sitewatch 0.1.0", b"sitewatch 0.1.9")


def _other_content_and_id(place: Place, content: bytes) -> tuple[Place, bytes]:
    other = _other_content(place, content)[1]
    return _with_envelope(place, id=digest(other)), other


def _signed_by_a_stranger(place: Place, content: bytes) -> tuple[Place, bytes]:
    stranger = msgspec.structs.replace(place.envelope, key=public_hex(STRANGER))
    return msgspec.structs.replace(place, envelope=sign_envelope(stranger, STRANGER)), content


def _said_to_be_withheld(place: Place, _content: bytes) -> tuple[Place, None]:
    return msgspec.structs.replace(place, size=None, absent=None), None


def _without_the_last(pieces: list[Piece]) -> list[Piece]:
    del pieces[places(pieces)[-1]]
    return pieces


def _without_the_last_and_told_so(pieces: list[Piece]) -> list[Piece]:
    pieces = _without_the_last(pieces)
    last = pieces[places(pieces)[-1]][0]
    assert isinstance(last, Place)
    at = anchor_at(pieces)
    pieces[at] = changed(pieces[at], count=3, last=3, head=envelope_hash(last.envelope))
    return pieces


def _without_one_in_the_middle(pieces: list[Piece]) -> list[Piece]:
    del pieces[places(pieces)[1]]
    return pieces


def _in_another_order(pieces: list[Piece]) -> list[Piece]:
    one, two = places(pieces)[1:3]
    pieces[one], pieces[two] = pieces[two], pieces[one]
    return pieces


def _with_another_blob(pieces: list[Piece]) -> list[Piece]:
    at = _blob_at(pieces)
    pieces[at] = Content(id=digest(b"other"), size=5), b"other"
    return pieces


def _with_another_content_of_the_blob(pieces: list[Piece]) -> list[Piece]:
    at = _blob_at(pieces)
    pieces[at] = pieces[at][0], BODY[:-1] + b"?"
    return pieces


def _with_a_blob_twice(pieces: list[Piece]) -> list[Piece]:
    at = _blob_at(pieces)
    return [*pieces[:at], pieces[at], *pieces[at:]]


def _blob_at(pieces: Sequence[Piece]) -> int:
    return next(at for at, (item, _) in enumerate(pieces) if isinstance(item, Content))


def _with_a_foreign_key(pieces: list[Piece]) -> list[Piece]:
    at = next(at for at, (item, _) in enumerate(pieces) if isinstance(item, Key))
    item = pieces[at][0]
    assert isinstance(item, Key)
    foreign = msgspec.structs.replace(
        item.certification, key=public_hex(STRANGER), previous=item.certification.key
    )
    certification = sign_certification(foreign, STRANGER)
    return [*pieces[: at + 1], (Key(certification=certification), None), *pieces[at + 1 :]]


def _with_a_stranger_s_anchor(pieces: list[Piece]) -> list[Piece]:
    at = anchor_at(pieces)
    item = pieces[at][0]
    assert isinstance(item, Anchor)
    other = Ed25519PrivateKey.generate()
    whole = msgspec.structs.replace(item, key=public_hex(other))
    pieces[at] = signed(whole, other), None
    return pieces


def _of_another_vantage(pieces: list[Piece]) -> list[Piece]:
    at = anchor_at(pieces)
    pieces[at] = changed(pieces[at], vantage="0" * 32)
    return pieces


def _without_its_end(pieces: list[Piece]) -> list[Piece]:
    return pieces[:-1]


def _with_more_after_its_end(pieces: list[Piece]) -> list[Piece]:
    return [*pieces, pieces[-1]]


def _with_a_wrong_count(pieces: list[Piece]) -> list[Piece]:
    return [*pieces[:-1], (End(records=3, blobs=1), None)]


def _simulated(pieces: list[Piece]) -> list[Piece]:
    return [changed(pieces[0], simulated=True), *pieces[1:]]


def _said_to_be_public(pieces: list[Piece]) -> list[Piece]:
    return [changed(pieces[0], exact=False), *pieces[1:]]


def _without_its_head(pieces: list[Piece]) -> list[Piece]:
    return pieces[1:]


FORGERIES: list[tuple[Change, str]] = [
    (_at_place(_other_content), "its content has another hash"),
    (_at_place(_other_content_and_id), "wrong signature"),
    (_at_place(_signed_by_a_stranger), "signed by a key that its vantage never certified"),
    (_at_place(lambda p, c: (_with_envelope(p, vantage="0" * 32), c)), "never certified"),
    (_at_place(lambda p, c: (_with_envelope(p, sequence=9), c)), "wrong signature"),
    (_at_place(lambda p, c: (_with_envelope(p, time=TIME), c)), "wrong signature"),
    (_at_place(_said_to_be_withheld), "it is not there, and nothing says why"),
    (_without_the_last, "an end where its anchor tells of a record"),
    (_without_the_last_and_told_so, "its anchor has a wrong signature"),
    (_without_one_in_the_middle, "place 3 where 2 is due"),
    (_in_another_order, "place 3 where 2 is due"),
    (_with_another_blob, "the record after it does not name it"),
    (_with_another_content_of_the_blob, "its content has another hash"),
    (_with_a_blob_twice, "it is there twice"),
    (_with_a_foreign_key, "not certified by its vantage"),
    (_with_a_stranger_s_anchor, "an anchor is signed by neither its vantage nor the exporter"),
    (_of_another_vantage, "its anchor has a wrong signature"),
    (_without_its_end, "its end is missing"),
    (_with_more_after_its_end, "something follows after its end"),
    (_with_a_wrong_count, "it says that it holds 3 records and 1 blobs, and holds 4 and 1"),
    (_simulated, "simulated and real records are mixed"),
    (_without_its_head, "it begins with a key"),
]


@pytest.mark.parametrize(("change", "reason"), FORGERIES)
def test_a_forgery_with_sound_checksums_is_named(
    bundle: Path, tmp_path: Path, change: Change, reason: str
) -> None:
    assert reason in fault(packed(tmp_path / "forged", change(unpacked(bundle))))


def test_an_exact_bundle_said_to_be_public_is_named(bundle: Path, tmp_path: Path) -> None:
    forged = packed(tmp_path / "forged", _said_to_be_public(unpacked(bundle)))
    assert "a key where its end should be" in verified(forged).broken[0]


def test_who_cuts_off_the_end_and_signs_for_it_shows_as_another_exporter(
    bundle: Path, tmp_path: Path
) -> None:
    pieces = _without_the_last_and_told_so(unpacked(bundle))
    at = anchor_at(pieces)
    anchor = pieces[at][0]
    assert isinstance(anchor, Anchor)
    whole = msgspec.structs.replace(anchor, key=public_hex(STRANGER))
    pieces[at] = signed(whole, STRANGER), None
    pieces[-1] = End(records=3, blobs=1), None
    findings = verified(packed(tmp_path / "forged", pieces, STRANGER))
    assert findings.healthy  # every record in it is sound; nobody can prove that there was more
    assert [chain.anchored_by for chain in findings.chains] == ["exporter"]
    assert [chain.anchored_by for chain in verified(bundle).chains] == ["vantage"]
