"""The text of a page's body, by the characters that the page or its server names."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TOP = 4096  # bytes in which a page names them
_NAMED = r"charset\s{0,9}=\s{0,9}[\"']?([\w.:-]{2,40})"
_IN_HEADER = re.compile(_NAMED, re.IGNORECASE)
_IN_PAGE = re.compile(rb"<meta\b[^<>]{0,500}?" + _NAMED.encode(), re.IGNORECASE)


def text_of(body: bytes, headers: Iterable[tuple[str, str]]) -> str:
    """Return the text of a body; characters that cannot be read are replaced.

    The server's word counts before the page's, as in browsers; without both it is UTF-8.
    """
    told = (_IN_HEADER.search(value) for key, value in headers if key.lower() == "content-type")
    named = next((found.group(1) for found in told if found), None)
    if named is None:
        found = _IN_PAGE.search(body, 0, _TOP)
        named = found.group(1).decode("ascii", "replace") if found else "utf-8"
    try:
        return body.decode(named, "replace")
    except (LookupError, ValueError):  # not every codec that Python knows is one of text
        return body.decode("utf-8", "replace")
