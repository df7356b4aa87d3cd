"""Text from the network: made harmless before it enters a sentence, and again by every writer."""

from __future__ import annotations

import unicodedata


def plain(text: str, limit: int = 120) -> str:
    """Return text from the network as one line without control or formatting characters."""
    kept = (c if unicodedata.category(c)[0] not in "CZ" else " " for c in text)
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
