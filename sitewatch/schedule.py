"""When the next round starts: waking hours, slots, jitter and time zones, as pure functions.

The waking hours of each local day are cut into slots as long as the cadence, and each slot gets one
round, at a moment drawn from its first half. So whatever happens to clocks and machines, a slot
that was slept through is not made up for, a slot is never used twice, and two rounds keep half the
cadence between them. All times are seconds since the epoch by the machine's clock.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY = 86400.0
# A late start is not at once: after a suspend the network needs a moment to come back.
SOON = 120.0
# The first round of all is awaited by a person.
AT_FIRST = 15.0
_MOST_DAYS = 800  # longer cadences than two years make no sense

# Given a span in seconds, returns seconds in it: random outside tests.
Draw: TypeAlias = Callable[[float], float]


@dataclass(frozen=True)
class WakingHours:
    """The hours of a local day in which rounds may start; `end` may lie after midnight."""

    start: time
    end: time
    days: int  # midnights between start and end: 0 or 1

    @classmethod
    def parse(cls, text: str) -> WakingHours:
        """Read ``08:00-23:00``, as the configuration checks it; ``24:00`` is the day's end."""
        start, end = (part.replace("24:00", "00:00") for part in text.split("-"))
        first, last = time.fromisoformat(start), time.fromisoformat(end)
        return cls(first, last, int(last <= first))

    def window(self, day: date, zone: tzinfo) -> tuple[float, float]:
        """Return when the waking hours that begin on that local day begin and end."""
        begin = datetime.combine(day, self.start, zone)
        end = datetime.combine(day + timedelta(days=self.days), self.end, zone)
        return begin.timestamp(), end.timestamp()

    def awake_from(self, at: float, zone: tzinfo) -> float:
        """Return `at` if it lies in waking hours, else when the next ones begin."""
        for day in _days_from(at, zone):
            begin, end = self.window(day, zone)
            if at < end:
                return max(at, begin)
        raise AssertionError("some day has waking hours")

    def is_awake(self, at: float, zone: tzinfo) -> bool:
        return self.awake_from(at, zone) == at


@dataclass(frozen=True)
class Cadence:
    """How often something is measured (seconds), in which hours of which zone."""

    every: float
    hours: WakingHours
    zone: tzinfo

    def stretched(self, factor: float) -> Cadence:
        """Return the same, `factor` times slower."""
        return replace(self, every=self.every * factor)


@dataclass(frozen=True)
class Slot:
    """A span in which one round starts, drawn from `begin` to `until`, in need until `end`."""

    begin: float
    until: float
    end: float


def next_start(cadence: Cadence, last: float | None, now: float, draw: Draw) -> float:
    """Return when the next round starts, never before `now` and never outside waking hours.

    `last` is when the latest one started; None or a time in the future counts as never, and then
    the first one comes soon.
    """
    if last is not None and last > now:
        last = None
    for slot in _slots_from(cadence, now):
        if last is not None and last >= slot.begin:
            continue
        earliest = max(now, slot.begin)
        latest = earliest + AT_FIRST if last is None else max(slot.until, earliest + SOON)
        start = earliest + draw(min(latest, slot.end) - earliest)
        if last is not None:
            start = max(start, last + cadence.every / 2)
        if start < slot.end:
            return start
    raise AssertionError("a later day has a slot")


def slots_of(day: date, cadence: Cadence) -> list[Slot]:
    """Return the slots of one local day; a cadence of days has one on every so many days."""
    begin, end = cadence.hours.window(day, cadence.zone)
    apart = min(_MOST_DAYS, round(cadence.every / DAY))
    if apart > 1 and day.toordinal() % apart:
        return []
    # A rest shorter than half a slot belongs to the slot before it.
    count = max(1, math.floor((end - begin) / cadence.every + 0.5))
    begins = [begin + number * cadence.every for number in range(count)]
    ends = [*begins[1:], end]
    return [
        Slot(first, min(first + cadence.every / 2, last), last)
        for first, last in zip(begins, ends, strict=True)
    ]


def _slots_from(cadence: Cadence, at: float) -> Iterator[Slot]:
    for day in _days_from(at, cadence.zone):
        yield from (slot for slot in slots_of(day, cadence) if slot.end > at)


def _days_from(at: float, zone: tzinfo) -> Iterator[date]:
    """Yield local days from the one before `at`, whose hours may reach over midnight."""
    today = datetime.fromtimestamp(at, zone).date()
    for number in range(-1, _MOST_DAYS + 2):
        yield today + timedelta(days=number)


# --- the month's data --------------------------------------------------------------------------

RESERVE = 0.9  # so much of the budget is planned with; the rest is for what nobody foresaw


def month_bounds(at: float) -> tuple[float, float]:
    """Return when the UTC month of `at` begins and ends."""
    begin = datetime.fromtimestamp(at, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    end = (begin + timedelta(days=32)).replace(day=1)
    return begin.timestamp(), end.timestamp()


def stretch(used: float, budget: float, bytes_per_day: float, now: float) -> float:
    """Return by which factor all cadences are slowed so that the month's data last.

    1 while the usual cadence fits; infinity when what may be planned with is used up.
    """
    left = RESERVE * budget - used
    needed = bytes_per_day * (month_bounds(now)[1] - now) / DAY
    if needed <= left:
        return 1.0
    return needed / left if left > 0 else math.inf


# --- the time zone -----------------------------------------------------------------------------


def zone_of(written: str, local: Path = Path("/etc/localtime")) -> tzinfo:
    """Return the zone of the configuration; ``local`` is read anew each time, it may change."""
    name = written if written != "local" else os.environ.get("TZ", "").removeprefix(":")
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            pass  # a TZ that is no name of a zone, such as a POSIX rule
    try:
        with local.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return datetime.now().astimezone().tzinfo or UTC
