"""Public bundles: derived records that are not what they say are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from storage.bundle import Derived
from storage.chain import (
    public_hex,
    signed,
)
from storage.records import digest
from tests.bundles import (
    Piece,
    bundle_of,
    changed,
    packed,
    unpacked,
    verified,
)
from tests.hostile_bundles import (
    STRANGER,
)
from tests.test_import import filled


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
