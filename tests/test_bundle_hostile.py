"""Hostile bundles: whatever was done to one is named in a line, and nothing of it enters."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from storage.bundle import MAX_LINE_BYTES, Content
from storage.bundle_frames import BEGINNING, LENGTH, FrameReader, FrameWriter
from storage.errors import RefusedError, StoreError
from storage.records import digest
from tests.bundles import (
    merge,
    verified,
)
from tests.hostile_bundles import (
    STRANGER,
    fault,
    own_bundle,
    own_record,
    sound_bundle,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sound_bundle(tmp_path_factory.mktemp("sound"))


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
