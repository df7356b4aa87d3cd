"""Requests and responses as the lab's servers exchange them, in whatever version of HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

SERVER = "lab"


class BreakOff(Exception):
    """A body's stream ends the whole connection here; true means with a reset."""


@dataclass(frozen=True)
class Request:
    """A request as it arrived: host without port and in lower case, target as sent."""

    method: str
    host: str
    target: str
    body: bytes
    visitor: str  # address
    secure: bool


@dataclass(frozen=True)
class Response:
    """What to answer; length and Connection headers are added.

    With a `stream` it gives the body, piece by piece, and may raise BreakOff; `declared` is then
    what Content-Length says, if anything.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Callable[[], AsyncIterator[bytes]] | None = None
    declared: int | None = None

    def all_headers(self) -> dict[str, str]:
        """Return the headers with those that every answer has."""
        length = len(self.body) if self.stream is None else self.declared
        own = {} if length is None else {"Content-Length": str(length)}
        return {"Server": SERVER, **self.headers, **own}


Respond: TypeAlias = Callable[[Request], Awaitable[Response]]


def host_of(authority: str) -> str:
    """Return the host of a Host header or an :authority, without its port."""
    host = authority.lower()
    return host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
