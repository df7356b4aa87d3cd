"""Titles, languages and fingerprints of pages, and that no page takes long to read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.text import distance, language_of, simhash_of, title_of

PAGE = "<html lang='ru-KZ'><head><title>News</title></head><body>{}</body></html>"
STORY = " ".join(f"word{number} of the story" for number in range(300))


@pytest.mark.parametrize(
    ("body", "header", "language"),
    [
        (b"<html lang=kk>", None, "kk"),
        (b'<!doctype html>\n<HTML class="a" LANG="en-US">', "de", "en-us"),
        (b"<html>", "fr, de", "fr"),
        (b"<html data-lang=xx>", None, None),
        (b"", "", None),
        (b"", "???", None),
    ],
)
def test_the_language_is_what_the_page_says_else_the_header(
    body: bytes, header: str | None, language: str | None
) -> None:
    assert language_of(body, header) == language


def test_alike_pages_have_alike_fingerprints_and_others_not() -> None:
    one = simhash_of(PAGE.format(STORY).encode())
    alike = simhash_of(PAGE.format(STORY + " and one more sentence today").encode())
    other = simhash_of(PAGE.format("This page is blocked by order of the court. " * 9).encode())
    assert one is not None
    assert alike is not None
    assert other is not None
    assert distance(one, alike) <= 8
    assert distance(one, other) >= 20


def test_only_what_a_reader_sees_counts() -> None:
    plain = simhash_of(f"<p>{STORY}</p>".encode())
    dressed = f"<style>p {{}}</style><!-- x --><p class=y>{STORY}</p><script>var z = 1;</script>"
    assert simhash_of(dressed.encode()) == plain
    assert simhash_of(b"<script>var z</script>") is None
    assert simhash_of(b"") is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read(body: bytes) -> None:
    title, mark = title_of(body), simhash_of(body)
    assert title is None or len(title) <= 512
    assert mark is None or len(mark) == 16
    language_of(body, body.decode("latin-1"))


@pytest.mark.parametrize(
    "piece", [b"<", b"<title>", b"<title", b"<html ", b"<!--", b"<script", b"&#x", b"a\xcc\x81 "]
)
def test_no_body_takes_long_whatever_it_repeats(piece: bytes) -> None:
    body = (piece * (262_144 // len(piece) + 1))[:262_144]  # quadratic time would be minutes
    title_of(body)
    simhash_of(body)
    language_of(body, None)
