"""What a helper allows its askers: how often, how much, how many at once, and answers kept a while.

Everything is kept in memory alone, and what is too old goes with the next question; who asked is
written nowhere.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from probes.clock import Clock

_MOST_BUCKETS = 10_000
_CLIENT_PREFIX = 64  # of IPv6: one line has at least so many addresses


@dataclass(frozen=True)
class HelperLimits:
    """Bounds of a helper; times in seconds, sizes in bytes."""

    per_minute: int = 120  # questions of one asker; half of it may come at once
    host_per_minute: int = 60  # visits to one host, whoever asks: a helper is no weapon
    anyone_below: int = 25  # visits under way, from which on only OONI's probes are served
    most_under_way: int = 50  # both as OONI's helpers have it
    request_bytes: int = 64 * 1024
    request_seconds: float = 10.0
    endpoints: int = 16
    page_bytes: int = 2 * 1024 * 1024
    dns_seconds: float = 4.0
    connect_seconds: float = 10.0
    tls_seconds: float = 10.0
    page_seconds: float = 15.0
    look_seconds: float = 25.0  # all together: askers give up after 30
    kept_seconds: float = 60.0
    most_kept: int = 1000
    connections: int = 256
    connections_of_one: int = 64  # asker; what lies behind a proxy is not told apart
    head_seconds: float = 15.0  # for a whole head to come


class Buckets:
    """Token buckets by key: `per_minute` on average, half of it at once."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._rate = per_minute / 60
        self._size = max(1.0, per_minute / 2)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> bool:
        """Take one token of `key`; False where there is none left."""
        now = self._clock.monotonic()
        left, since = self._left.pop(key, (self._size, now))
        left = min(self._size, left + (now - since) * self._rate)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now)
        self._forget(now)
        return allowed

    def remembered(self) -> set[str]:
        """Return the keys that are still counted."""
        return set(self._left)

    def _forget(self, now: float) -> None:
        """Drop the buckets that have filled up again, and the oldest of too many."""
        filling = self._size / self._rate
        while self._left:
            oldest = next(iter(self._left.values()))
            if len(self._left) <= _MOST_BUCKETS and now - oldest[1] < filling:
                return
            self._left.popitem(last=False)


def client_key(address: str) -> str:
    """Return under which key an asker is counted: his address, in IPv6 its /64."""
    parsed = ip_address(address.split("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, _CLIENT_PREFIX), strict=False))
    return str(parsed)


class Refused(Exception):
    """A question is not looked into now; the value is the HTTP status that says so."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Answers:
    """Answers by question: made once, kept for a while, shared by all who ask meanwhile."""

    def __init__(self, clock: Clock, limits: HelperLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[bytes]] = {}

    async def get(
        self, key: bytes, make: Callable[[], Awaitable[bytes]], admit: Callable[[int], None]
    ) -> bytes:
        """Return the answer to `key`; `make` it where it is neither kept nor being made.

        `admit` is asked first, with the number of answers being made, and may raise Refused. An
        answer goes on being made when the asker goes away: others may wait for it too.
        """
        self._forget()
        kept = self._kept.get(key)
        if kept is not None:
            return kept[1]
        task = self._under_way.get(key)
        if task is None:
            admit(len(self._under_way))
            task = asyncio.ensure_future(self._made(key, make))
            self._under_way[key] = task
        return await asyncio.shield(task)

    async def _made(self, key: bytes, make: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            answer = await make()
        finally:
            del self._under_way[key]
        self._kept[key] = (self._clock.monotonic(), answer)
        self._kept.move_to_end(key)
        self._forget()
        return answer

    def _forget(self) -> None:
        """Drop the answers that are too old, and the oldest of too many."""
        since = self._clock.monotonic() - self._limits.kept_seconds
        while self._kept:
            oldest = next(iter(self._kept.values()))
            if len(self._kept) <= self._limits.most_kept and oldest[0] > since:
                return
            self._kept.popitem(last=False)
