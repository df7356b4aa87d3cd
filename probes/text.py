"""What a page says about itself: its title, its language, and a fingerprint of its visible text."""

from __future__ import annotations

import html
import re
from hashlib import blake2b

_MOST_TITLE = 512
_MOST_WORDS = 4000
_TOP = 4096  # where the tag <html> stands
# No pattern runs over a second "<": a body of nothing but those must not take for ever.
_TITLE = re.compile(rb"<title[^<>]*>", re.IGNORECASE)
_TITLE_END = re.compile(rb"</title", re.IGNORECASE)
_LANGUAGE = re.compile(
    rb"<html\b[^<>]{0,500}?\slang\s{0,9}=\s{0,9}[\"']?([A-Za-z0-9-]{2,35})", re.IGNORECASE
)
_TAG = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,4}")
# Neither is shown to a reader; one that is opened and never ends hides the rest, as in a browser.
_UNSEEN = re.compile(
    rb"<(script|style)\b.*?(?:</\1|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL
)
_MARKUP = re.compile(rb"<[^<>]*>")
_WORD = re.compile(r"\w+")
_LANE = 16  # bits in which the votes on one bit are counted
_BITS = 64
# For each byte its eight bits, each in a lane of its own.
_SPREAD = [sum((byte >> bit & 1) << bit * _LANE for bit in range(8)) for byte in range(256)]


def title_of(body: bytes) -> str | None:
    """Return the text of the first <title>, whitespace folded, at most 512 characters."""
    start = _TITLE.search(body)
    end = start and _TITLE_END.search(body, start.end())
    if start is None or end is None:
        return None
    text = html.unescape(body[start.end() : end.start()].decode("utf-8", "replace"))
    text = text.encode("utf-8", "replace").decode("utf-8")  # "&#xD800;" is no character
    return " ".join(text.split())[:_MOST_TITLE]


def language_of(body: bytes, header: str | None) -> str | None:
    """Return the language tag that the page declares, else the first of Content-Language."""
    found = _LANGUAGE.search(body, 0, _TOP)
    if found is not None:
        return found.group(1).decode("ascii").lower()
    told = _TAG.match((header or "").strip())
    return told[0].lower() if told else None


def simhash_of(body: bytes) -> str | None:
    """Return 16 hex digits that differ in few bits between alike texts (Charikar 2002).

    Over the 3-word shingles of the visible text; None where there is no text.
    """
    visible = _MARKUP.sub(b" ", _UNSEEN.sub(b" ", body))
    text = html.unescape(visible.decode("utf-8", "replace"))
    words = [word.lower() for word in _WORD.findall(text)[:_MOST_WORDS]]
    if not words:
        return None
    shingles = {" ".join(words[at : at + 3]) for at in range(max(1, len(words) - 2))}
    return f"{_vote([_hash(shingle) for shingle in shingles]):016x}"


def _hash(shingle: str) -> int:
    data = shingle.encode("utf-8", "replace")
    return int.from_bytes(blake2b(data, digest_size=_BITS // 8).digest())


def _vote(hashes: list[int]) -> int:
    """Return the number whose every bit is that of most of the hashes (at most 65,535)."""
    votes = 0  # all counts in one integer, a lane each
    for number in hashes:
        for place, byte in enumerate(number.to_bytes(8, "little")):
            votes += _SPREAD[byte] << place * 8 * _LANE
    counts = (votes >> bit * _LANE & 0xFFFF for bit in range(_BITS))
    return sum(1 << bit for bit, count in enumerate(counts) if 2 * count > len(hashes))


def distance(one: str, other: str) -> int:
    """Return in how many of 64 bits two simhashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
