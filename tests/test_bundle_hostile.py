"""Hostile bundles: whatever was done to one is named in a line, and nothing of it enters."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.bundle import MAX_LINE_BYTES, Anchor, Content, Derived, End, Head, Key, Place
from storage.bundle_frames import BEGINNING, LENGTH, FrameReader, FrameWriter
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
from storage.errors import RefusedError, StoreError
from storage.records import Measurement, canonical, digest
from storage.store import Store
from storage.train_dictionary import Invention
from tests.bundles import (
    Piece,
    anchor_at,
    bundle_of,
    changed,
    merge,
    packed,
    places,
    unpacked,
    verified,
)
from tests.test_import import BODY, filled

Change = Callable[[list[Piece]], list[Piece]]
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TIME = "2017-06-20T00:00:00.000000Z"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound bundle of four records and a blob."""
    return bundle_of(filled(tmp_path_factory.mktemp("sound") / "a.db", 1, 2, 3, 4))


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


# --- changed bytes -------------------------------------------------------------------------------


@pytest.mark.xdist_group("hostile bundles")
def test_each_of_a_thousand_random_changes_of_one_byte_is_found(
    bundle: Path, tmp_path: Path
) -> None:
    whole = bundle.read_bytes()
    chance = random.Random(2017)
    damaged = tmp_path / "damaged.bundle"
    assert verified(bundle).healthy
    for number in range(1000):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= chance.randrange(1, 256)
        damaged.write_bytes(data)
        if number % 20 == 0 and data.startswith(BEGINNING):
            fault(damaged)
        else:
            assert not verified(damaged).healthy


