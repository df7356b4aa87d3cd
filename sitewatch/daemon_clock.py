"""The daemon's sense of time: one clock for APScheduler too, and noticing that it was set."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from probes.clock import Clock

BEAT = 30.0  # seconds between looks at the clock, and signs of life to systemd
_PRESENT = 1.0  # seconds; what is nearer is taken for the present
_SET = 5.0  # a clock that is off by more than this since the last look was set, or slept


class ClockZone(tzinfo):
    """UTC, in which ``datetime.now(ClockZone(clock))`` is the time by a given clock.

    APScheduler asks for the time in its time zone and has no other way to be given a clock. With
    the machine's own clock this is UTC and nothing else.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def fromutc(self, moment: datetime) -> datetime:
        """Take the present moment to the clock's; others, being converted, stay what they are."""
        machine = time.time()
        if abs(moment.replace(tzinfo=UTC).timestamp() - machine) > _PRESENT:
            return moment
        return moment + timedelta(seconds=self._clock.wall() - machine)

    def utcoffset(self, _moment: datetime | None) -> timedelta:
        return timedelta(0)

    def dst(self, _moment: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _moment: datetime | None) -> str:
        return "UTC"


class Heartbeat:
    """Beats while the event loop turns, and tells when the clock or the time zone moved.

    Timers count time in which the machine was awake, and not what the clock says; so after a
    suspend or when the clock was set, everything that waits for a time of day is told.
    """

    def __init__(
        self,
        clock: Clock,
        zone_offset: Callable[[], float],
        on_moved: Callable[[float], None],
        on_beat: Callable[[], None],
    ) -> None:
        self._clock, self._zone_offset = clock, zone_offset
        self._on_moved, self._on_beat = on_moved, on_beat

    async def beat(self) -> None:
        """Beat until cancelled; `on_moved` gets by how many seconds, 0 for another time zone."""
        ahead, offset = self._ahead(), self._zone_offset()
        while True:
            self._on_beat()
            await self._clock.sleep(BEAT)
            moved = self._ahead() - ahead
            ahead += moved
            before, offset = offset, self._zone_offset()
            if abs(moved) > _SET:
                self._on_moved(moved)
            elif offset != before:
                self._on_moved(0.0)

    def _ahead(self) -> float:
        return self._clock.wall() - self._clock.monotonic()
