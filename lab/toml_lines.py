"""Where in a TOML text a key stands: tomllib does not say, and mistakes are to be found quickly."""

from __future__ import annotations

import re

_NAME = re.compile(r'"([^"]*)"|\'([^\']*)\'|([A-Za-z0-9_-]+)')
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=""")

_Way = tuple[str, ...]  # the names on the way to a key; a number behind a table that is repeated


def line_of(text: str, key: str) -> int | None:
    """Return the line, from 1, of a key such as `networks[0].asn` or `symptoms."tls a.example"`.

    Where the key itself is missing, or stands within another's line, that of what holds it; of a
    repeated table without a number, the first. None where nothing of it is there.
    """
    wanted, table = _names(key), _Way()
    numbers: dict[_Way, int] = {}
    deepest, found = 0, None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            names = _names(header[2])
            if header[1] == "[[":
                numbers[names] = numbers.get(names, -1) + 1
            table = way = _numbered(names, numbers)
        elif own := _KEY.match(line):
            way = (*table, *_names(own[1]))
        else:
            continue
        depth = min(len(way), len(wanted))
        if depth > deepest and way[:depth] == wanted[:depth]:
            deepest, found = depth, number
    return found


def _names(key: str) -> _Way:
    return tuple(quoted or single or bare for quoted, single, bare in _NAME.findall(key))


def _numbered(names: _Way, numbers: dict[_Way, int]) -> _Way:
    """Put the number of the latest table behind each name that is a repeated table's."""
    way = _Way()
    for depth, name in enumerate(names, start=1):
        latest = numbers.get(names[:depth])
        way += (name,) if latest is None else (name, str(latest))
    return way
