"""The detectors that others use, over a range of thresholds at once.

Each takes the arrays of a history and gives, per threshold, the spans that it calls blocked and
when it would have said so. Parameters are those published (OONI's live detector and the one in
review; the common "three in a row"), thresholds are swept so that all can be compared at the same
rate of false episodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reports.verdict_arrays import LIKELY, OPEN, Floats, VerdictArrays

HOUR = 3600.0
Step = Callable[[int], tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]


@dataclass(frozen=True)
class Call:
    """One span called blocked: when it is taken to begin, was announced, and ended."""

    series: int
    begin: float
    announced: float
    end: float


def median_cusum(data: VerdictArrays, thresholds: Floats) -> list[list[Call]]:
    """OONI's live detector: two-sided CUSUM of the hourly median, with state; h is swept."""
    hours, count, failed = _cells(data)
    value = np.where(failed * 2 > count, 1.0, np.where(failed * 2 == count, 0.5, 0.0))
    return _two_sided(hours, count, value - 0.35, 0.7 - value - 0.35, thresholds)


def count_cusum(data: VerdictArrays, thresholds: Floats) -> list[list[Call]]:
    """The one in review: Bernoulli CUSUM of counts, in log-odds; h is swept."""
    hours, count, failed = _cells(data)
    up = failed * np.log(0.8 / 0.02) + (count - failed) * np.log(0.2 / 0.98)
    return _two_sided(hours, count, up, -up, thresholds)


def in_a_row(data: VerdictArrays, thresholds: Floats) -> list[list[Call]]:
    """So many failing readings in a row begin a block, so many open ones end it."""
    rows = np.flatnonzero((data.kind == OPEN) | (data.kind >= LIKELY))
    starts = np.searchsorted(data.series[rows], np.arange(len(data.site) + 1))
    longest = int(np.diff(starts).max())
    times = np.full((longest, len(data.site)), np.nan)
    fails = np.zeros_like(times)
    position = np.arange(len(rows)) - starts[data.series[rows]]
    times[position, data.series[rows]] = data.seconds[rows]
    fails[position, data.series[rows]] = data.kind[rows] >= LIKELY
    up = np.where(fails == 1, 1.0, -np.inf)
    down = np.where(fails == 1, -np.inf, 1.0)
    return _two_sided(times, ~np.isnan(times), up, down, thresholds)


def _cells(data: VerdictArrays) -> tuple[Floats, Floats, Floats]:
    """Hours × series: the end of each hour, readings in it, failing ones."""
    rows = np.flatnonzero((data.kind == OPEN) | (data.kind >= LIKELY))
    hour = (data.seconds[rows] // HOUR).astype(np.int64)
    first = int(hour.min())
    shape = (int(hour.max()) - first + 1, len(data.site))
    cell = (hour - first) * shape[1] + data.series[rows]
    size = shape[0] * shape[1]
    count = np.bincount(cell, minlength=size).reshape(shape).astype(np.float64)
    fails: Floats = (data.kind[rows] >= LIKELY).astype(np.float64)
    failed = np.bincount(cell, weights=fails, minlength=size).reshape(shape).astype(np.float64)
    ends = (first + 1 + np.arange(shape[0])) * HOUR
    return np.broadcast_to(ends[:, None], shape).astype(np.float64), count, failed


def _two_sided(
    times: Floats, present: np.ndarray, up: Floats, down: Floats, thresholds: Floats
) -> list[list[Call]]:
    """Run both sums in the state each belongs to; all series and thresholds side by side."""
    shape = (len(thresholds), times.shape[1])
    total = np.zeros(shape)
    blocked = np.zeros(shape, dtype=np.bool_)
    rising = np.full(shape, np.nan)  # when the running sum last left zero
    begin, announced = np.full(shape, np.nan), np.full(shape, np.nan)
    calls: list[list[Call]] = [[] for _ in thresholds]
    for at in range(times.shape[0]):
        here = np.broadcast_to(present[at] > 0, shape)
        step = np.where(blocked, down[at], up[at])
        was_zero = total <= 0
        total = np.where(here, np.maximum(0.0, total + step), total)
        rising = np.where(here & was_zero & (total > 0), times[at], rising)
        crossed = here & (total >= thresholds[:, None])
        if not crossed.any():
            continue
        ended = crossed & blocked
        for threshold, series in np.argwhere(ended).tolist():
            key = (threshold, series)
            calls[threshold].append(
                Call(series, float(begin[key]), float(announced[key]), float(rising[key]))
            )
        opened = crossed & ~blocked
        begin = np.where(opened, rising, begin)
        announced = np.where(opened, times[at], announced)
        blocked = blocked ^ crossed
        total = np.where(crossed, 0.0, total)
    for threshold, series in np.argwhere(blocked).tolist():
        key = (threshold, series)
        calls[threshold].append(Call(series, float(begin[key]), float(announced[key]), np.inf))
    return calls


RIVALS: dict[str, tuple[Callable[[VerdictArrays, Floats], list[list[Call]]], Floats]] = {
    "hourly-median CUSUM": (median_cusum, np.array([1.4, 2.8, 3.5, 5.0, 7.0, 10.0, 15.0, 25.0])),
    "count-based CUSUM": (
        count_cusum,
        np.array([7.0, 14.0, 25.0, 50.0, 80.0, 120.0, 180.0, 260.0]),
    ),
    "so many in a row": (in_a_row, np.array([2.0, 3.0, 5.0, 8.0, 12.0, 14.0, 17.0, 20.0])),
}
