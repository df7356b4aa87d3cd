"""Recurring patterns: exam hours and weekends are named, lasting blocks and chance are not."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from reports.episodes import find_episodes
from reports.readings import Reading
from reports.recurrence import Recurrence, recurrence_of
from tests.histories import HOUR, T0, reading


def found(
    blocked: Callable[[datetime], bool], *, days: int = 21, step: float = 1
) -> Recurrence | None:
    readings = series(blocked, days=days, step=step)
    fails = np.array([one.is_blocked for one in readings])
    return recurrence_of(np.array([one.seconds for one in readings]), fails, ~fails)


def series(
    blocked: Callable[[datetime], bool], *, days: int = 21, step: float = 1
) -> list[Reading]:
    hours = np.arange(0.2, 24 * days, step).tolist()
    return [
        reading("b" if blocked(datetime.fromtimestamp(T0 + hour * HOUR, UTC)) else "o", hour)
        for hour in hours
    ]


def in_exam_hours(moment: datetime) -> bool:
    return moment.weekday() < 5 and 4 <= moment.hour < 9


def test_exam_hours_are_named() -> None:
    pattern = found(in_exam_hours)
    assert pattern is not None
    assert pattern.name == "on working days from 04:00 to 09:00 UTC"
    assert (pattern.occurrences, pattern.inside, pattern.outside[0]) == (15, (75, 75), 0)


def test_weekends_are_named() -> None:
    pattern = found(lambda moment: moment.weekday() >= 5, days=28, step=4)
    assert pattern is not None
    assert (pattern.name, pattern.occurrences) == ("at weekends", 4)


def test_a_span_over_midnight_is_named_by_its_hours() -> None:
    pattern = found(lambda moment: moment.hour >= 22 or moment.hour < 3)
    assert pattern is not None
    assert pattern.name == "every day from 22:00 to 03:00 UTC"


def test_some_strays_do_not_hide_a_pattern() -> None:
    def strayed(moment: datetime) -> bool:
        return in_exam_hours(moment) != (moment.day % 7 == 1 and moment.hour == 5)

    pattern = found(strayed)
    assert pattern is not None
    assert pattern.days == "on working days"
    assert 0 < pattern.inside[1] - pattern.inside[0] <= 4


@pytest.mark.parametrize(
    "blocked",
    [
        lambda moment: moment.day >= 25,
        lambda moment: False,
        lambda moment: True,
        lambda moment: moment.day in (20, 21) and 4 <= moment.hour < 9,
    ],
    ids=["lasting", "never", "always", "twice only"],
)
def test_what_keeps_to_no_hours_has_no_pattern(blocked: Callable[[datetime], bool]) -> None:
    assert found(blocked) is None


def test_chance_makes_no_pattern() -> None:
    rng = np.random.default_rng(5)
    for share in (0.02, 0.1, 0.5):
        assert found(lambda moment, share=share: rng.random() < share) is None  # type: ignore[misc]


def test_episodes_of_a_pattern_say_so() -> None:
    episodes = find_episodes(series(in_exam_hours))
    assert len(episodes) == 15
    for episode in episodes:
        assert any("on working days from 04:00 to 09:00 UTC" in r for r in episode.reasons)


def test_a_lasting_block_says_nothing_of_a_pattern() -> None:
    (episode,) = find_episodes(series(lambda moment: moment.day >= 25))
    assert not any("recur" in reason for reason in episode.reasons)
