"""The history that the demonstration plays: when rounds are made, and in which spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

SPARSE = timedelta(hours=12)
DENSE = timedelta(hours=2)


def round_times(first: date, last: date, dense: Sequence[date]) -> list[float]:
    """Return the start of every round from `first` to `last`, both included, in epoch seconds.

    Every 12 hours, and every 2 hours on the days in `dense`.
    """
    times: list[float] = []
    moment = datetime.combine(first, time(), UTC)
    while moment.date() <= last:
        times.append(moment.timestamp())
        moment += DENSE if moment.date() in dense else SPARSE
    return times


def spans(times: Sequence[float], length: int) -> Iterator[Sequence[float]]:
    """Cut a history into spans of `length` rounds, which may be played side by side."""
    for start in range(0, len(times), length):
        yield times[start : start + length]
