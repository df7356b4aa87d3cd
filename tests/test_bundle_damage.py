"""Bundles in which bytes were changed or that were cut off: found, and nothing enters."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from storage.bundle_frames import BEGINNING
from tests.bundles import (
    verified,
)
from tests.hostile_bundles import (
    fault,
    sound_bundle,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sound_bundle(tmp_path_factory.mktemp("sound"))


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
