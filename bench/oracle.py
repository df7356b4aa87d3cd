"""How well anybody could do on a scenario: a detector that is told all but the blocks.

    python -m bench.oracle --only noisy --seeds 3

It reads each series by itself, knows the true chance of every reading to fail without a block, how
often blocks begin, how long they last and how much they leak, sums over all ways to place blocks,
and is given the threshold that fits the very histories it is measured on: the lowest with at most
0.05 false episodes per series and year, once for what is called in the end and once for what is
announced on the way. What it misses cannot be told from chance by the readings of one network.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np

from bench.episodes import TOLERATED, Score, row, score_calls
from bench.histories import DAY, SCENARIOS, History, Scenario, lasts_longer, simulate
from bench.rivals import Call
from reports.verdict_arrays import LIKELY, Floats, VerdictArrays

THRESHOLDS = (*np.arange(0.05, 0.9, 0.05).tolist(), 0.9, 0.95, 0.98, 0.99, 0.998)


def told(history: History) -> tuple[Floats, Floats]:
    """Return how probable a block is at each reading, given all readings and given those so far."""
    data, starts = history.data, history.data.starts()
    rate = len(history.truth) / (len(data.site) * history.scenario.days * DAY)
    evidence = _evidence(history)
    smoothed, filtered = np.zeros((2, len(data.kind)))
    for low, high in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        rows = slice(low, high)
        if (data.kind[rows] == LIKELY).any():
            places = _Places(history.scenario, data.seconds[rows], evidence[rows], rate)
            smoothed[rows], filtered[rows] = places.smoothed(), places.filtered
    return smoothed, filtered


def _evidence(history: History) -> Floats:
    """The logarithm of how much more probable each reading is inside a block than outside."""
    fails = history.scenario.fails
    chance = np.clip(history.chance, 1e-6, 1)
    failed = np.log(fails / chance + 1 - fails)
    return np.where(history.data.kind == LIKELY, failed, math.log(1 - fails))


class _Places:
    """All ways to place blocks in one series, each weighed against no block there at all.

    A block from one reading to another begins halfway to the reading before; its weight is the
    product of the rate of onsets, the share of blocks that last as long, and the evidence.
    """

    def __init__(self, scenario: Scenario, seconds: Floats, evidence: Floats, rate: float) -> None:
        count = len(seconds)
        gap = np.diff(seconds, prepend=seconds[0] - scenario.cadence * 3600)
        total = np.concatenate(([0.0], np.cumsum(evidence)))
        held = np.zeros((count, count + 1))
        held[:, :-1] = lasts_longer(scenario, seconds - (seconds - gap / 2)[:, None])
        with np.errstate(divide="ignore"):
            begun = np.log(rate * gap)[:, None] + total[1:] - total[:-1, None]
            self._weight = np.triu(begun + np.log(held[:, :-1] - held[:, 1:]))
            runs = begun + np.log(held[:, :-1])
        self._weight[np.tril_indices(count, -1)] = -np.inf
        self._before = np.zeros(count + 1)
        self.filtered = np.empty(count)
        for last in range(count):
            before = self._before[: last + 1]
            running = np.logaddexp.reduce(before + runs[: last + 1, last])
            self.filtered[last] = _share(running - self._before[last])
            ended = np.logaddexp.reduce(before + self._weight[: last + 1, last])
            self._before[last + 1] = np.logaddexp(self._before[last], ended)

    def smoothed(self) -> Floats:
        """The probability of a block at each reading, given all of them."""
        count = len(self.filtered)
        after = np.zeros(count + 1)
        for first in range(count - 1, -1, -1):
            blocks = np.logaddexp.reduce(self._weight[first, first:] + after[first + 1 :])
            after[first] = np.logaddexp(after[first + 1], blocks)
        placed = np.exp(self._before[:-1, None] + self._weight + after[1:] - after[0])
        begun, ended = placed.sum(axis=1), placed.sum(axis=0)
        inside: Floats = np.cumsum(begun) - np.concatenate(([0.0], np.cumsum(ended)[:-1]))
        return inside


def _share(odds: float) -> float:
    return 1 / (1 + math.exp(-max(min(odds, 700.0), -700.0)))


def calls_from(data: VerdictArrays, probable: Floats, threshold: float) -> list[Call]:
    """Return the stretches of readings at which a block is at least as probable as that."""
    held = np.concatenate(([False], probable >= threshold, [False]))
    edge = np.concatenate(([True], data.series[1:] != data.series[:-1], [True]))
    begins = np.flatnonzero(held[1:] & (~held[:-1] | edge))
    ends = np.flatnonzero(held[:-1] & (~held[1:] | edge)) - 1
    return [
        Call(
            int(data.series[a]),
            float(data.seconds[a]),
            float(data.seconds[a]),
            float(data.seconds[b]),
        )
        for a, b in zip(begins.tolist(), ends.tolist(), strict=True)
    ]


def score(histories: Sequence[History]) -> Score:
    """Return its score, with the best threshold for the end and the best one on the way."""
    final = [Score() for _ in THRESHOLDS]
    online = [Score() for _ in THRESHOLDS]
    for history in histories:
        for totals, probable in zip((final, online), told(history), strict=True):
            for total, threshold in zip(totals, THRESHOLDS, strict=True):
                total.add(score_calls(history, calls_from(history.data, probable, threshold)))
    best, early = (
        next((each for each in totals if each.false_rate <= TOLERATED), totals[-1])
        for totals in (final, online)
    )
    best.delays = early.delays + [math.inf] * (early.blocks - len(early.delays))
    return best


def main() -> None:
    """Print one row per scenario, as `bench.episodes` does."""
    parser = argparse.ArgumentParser(prog="python -m bench.oracle", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="histories per scenario")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--only", default="", help="a word in the scenario's name")
    asked = parser.parse_args()
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    for scenario in SCENARIOS:
        # Blocks by the calendar last as the calendar says, which it is not told.
        if asked.only in scenario.name and scenario.blocks and scenario.one_off is None:
            row(scenario.name, score([simulate(scenario, seed) for seed in seeds]))


if __name__ == "__main__":
    main()
