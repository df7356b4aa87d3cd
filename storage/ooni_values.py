"""Taking single values out of OONI's documents, which are foreign: odd, missing, huge or hostile.

Nothing here raises for a value that is not what it should be; it reads as absent.
"""

from __future__ import annotations

import base64
import binascii
import html
import math
import re
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

MOST_ENTRIES = 500  # of one kind in one measurement; real ones hold a few dozen
MOST_HEADERS = 200
LONGEST_TEXT = 512
_LONGEST_HEADER = 8192
_LONGEST_SECONDS = 1e6  # since the measurement began; a measurement takes minutes
_MOST_TITLE = 512
# A title further down is no browser's title, and searching half a megabyte takes its time.
_TITLE_WITHIN = 64 * 1024
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


def entries(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list, at most MOST_ENTRIES; empty where it is no list."""
    if not isinstance(value, list):
        return []
    return [each for each in value[:MOST_ENTRIES] if isinstance(each, dict)]


def mapping(value: object) -> dict[str, Any]:
    """Return an object, empty where it is none."""
    return value if isinstance(value, dict) else {}


def text(value: object, most: int = LONGEST_TEXT) -> str | None:
    """Return a text of at most `most` characters; None where it is none or empty."""
    if isinstance(value, dict):
        data = binary(value)
        value = None if data is None else data.decode("utf-8", "replace")
    return value[:most] if isinstance(value, str) and value else None


def binary(value: object) -> bytes | None:
    """Return bytes that are written as UTF-8 text or as ``{"format": "base64", "data": …}``."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, dict) and isinstance(data := value.get("data"), str):
        try:
            return base64.b64decode(data)
        except (binascii.Error, ValueError):
            return None
    return None


def integer(value: object, low: int, high: int) -> int | None:
    """Return an integer within bounds, both inclusive; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    return None


def seconds(value: object) -> float | None:
    """Return seconds since the measurement began, None where they make no sense."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value < _LONGEST_SECONDS else None


def moment(value: object) -> float | None:
    """Return ``2017-06-20 05:00:12`` (UTC) as seconds since the epoch."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        found = parsed.timestamp()
    except (ValueError, OverflowError):
        return None
    # Before the first measurement of the project, or past four-digit years: no real time.
    return found if 1.2e9 <= found < 2.5e11 else None


def headers(message: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the headers of a request or response in order, values read as Latin-1.

    Cookies are not kept: they may name a person.
    """
    listed = message.get("headers_list")
    pairs: list[Any] = (
        listed if isinstance(listed, list) and listed else list(_unordered(message.get("headers")))
    )
    found = []
    for pair in pairs[:MOST_HEADERS]:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            continue
        name, value = (binary(part) for part in pair)
        if name is None or value is None:
            continue
        key = name.decode("latin-1")[:LONGEST_TEXT]
        shown = "[not kept]" if key.lower() == "set-cookie" else value.decode("latin-1")
        found.append((key, shown[:_LONGEST_HEADER]))
    return found


def _unordered(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def endpoint(value: object) -> tuple[str, int] | None:
    """Return ``1.2.3.4:443`` or ``[2001:db8::1]:443`` as address and port."""
    if not isinstance(value, str) or len(value) > 80:
        return None
    host, separator, port = value.rpartition(":")
    found = address(host.removeprefix("[").removesuffix("]"))
    if not separator or found is None or not port.isascii() or not port.isdecimal():
        return None
    number = integer(int(port), 1, 65535)
    return None if number is None else (found, number)


def address(value: object) -> str | None:
    """Return an IP address without a zone, None for anything else."""
    if not isinstance(value, str) or len(value) > 60:
        return None
    try:
        return str(ip_address(value.partition("%")[0]))
    except ValueError:
        return None


def split(url: str) -> SplitResult | None:
    """Split a URL from the network; None where it is not http or https, or cannot be split."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises for what is no port)
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def port_of(parts: SplitResult) -> int:
    """Return the port that a URL stands for."""
    return parts.port or (443 if parts.scheme == "https" else 80)


def title_of(body: bytes) -> str | None:
    """Return the text of the first <title>, whitespace folded, at most 512 characters."""
    found = _TITLE.search(body, 0, _TITLE_WITHIN)
    if found is None:
        return None
    words = html.unescape(found.group(1).decode("utf-8", "replace"))
    words = words.encode("utf-8", "replace").decode("utf-8")  # "&#xD800;" is no character
    return " ".join(words.split())[:_MOST_TITLE] or None
