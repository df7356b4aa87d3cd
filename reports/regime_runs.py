"""Runs: the spans in which the model holds a target blocked, with how sure it is of their ends."""

from __future__ import annotations

import msgspec
import numpy as np

from reports.regimes import Regimes
from reports.verdict_arrays import CONFIRMED, LIKELY, SILENT, Flags, Floats, Ints, VerdictArrays

HELD = 0.5  # from here on a reading counts as blocked
SURE = 0.9  # a run that never gets there may be noise, and is only `possible`
TOO_LITTLE = 0.2  # a failure at the very end of a series from here on is `possible` too
LEAKY = 0.5  # from here on a network is known to leak, by the share of its blocks that do
EDGE = 0.003  # the part of the probability that a hard bracket may leave out on each side
_FLOOR = -40.0  # logarithm of as good as never


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `first` and `last` are the rows of its first and last blocked reading.

    Open readings up to the row `open_until` and from `open_from` on bound the run, blocked ones
    from `blocked_from` to `blocked_until` lie in it, all but for EDGE. In a block that leaks an
    open reading may lie inside; where none of those in between was open, and the network is not
    known to leak, the run does not, and its next open neighbours bound it.
    Quantiles are epoch seconds, None where the run reaches beyond the first or the last reading
    with more than their probability.
    """

    series: int
    first: int
    last: int
    probability: float
    leaky_network: bool
    open_until: int
    blocked_from: int
    blocked_until: int
    open_from: int
    onset_p05: float | None
    onset_p95: float | None
    end_p05: float | None
    end_p95: float | None


def runs_of(data: VerdictArrays, regimes: Regimes) -> list[Run]:
    """Return the runs by series and time: the sure ones, and those that are rather blocking.

    Every confirmed reading lies in a run: it is evidence by itself, whatever its neighbours say.
    """
    if not len(data.series):
        return []
    starts = data.starts()
    begin, stop, peak = _stretches(data, regimes, starts)
    ends = _Ends(data, regimes, starts, peak)
    evident = data.kind >= LIKELY
    runs = []
    for number, (low, high) in enumerate(zip(begin.tolist(), stop.tolist(), strict=True)):
        failing = low + np.flatnonzero(evident[low:high])
        if len(failing):
            probability = float(regimes.blocked[peak[number]])
            if (data.kind[failing] == CONFIRMED).any():
                probability = 1.0
            runs.append(ends.run(number, int(failing[0]), int(failing[-1]), probability))
    return runs


def _stretches(data: VerdictArrays, regimes: Regimes, starts: Ints) -> tuple[Ints, Ints, Ints]:
    """Where each run begins and stops, and its row of highest probability."""
    fresh = np.zeros(len(data.series), dtype=np.bool_)
    fresh[starts[:-1][np.diff(starts) > 0]] = True
    held = (regimes.blocked >= HELD) | (data.kind == CONFIRMED)
    held |= _unfinished(data, regimes, held)
    begin, stop = _bounds(held, fresh)
    peak = np.array(
        [
            low + int(np.argmax(regimes.blocked[low:high] + (data.kind[low:high] == CONFIRMED)))
            for low, high in zip(begin.tolist(), stop.tolist(), strict=True)
        ],
        dtype=np.int64,
    )
    return begin, stop, peak


def _bounds(held: Flags, fresh: Flags) -> tuple[Ints, Ints]:
    before = np.concatenate(([False], held[:-1])) & ~fresh
    begin = np.flatnonzero(held & ~before)
    goes_on = np.concatenate((held[1:] & ~fresh[1:], [False]))
    return begin, np.flatnonzero(held & ~goes_on) + 1


def _unfinished(data: VerdictArrays, regimes: Regimes, held: Flags) -> Flags:
    """The last failing readings of series where it is too early to tell."""
    more = np.zeros(len(held), dtype=np.bool_)
    speaking = np.flatnonzero(data.kind > SILENT)
    if not len(speaking):
        return more
    of = data.series[speaking]
    final = speaking[np.concatenate((of[1:] != of[:-1], [True]))]
    for row in final[(data.kind[final] == LIKELY) & ~held[final]].tolist():
        if regimes.blocked[row] >= TOO_LITTLE:
            more[row] = True
    return more


class _Ends:
    """The distributions of onset and end of each run, read off two running sums.

    The chance that a run known to hold at its peak had begun by an earlier row is the product of
    the chances that it did not begin in each interval in between; likewise forward in time.
    """

    def __init__(self, data: VerdictArrays, regimes: Regimes, starts: Ints, peak: Ints) -> None:
        count = len(data.series)
        self._data, self._starts, self._peak = data, starts, peak
        self._leaky = regimes.leaky[data.network] >= LEAKY
        certain = np.maximum(regimes.blocked, 1e-300)
        firsts = starts[:-1][np.diff(starts) > 0]
        stays = _log_of_staying(regimes.begun, certain)
        stays[firsts] = _FLOOR
        self._back = -np.cumsum(stays)  # grows with the row
        holds = _log_of_staying(regimes.ended, certain)
        holds[np.concatenate((firsts[1:] - 1, [count - 1]))] = _FLOOR
        self._ahead = -np.concatenate(([0.0], np.cumsum(holds)))  # grows with the row

    def run(self, number: int, first: int, last: int, probability: float) -> Run:
        """Return the run whose blocked readings lie between two rows."""
        peak = int(self._peak[number])
        series = int(self._data.series[peak])
        begin, stop = int(self._starts[series]), int(self._starts[series + 1])
        open_until, open_from = first - 1, last + 1
        if self._leaky[series] or self._data.open[first : last + 1].any():
            # Where not even the outermost reading is as sure as that, it bounds the run if the
            # model holds it open at all.
            outermost = begin if self._begun_row(peak, HELD) > begin else -1
            open_until = min(max(self._begun_row(peak, EDGE) - 1, outermost), open_until)
            final = stop - 1 if self._ended_row(peak, HELD) < stop else stop
            open_from = max(min(self._ended_row(peak, 1 - EDGE), final), open_from)
        return Run(
            series=series,
            first=first,
            last=last,
            probability=probability,
            leaky_network=bool(self._leaky[series]),
            open_until=open_until,
            blocked_from=max(self._begun_row(peak, 1 - EDGE), begin),
            blocked_until=self._ended_row(peak, EDGE) - 1,
            open_from=open_from,
            onset_p05=self._onset(peak, begin, 0.05),
            onset_p95=self._onset(peak, begin, 0.95),
            end_p05=self._end(peak, stop, 0.05),
            end_p95=self._end(peak, stop, 0.95),
        )

    def _begun_row(self, peak: int, share: float) -> int:
        """The first row by which the run had begun with at least this probability."""
        return int(np.searchsorted(self._back, self._back[peak] + np.log(share), side="left"))

    def _ended_row(self, peak: int, share: float) -> int:
        """The first row by which the run had ended with at least this probability."""
        return int(np.searchsorted(self._ahead, self._ahead[peak] - np.log1p(-share), side="left"))

    def _onset(self, peak: int, begin: int, share: float) -> float | None:
        row = self._begun_row(peak, share)
        if row <= begin:
            return None
        low, high = np.exp(self._back[row - 1 : row + 1] - self._back[peak])
        return self._between(row, (share - low) / (high - low))

    def _end(self, peak: int, stop: int, share: float) -> float | None:
        row = self._ended_row(peak, share)
        if row >= stop:
            return None
        low, high = 1 - np.exp(self._ahead[peak] - self._ahead[row - 1 : row + 1])
        return self._between(row, (share - low) / (high - low))

    def _between(self, row: int, part: float) -> float:
        """A time in the interval before a row: changes are as probable in each of its minutes."""
        before, after = self._data.seconds[row - 1], self._data.seconds[row]
        return float(before + part * (after - before))


def _log_of_staying(change: Floats, blocked: Floats) -> Floats:
    stay = np.maximum(1 - change / blocked, 1e-17)
    logarithm: Floats = np.minimum(np.log(stay), 0.0)
    return np.asarray(logarithm)
