"""Text from the network: made harmless before it enters a sentence, and again by every writer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# What makes spreadsheets take a cell for a formula; in the middle of a cell too, where another
# separator than ours is taken for one.
_FORMULA = re.compile(r"(^|[;,\t|])(\s*)(?=[=+\-@＝＋－＠])")
_MOST_MARKS = 4  # on one letter, which no language exceeds; a heap of them leaves line and page


def plain(text: str, limit: int = 120) -> str:
    """Return text from the network as one line without control or formatting characters."""
    line = " ".join(inert(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def inert(text: str) -> str:
    """Return text with spaces for what would move, turn round or hide what stands beside it."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_kept(text))


def _kept(text: str) -> Iterator[str]:
    marks = 0
    for sign in text:
        kind = unicodedata.category(sign)[0]
        marks = marks + 1 if kind == "M" else 0
        if marks <= _MOST_MARKS:
            yield " " if kind == "C" else sign


def cell(text: str, limit: int = 2000) -> str:
    """Return text as one line that no spreadsheet takes for a formula, whatever its separator."""
    return _FORMULA.sub(r"\1\2'", plain(text, limit))
