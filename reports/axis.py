"""Axis: moments as places on a timeline, its units, and the ticks at midnights or hours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from reports.places import moment
from reports.wording import Words, clock

DAY = 86400.0
_STEPS = (600, 1800, 3600, 7200, 10800, 21600, 43200)


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """A line across the lanes; `label` empty where it would not fit."""

    x: float
    label: str


class Axis:
    """Maps seconds to x between `left` and `width` - `left`; `step` is its unit in seconds."""

    def __init__(self, since: float, until: float, width: float, left: float = 6.0) -> None:
        self.since, self.until, self.width, self.left = since, until, width, left
        self.scale = (width - 2 * left) / (until - since)
        days = (until - since) / DAY
        # The unit of ticks and of the strip of sample sizes: hours, days, weeks or months.
        self.step = next(
            (s for s in _STEPS if self.scale * s >= 44),
            DAY if days <= 62 else 7 * DAY if days <= 400 else 30 * DAY,
        )

    def x(self, seconds: float) -> float:
        inside = min(max(seconds, self.since), self.until)
        return round(self.left + (inside - self.since) * self.scale, 2)

    def unit_of(self, seconds: float) -> int:
        return int((seconds - self.since) // self.step)

    def begin_of(self, unit: int) -> float:
        return self.since + unit * self.step

    def ticks(self, zone: ZoneInfo, words: Words) -> tuple[Tick, ...]:
        """Ticks at midnights (or hours) of `zone`, labelled as often as there is room."""
        ticks: list[Tick] = []
        free_from = 0.0
        for when in self._moments(zone):
            x = self.x(when.timestamp())
            label = self._label(when, words)
            room = 6.2 * len(label)
            fits = x - room / 2 >= free_from and x + room / 2 <= self.width
            ticks.append(Tick(x=x, label=label if fits else ""))
            free_from = x + room / 2 + 8 if fits else free_from
        return tuple(ticks)

    def _moments(self, zone: ZoneInfo) -> Iterator[datetime]:
        step = timedelta(seconds=self.step)
        when = moment(self.since, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        while when.timestamp() <= self.until:
            if when.timestamp() >= self.since:
                yield when
            when += step

    def _label(self, when: datetime, words: Words) -> str:
        if self.step < DAY and (when.hour or when.minute):
            return clock(when)
        return words.short_day(when)
