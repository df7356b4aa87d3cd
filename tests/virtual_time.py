"""An event loop whose time leaps to the next timer, and a clock that suspends and is set.

Work in threads, such as the database's, takes real time: while any is under way, time stands still.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from storage.records import Measurement, Round
from storage.store import Store

T = TypeVar("T")


class _LeapingSelector(selectors.DefaultSelector):
    """Never waits for a timer: it moves the loop's time there instead."""

    leap: Callable[[float], None]
    busy: Callable[[], bool]

    turns = 0

    def select(self, timeout: float | None = None) -> Any:
        self.turns += 1
        if timeout is None or self.busy():
            return super().select(0.05 if timeout is None or timeout > 0.05 else timeout)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.leap(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop of virtual seconds, from 0."""

    def __init__(self) -> None:
        self.selector = selector = _LeapingSelector()
        self._now = 0.0
        # Pieces of work in threads; each figure is written by one thread only.
        self.handed_over = self.done = 0
        selector.leap = self._leap
        selector.busy = lambda: self.handed_over > self.done
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def _leap(self, seconds: float) -> None:
        self._now += seconds + 1e-6  # beyond rounding, so that the timer is due


class VirtualClock:
    """The clock of a machine in a virtual loop; `wall` can be moved by suspends and settings."""

    def __init__(self, loop: VirtualLoop, wall: float) -> None:
        self._loop, self._offset = loop, wall

    def wall(self) -> float:
        return self._loop.time() + self._offset

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def move(self, seconds: float) -> None:
        """Set the clock, or come back from a suspend, in which the loop's time stands still."""
        self._offset += seconds


class VirtualStore(Store):
    """A store that keeps virtual time from passing while it writes."""

    loop: VirtualLoop

    def __enter__(self) -> VirtualStore:
        return self

    def add(
        self, record: Round | Measurement, blobs: Mapping[str, bytes] | None = None
    ) -> Future[str]:
        self.loop.handed_over += 1
        shown: Future[str] = Future()

        def settle(kept: Future[str]) -> None:
            # First the waiting task is woken, then time may pass again.
            error = kept.exception()
            if error is None:
                shown.set_result(kept.result())
            else:
                shown.set_exception(error)
            self.loop.done += 1

        super().add(record, blobs).add_done_callback(settle)
        return shown
