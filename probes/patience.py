"""How long a target may keep its measurement waiting, until the last reload has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from probes.clock import Clock

# By the default limits a name takes at most 15 seconds (resolvers one after the other), a
# connection, its handshake and a page 35 together: a first visit is cut short only behind slow
# redirects, and reloads are begun only where one like the last has room.
MOST_SECONDS = 60.0

P = ParamSpec("P")
_T = TypeVar("_T")


class Patience:
    """Runs out while a measurement waits for the network, not while it waits in our own queues.

    Else a list of many dead targets, or a busy machine, would look like a slow site.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = MOST_SECONDS
        self._since: float | None = None  # when it last began to run out
        self._working = 0
        self._queueing = 0

    def left(self) -> float:
        """Return how many seconds are left."""
        running = 0.0 if self._since is None else self._clock.monotonic() - self._since
        return max(0.0, self._left - running)

    def at_most(self, seconds: float) -> float:
        """Return how long a wait may last that is bounded by itself, too."""
        return min(seconds, self.left())

    async def during(self, work: Callable[P, Awaitable[_T]], *args: P.args, **how: P.kwargs) -> _T:
        """Do what waits for the network."""
        self._change(working=1)
        try:
            return await work(*args, **how)
        finally:
            self._change(working=-1)

    @contextmanager
    def queueing(self) -> Iterator[None]:
        """Stand still inside of it."""
        self._change(queueing=1)
        try:
            yield
        finally:
            self._change(queueing=-1)

    def _change(self, *, working: int = 0, queueing: int = 0) -> None:
        self._left, self._since = self.left(), None
        self._working += working
        self._queueing += queueing
        if self._working and not self._queueing:
            self._since = self._clock.monotonic()
