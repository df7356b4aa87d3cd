"""Where a redirect leads, as a browser reads it, and which redirects are not followed."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import httpx

from storage.failures import Failure

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_HOPS = 10
_LONGEST_URL = 4096


def next_url(url: str, location: str | None) -> str | None:
    """Return the absolute URL, its host in A-label form, or None where it leads nowhere."""
    if location is None or len(location) > _LONGEST_URL or not location.isprintable():
        return None
    try:
        target = urlsplit(urljoin(url, location))
        host = (target.hostname or "").encode("idna").decode()
        port = target.port
    except (ValueError, UnicodeError):
        return None
    if target.scheme not in {"http", "https"} or not host or port == 0:
        return None
    shown = f"[{host}]" if ":" in host else host
    if port not in {None, 443 if target.scheme == "https" else 80}:
        shown = f"{shown}:{port}"
    absolute = target._replace(netloc=shown, path=target.path or "/", fragment="").geturl()
    try:
        httpx.URL(absolute)
    except httpx.InvalidURL:
        return None
    return absolute


def redirect_failure(
    url: str, status: int | None, location: str | None, hop: int, *, late: bool = False
) -> Failure | None:
    """Return why this reply's redirect is not followed, None where it is one or is none.

    `late`: so much time has passed that no further one is followed.
    """
    if status not in REDIRECTS:
        return None
    if next_url(url, location) is None:
        return Failure.HTTP_INVALID_REDIRECT
    return Failure.HTTP_TOO_MANY_REDIRECTS if late or hop >= MOST_HOPS else None