def test_a_bundle_cut_off_anywhere_is_found(bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    cut = tmp_path / "cut.bundle"
    for length in [len(BEGINNING), *range(len(BEGINNING) + 1, len(whole), 41), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        assert fault(cut)
    cut.write_bytes(whole + b"\0")
    assert fault(cut) == "something follows after its seal"


# --- put together anew, with sound checksums -----------------------------------------------------


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


# --- made by somebody with keys of his own -------------------------------------------------------


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


def test_what_somebody_signs_for_himself_enters_if_it_is_sound(tmp_path: Path) -> None:
    sound = own_bundle(tmp_path / "own", own_record())
    assert verified(sound).healthy
    assert merge(tmp_path / "x.db", sound)[0].records_new == 1


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"[" * 1_000_000, "not a sound record"),
        (
            own_record(extra=1).replace(b":1,", b":" + b"[" * 10**6 + b"]" * 10**6 + b",", 1),
            "sound",
        ),
        (b'{"a":' * 1_000_000, "not a sound record"),
        (b"", "not a sound record"),
        (b"{}", "not a sound record"),
        (own_record(format="sitewatch-measurement/9"), "unknown format"),
        (own_record(time="2017-06-21T00:00:00.000000Z"), "names another record, vantage or time"),
        (own_record() + b" ", "not in canonical form"),
        (own_record(extra=0.5), "a number is not an integer"),
        (own_record(url="x" * (17 << 20)), "too large"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_hostile_record_is_named(tmp_path: Path, record: bytes, reason: str) -> None:
    assert reason in fault(own_bundle(tmp_path / "own", record))


def test_the_same_record_twice_is_named(tmp_path: Path) -> None:
    assert "it is there twice" in fault(own_bundle(tmp_path / "own", own_record(), own_record()))


def test_a_line_of_a_million_nested_levels_is_named(tmp_path: Path) -> None:
    nested = tmp_path / "nested"
    with nested.open("wb") as file:
        frames = FrameWriter(file)
        frames._pending += b"[" * (MAX_LINE_BYTES - 1) + b"\n"
        frames.seal(STRANGER)
    assert "not an item of a bundle" in fault(nested)
    with nested.open("wb") as file:
        frames = FrameWriter(file)
        frames._pending += b"[" * 1_000_000 + b"\n"
        frames.seal(STRANGER)
    assert "a line is longer than" in fault(nested)


# --- bombs ---------------------------------------------------------------------------------------


def frame(compressed: bytes) -> bytes:
    return struct.pack("<II", LENGTH, 4) + struct.pack("<I", len(compressed)) + compressed


@pytest.mark.parametrize(
    ("compressed", "reason"),
    [
        (zstandard.ZstdCompressor().compress(bytes(2 << 20)), "says that it expands to 2097152"),
        (zstandard.ZstdCompressor().compress(bytes(1 << 30)), "says that it expands to 1073741824"),
        (
            zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 28)),
            "a chunk says that it expands to",
        ),
        (b"", "a chunk does not expand"),
        (bytes(100), "a chunk does not expand"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_chunk_that_would_fill_the_memory_is_not_expanded(
    tmp_path: Path, compressed: bytes, reason: str
) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(BEGINNING + frame(compressed))
    assert reason in fault(bomb)


def test_a_frame_that_promises_gigabytes_is_not_read(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    for header in (
        struct.pack("<II", LENGTH, 0xFFFFFFFF),
        struct.pack("<III", LENGTH, 4, 0xFFFFFFFF),
        struct.pack("<II", 0x184D2A5F, 4),
        struct.pack("<II", 0x184D2A52, 0xFFFFFFFF),
    ):
        bomb.write_bytes(BEGINNING + header + bytes(100))
        assert fault(bomb)


def test_many_small_chunks_that_expand_too_much_together_are_a_bomb() -> None:
    chunk = frame(zstandard.ZstdCompressor().compress(bytes(1 << 20)))
    frames = FrameReader(io.BytesIO(BEGINNING + chunk * 2000))
    with pytest.raises(RefusedError, match="it expands to more than 400 times its size"):
        frames.take(2000 << 20)


def test_blobs_that_would_fill_the_memory_before_their_record_comes_are_refused(
    tmp_path: Path,
) -> None:
    size = 15 << 20
    many = [
        (Content(id=digest(content), size=size), content)
        for content in (bytes([number]) * size for number in range(5))
    ]
    bomb = own_bundle(tmp_path / "bomb", own_record(), before=many)
    assert fault(bomb).endswith(": too large")


# --- other files ---------------------------------------------------------------------------------


def _zip_out_of_its_folder(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped", "x")


def _tar_out_of_its_folder(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("/tmp/../escaped")
        archive.addfile(member, io.BytesIO())


@pytest.mark.parametrize(
    "make",
    [
        _zip_out_of_its_folder,
        _tar_out_of_its_folder,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("just text"),
        lambda path: path.write_bytes(zstandard.compress(b"just text")),
        lambda path: path.write_bytes(BEGINNING[:-1]),
    ],
)
def test_another_file_is_one_line_and_nothing_is_taken_out_of_it(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    folder = tmp_path / "folder" / "folder"
    folder.mkdir(parents=True)
    other = folder / "other"
    make(other)
    with pytest.raises(StoreError, match=r"other: neither a Sitewatch database nor a bundle$"):
        merge(folder / "x.db", other)
    assert not list(tmp_path.rglob("escaped"))


# --- public bundles ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    return bundle_of(filled(folder / "a.db", 1, 2, 3), exact=False)


def _derived_at(pieces: Sequence[Piece]) -> list[int]:
    return [at for at, (item, _) in enumerate(pieces) if isinstance(item, Derived)]


def _resigned(piece: Piece, content: bytes, **fields: object) -> Piece:
    item = msgspec.structs.replace(
        piece[0], id=digest(content), size=len(content), key=public_hex(STRANGER), **fields
    )
    return signed(item, STRANGER), content


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"time":"2017-06-20T00:00:00', b'"time":"2017-06-20T00:00:07', "not rounded"),
        (b'"simulated":false', b'"simulated":true', "simulated and real"),
        (b'"format":"sitewatch-public/1"', b'"format":"sitewatch-public/7"', "not sound"),
        (b'"of":"sha256:', b'"of":"sha512:', "malformed"),
        (b'"simulated":false', b'"simulated": false', "canonical"),
    ],
)
def test_a_derived_record_that_is_not_sound_is_named(
    public: Path, tmp_path: Path, old: bytes, new: bytes, reason: str
) -> None:
    pieces = unpacked(public)
    at = _derived_at(pieces)[0]
    content = pieces[at][1]
    assert content is not None
    assert old in content
    pieces[at] = _resigned(pieces[at], content.replace(old, new))
    (line,) = verified(packed(tmp_path / "forged", pieces)).broken
    assert reason in line


def test_a_derived_record_with_another_signature_vantage_or_place_is_named(
    public: Path, tmp_path: Path
) -> None:
    def line(change: Callable[[list[Piece], list[int]], None]) -> str:
        pieces = unpacked(public)
        change(pieces, _derived_at(pieces))
        (found,) = verified(packed(tmp_path / "forged", pieces)).broken
        return found

    def other_key(pieces: list[Piece], at: list[int]) -> None:
        pieces[at[0]] = changed(pieces[at[0]], key=public_hex(STRANGER))

    def other_vantage(pieces: list[Piece], at: list[int]) -> None:
        content = pieces[at[0]][1] or b""
        pieces[at[0]] = _resigned(pieces[at[0]], content, vantage="0" * 32)

    def one_resigned(pieces: list[Piece], at: list[int]) -> None:
        pieces[at[1]] = _resigned(pieces[at[1]], pieces[at[1]][1] or b"")

    def order(pieces: list[Piece], at: list[int]) -> None:
        pieces[at[0]], pieces[at[1]] = pieces[at[1]], pieces[at[0]]

    assert "wrong signature" in line(other_key)
    assert "of another vantage" in line(other_vantage)
    assert "signed by another key" in line(one_resigned)
    assert "out of order" in line(order)
