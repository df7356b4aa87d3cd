"""Records: the canonical form is RFC 8785's, and only sound records may enter."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

import msgspec
import pytest
import rfc8785
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.compression import RECORD_CODEC, compress_record, expand_blob, expand_record
from storage.errors import RefusedError
from storage.intake import accept, accept_made, referred_blobs
from storage.records import Exchange, Measurement, canonical, record_id
from storage.train_dictionary import Invention

# What a record may hold; field names stay below U+10000, where all ways of sorting agree.
_NAMES = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]))
_INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
_JSON = st.recursive(
    st.none() | st.booleans() | _INTEGERS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=20,
)

# How long an example takes says nothing on a busy machine.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@unhurried
@given(_JSON)
def test_the_canonical_form_is_that_of_the_reference_implementation(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@unhurried
@given(st.integers(0, 10_000))
def test_the_canonical_form_of_records_is_that_of_the_reference_implementation(seed: int) -> None:
    record = Invention(seed).record()
    assert canonical(record) == rfc8785.dumps(msgspec.to_builtins(record))


def test_a_record_survives_being_written_and_accepted() -> None:
    for record in (Invention(1).round(), Invention(2).measurement()):
        sound = accept(canonical(record))
        assert sound.record == record
        assert sound.id == record_id(record)


def test_unknown_fields_are_accepted_and_stay_in_the_bytes() -> None:
    content = msgspec.to_builtins(Invention(1).measurement()) | {"of_a_later_version": [1, None]}
    sound = accept(canonical(content))
    assert b"of_a_later_version" in sound.canonical
    assert isinstance(sound.record, Measurement)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "sitewatch-measurement/9"},
        {"time": "2017-06-31T00:00:00.000000Z"},
        {"time": "yesterday"},
        {"round": "sha256:short"},
        {"tier": "reckless"},
        {"steps": [{"kind": "lookup"}]},
        {"extra": 2**53},
        {"extra": 0.5},
        {"extra": {"\U0001f512": 1}},
    ],
)
def test_an_unsound_record_is_refused_in_one_line(change: dict[str, Any]) -> None:
    content = msgspec.to_builtins(Invention(1).measurement()) | change
    with pytest.raises(RefusedError, match=r"^sha256:[0-9a-f]{64}: not a sound record: [^\n]+$"):
        accept(canonical(content))


def test_bytes_that_are_not_in_canonical_form_are_refused() -> None:
    spaced = canonical(Invention(1).measurement()).replace(b'":', b'": ', 1)
    with pytest.raises(RefusedError, match="not in canonical form"):
        accept(spaced)


def test_text_that_is_not_unicode_is_refused_when_a_record_is_made() -> None:
    broken = msgspec.structs.replace(Invention(1).measurement(), tool="\ud800")
    with pytest.raises(RefusedError, match="cannot be written as JSON"):
        accept_made(broken)


def test_replies_certificates_and_bodies_are_the_blobs_of_a_record() -> None:
    record = Invention(20).measurement()
    body = next(one.body for one in record.steps if isinstance(one, Exchange) and one.body)
    text = canonical(record).decode()
    blobs = referred_blobs(record)
    assert body in blobs
    assert all(blob.removeprefix("sha256:") in text for blob in blobs)


def test_the_dictionary_halves_what_records_take() -> None:
    plain = zstandard.ZstdCompressor(level=6)
    for seed in range(20_000, 20_010):
        data = canonical(Invention(seed).measurement())
        compressed = compress_record(data)
        assert expand_record(RECORD_CODEC, compressed) == data
        assert len(compressed) < 0.65 * len(plain.compress(data))


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("records-1", "85262c82963622a877fd005a1fbdd9bb12c99d8d5886d08685913a8c6158857c"),
        ("records-2", "1246bbb6f546b2fca8af5c303ee88562d4b1bd0a7b908dd1b7c619ae2c2e6749"),
        ("records-3", "4d0c768807b2a49df7237aae226e6a16eb51464339d59da0e298a9ea5ab3492e"),
    ],
)
def test_a_shipped_dictionary_never_changes_since_databases_depend_on_it(
    name: str, sha256: str
) -> None:
    data = files("storage").joinpath("dictionaries", f"{name}.zdict").read_bytes()
    assert hashlib.sha256(data).hexdigest() == sha256


def test_what_an_earlier_dictionary_compressed_is_still_read() -> None:
    earlier = files("storage").joinpath("dictionaries", "records-1.zdict").read_bytes()
    data = canonical(Invention(7).measurement())
    dictionary = zstandard.ZstdCompressionDict(earlier)
    compressed = zstandard.ZstdCompressor(dict_data=dictionary).compress(data)
    assert expand_record("zstd+records-1", compressed) == data


def test_compressed_data_that_would_fill_the_memory_is_refused() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    with pytest.raises(RefusedError, match="at most"):
        expand_blob("zstd", bomb)
    with pytest.raises(RefusedError, match="unknown codec"):
        expand_blob("zip", b"")
    with pytest.raises(RefusedError, match="damaged"):
        expand_blob("zstd", b"no frame")
