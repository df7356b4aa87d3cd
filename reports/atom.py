"""Atom: feeds as RFC 4287 has them, in which no text can write anything but text."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

import msgspec

from reports.text import plain

EMPTY = "1970-01-01T00:00:00.000000Z"  # when a feed without entries and times was last changed
_TITLE, _TEXT = 200, 8000  # characters


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `id` is an IRI that never changes, `updated` UTC text with ``Z``."""

    id: str
    title: str
    updated: str
    paragraphs: Sequence[str]
    categories: Sequence[str] = ()


def feed(entries: Sequence[Entry], *, id: str, title: str, updated: str = "") -> str:
    """Return the feed; without `updated` it was changed when the latest of its entries was."""
    latest = updated or max((entry.updated for entry in entries), default=EMPTY)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<feed xmlns="http://www.w3.org/2005/Atom">\n'
        f"<title>{_plain(title, _TITLE)}</title>\n<id>{escape(id)}</id>\n"
        "<author><name>Sitewatch</name></author>\n"
        f"<updated>{latest}</updated>\n{''.join(map(_entry, entries))}</feed>\n"
    )


def _entry(entry: Entry) -> str:
    text = "\n\n".join(_plain(paragraph, _TEXT) for paragraph in entry.paragraphs)
    categories = "".join(
        f"<category term={quoteattr(plain(category))}/>\n" for category in entry.categories
    )
    return (
        f"<entry>\n<id>{escape(entry.id)}</id>\n<title>{_plain(entry.title, _TITLE)}</title>\n"
        f"<updated>{entry.updated}</updated>\n{categories}"
        f'<content type="text">{text}</content>\n</entry>\n'
    )


def _plain(text: str, limit: int) -> str:
    return escape(plain(text, limit))
