"""The oracle of the benchmark: its sums against all ways to place blocks, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from bench.histories import HOUR, SCENARIOS, START, Block, History, lasts_longer, simulate
from bench.oracle import calls_from, score, told
from reports.verdict_arrays import LIKELY, OPEN, VerdictArrays

HOURLY = next(each for each in SCENARIOS if each.name == "hourly")


def small(kinds: list[int], chance: float) -> History:
    count = len(kinds)
    zero = np.zeros(1, dtype=np.int64)
    data = VerdictArrays(
        series=np.zeros(count, dtype=np.int64),
        seconds=(START + np.arange(count) * HOUR).astype(np.float64),
        vantage=np.zeros(count, dtype=np.int64),
        kind=np.array(kinds, dtype=np.int8),
        site=zero,
        network=zero,
        country=zero,
    )
    block = Block(site=0, network=0, onset=START, end=START + HOUR, fails=0.99)
    return History(scenario=HOURLY, data=data, chance=np.full(count, chance), truth=[block])


def ways(count: int, begin: int = 0) -> Iterator[list[tuple[int, int]]]:
    """All ways to place blocks over readings, as first ones and those after the last ones."""
    yield []
    for first in range(begin, count):
        for end in range(first + 1, count + 1):
            for rest in ways(count, end):
                yield [(first, end), *rest]


def one_by_one(history: History) -> list[float]:
    kinds, chance = history.data.kind, float(history.chance[0])
    count, rate = len(kinds), 1 / (HOURLY.days * 24)
    evidence = np.where(kinds == LIKELY, (0.99 + 0.01 * chance) / chance, 0.01)
    total, inside = 0.0, np.zeros(count)
    for blocks in ways(count):
        weight = 1.0
        for first, end in blocks:
            lasts = np.array([end - first - 0.5, end - first + 0.5]) * HOUR
            longer, too_long = lasts_longer(HOURLY, lasts).tolist()
            weight *= rate * (longer if end == count else longer - too_long)
            weight *= float(evidence[first:end].prod())
        total += weight
        for first, end in blocks:
            inside[first:end] += weight
    return [float(each) for each in inside / total]


@pytest.mark.parametrize("letters", ["oobboo", "obbobb", "bbbbbo", "oooobb"])
def test_its_sums_equal_those_over_all_ways_to_place_blocks(letters: str) -> None:
    history = small([LIKELY if letter == "b" else OPEN for letter in letters], 0.1)
    smoothed, filtered = told(history)
    assert smoothed == pytest.approx(one_by_one(history), rel=1e-6)
    so_far = [one_by_one(small(history.data.kind[:n].tolist(), 0.1))[-1] for n in range(1, 7)]
    assert filtered == pytest.approx(so_far, rel=1e-6)


def test_stretches_end_with_their_series() -> None:
    history = small([LIKELY] * 4, 0.1)
    data = VerdictArrays(
        series=np.array([0, 0, 1, 1]),
        seconds=history.data.seconds,
        vantage=history.data.vantage,
        kind=history.data.kind,
        site=np.array([0, 1]),
        network=np.array([0, 0]),
        country=np.array([0, 0]),
    )
    calls = calls_from(data, np.array([0.1, 0.9, 0.9, 0.1]), 0.5)
    assert [call.series for call in calls] == [0, 1]
    assert [call.begin for call in calls] == [call.end for call in calls]


def test_it_finds_what_can_be_found() -> None:
    few = replace(HOURLY, days=20, sites=12)
    found = score([simulate(few, seed=5)])
    assert found.blocks > 3
    assert found.recall >= 0.97
    assert found.false_rate <= 0.05
