"""Recurrence: blocking that keeps to hours or days, such as exam hours or weekends, by name."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TypeAlias

import msgspec
import numpy as np

from reports.verdict_arrays import Flags, Floats, Ints

AROUND = 7 * 86400.0  # seconds before and after the failing readings that show when it was open
OCCURRENCES = 3  # days, or weekends, before a coincidence is called a pattern
INSIDE, OUTSIDE = 0.8, 0.1  # shares of failing readings: at least, at most
# How much better than chance the best of some thousand patterns must explain the readings, as a
# natural logarithm: a thousandth of the chance that any of them does.
GAIN = 14.0

_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday; Monday is 0

Week: TypeAlias = tuple[Floats, Floats]  # readings and failing ones, by the 168 hours of the week

_DAYS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("every day", (0, 1, 2, 3, 4, 5, 6)),
    ("on working days", (0, 1, 2, 3, 4)),
    ("at weekends", (5, 6)),
    ("on Fridays and Saturdays", (4, 5)),
    *(
        (f"on {name}s", (number,))
        for number, name in enumerate(
            ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
        )
    ),
)


class Recurrence(msgspec.Struct, frozen=True, kw_only=True):
    """One pattern: on which days, between which full hours (UTC), and how well it fits.

    `end_hour` is not included and is at most `begin_hour` where the span goes over midnight;
    both are 0 where whole days are meant. `occurrences` counts the days with a failing reading,
    for weekends the weekends.
    """

    days: str
    begin_hour: int
    end_hour: int
    occurrences: int
    inside: tuple[int, int]  # failing readings, all readings
    outside: tuple[int, int]

    @property
    def name(self) -> str:
        """The pattern in words, such as "on working days from 04:00 to 09:00 UTC"."""
        if self.begin_hour == self.end_hour == 0:
            return self.days
        return f"{self.days} from {self.begin_hour:02}:00 to {self.end_hour % 24:02}:00 UTC"


def recurrence_of(seconds: Floats, failing: Flags, opened: Flags) -> Recurrence | None:
    """Return the pattern that the failing readings of one series keep to, or None.

    `seconds` are the times of all its readings, `failing` tells which are held to be blocking,
    `opened` which found the site open. A pattern needs three
    occurrences, few failures outside it, few open readings inside it, and open readings between:
    a block that simply lasts keeps to no hours.
    """
    if not failing.any():
        return None
    times = seconds[failing]
    spoken = (seconds >= times[0] - AROUND) & (seconds <= times[-1] + AROUND) & (opened | failing)
    fails = failing[spoken]
    if 1 + int((fails[1:] & ~fails[:-1]).sum()) < OCCURRENCES:
        return None
    hours = np.floor(seconds[spoken] / 3600.0).astype(np.int64)
    days_gone = hours // 24
    weekday, hour = (days_gone + _EPOCH_WEEKDAY) % 7, hours % 24
    place = weekday * 24 + hour
    every, failed = (np.bincount(part, minlength=168) for part in (place, place[fails]))
    best = _best((every.astype(np.float64), failed.astype(np.float64)))
    if best is None:
        return None
    days, begin, length = best
    inside = _mask(_DAYS[days][1], begin, length)[weekday, hour]
    occurrences = _occurrences(days, days_gone[fails & inside])
    if occurrences < OCCURRENCES:
        return None
    return Recurrence(
        days=_DAYS[days][0],
        begin_hour=begin,
        end_hour=0 if length == 24 else (begin + length) % 24,
        occurrences=occurrences,
        inside=(int((fails & inside).sum()), int(inside.sum())),
        outside=(int((fails & ~inside).sum()), int((~inside).sum())),
    )


def _best(week: Week) -> tuple[int, int, int] | None:
    """The days, first hour and number of hours that explain most; the plainest if equal."""
    patterns, masks = _patterns()
    count, failed = (masks @ part for part in week)
    rest, misses = week[0].sum() - count, week[1].sum() - failed
    gain = _explained(failed, count) + _explained(misses, rest)
    gain -= _explained(week[1].sum(), week[0].sum())
    fits = (count > 0) & (rest > 0) & (failed >= INSIDE * count) & (misses <= OUTSIDE * rest)
    gain[~fits] = 0.0
    # Rounded, because hours without readings may be in or out: the plainest stands first.
    best = int(np.argmax(np.round(gain, 9)))
    return patterns[best] if gain[best] > GAIN else None


@cache
def _patterns() -> tuple[list[tuple[int, int, int]], Floats]:
    """All patterns, the plainest first, and their hours of the week as rows of a matrix."""
    patterns = [
        (days, begin, length)
        for days, length in product(range(len(_DAYS)), (24, *range(1, 24)))
        for begin in range(24 if length < 24 else 1)
        if (days, length) != (0, 24)
    ]
    masks = [_mask(_DAYS[days][1], begin, length).ravel() for days, begin, length in patterns]
    return patterns, np.array(masks, dtype=np.float64)


def _mask(days: tuple[int, ...], begin: int, length: int) -> np.ndarray:
    """Which hours of the week belong to it; a span over midnight counts to both its days."""
    hours = np.zeros(24, dtype=np.bool_)
    hours[(begin + np.arange(length)) % 24] = True
    mask = np.zeros((7, 24), dtype=np.bool_)
    mask[list(days)] = hours
    return mask


def _explained(failed: Floats, count: Floats) -> Floats:
    """The logarithm of the likelihood of so many failures, each span at its own rate."""
    logarithm = np.zeros(np.shape(count))
    for part in (failed, count - failed):
        share = part / np.maximum(count, 1)
        logarithm = logarithm + part * np.log(np.where(share > 0, share, 1.0))
    return logarithm


def _occurrences(days: int, failing: Ints) -> int:
    """Distinct days (since the epoch) with a failing reading; of days in a row, distinct weeks."""
    if 1 < len(_DAYS[days][1]) < 5:
        failing = (failing + _EPOCH_WEEKDAY) // 7
    return len(np.unique(failing))
