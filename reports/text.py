"""Text from the network: made harmless before it enters a sentence, and again by every writer."""

from __future__ import annotations

import re
import unicodedata

# What makes spreadsheets take a cell for a formula; in the middle of a cell too, where another
# separator than ours is taken for one.
_FORMULA = re.compile(r"(^|[;,\t|])(\s*)(?=[=+\-@＝＋－＠])")


def plain(text: str, limit: int = 120) -> str:
    """Return text from the network as one line without control or formatting characters."""
    kept = (c if unicodedata.category(c)[0] not in "CZ" else " " for c in text)
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def cell(text: str, limit: int = 2000) -> str:
    """Return text as one line that no spreadsheet takes for a formula, whatever its separator."""
    return _FORMULA.sub(r"\1\2'", plain(text, limit))
