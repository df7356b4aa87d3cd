"""Targets under suspicion: measured sooner, less and less often, within a day's budget."""

from __future__ import annotations

import pytest

from sitewatch.schedule import DAY
from sitewatch.suspects import FIRST_CHECK, MOST_CHECKS, Suspects
from storage.records import Certainty, Status, Verdict

URL = "https://watched.example/"


def verdict(status: Status, certainty: Certainty | None = None) -> Verdict:
    return Verdict(rules_version="1", status=status, certainty=certainty)


SUSPICION = verdict("inconclusive", "suspected")


def test_a_suspicion_is_checked_at_growing_distances_and_then_left_to_the_usual_cadence() -> None:
    suspects, now, waits = Suspects(per_day=100), 1000.0, []
    suspects.note(URL, SUSPICION, now)
    while (due := suspects.next_due(now)) is not None:
        waits.append(due - now)
        assert suspects.take(due - 1) == []
        assert suspects.take(due) == [URL]
        now = due
        suspects.note(URL, SUSPICION, now)
    assert waits == [FIRST_CHECK * 2**number for number in range(MOST_CHECKS)]


@pytest.mark.parametrize(
    ("seen", "settled"),
    [
        (verdict("accessible"), True),
        (verdict("blocked", "likely"), True),
        (verdict("down"), True),
        (verdict("restricted"), True),
        (verdict("inconclusive"), False),
        (verdict("offline"), False),
        (SUSPICION, False),
    ],
)
def test_what_settles_a_suspicion(seen: Verdict, settled: bool) -> None:
    suspects = Suspects(per_day=12)
    suspects.note(URL, SUSPICION, 0)
    suspects.note(URL, seen, 600)
    assert (suspects.next_due(600) is None) is settled


@pytest.mark.parametrize("per_day", [0, 1, 3])
def test_no_day_has_more_checks_than_its_budget(per_day: int) -> None:
    suspects, now, taken = Suspects(per_day=per_day), 0.0, list[float]()
    while now < 3 * DAY:
        suspects.note(URL, SUSPICION, now)
        now += 300
        if suspects.take(now):
            taken.append(now)
    for start in taken:
        assert len([at for at in taken if start <= at < start + DAY]) <= per_day
    assert bool(taken) is bool(per_day)


def test_a_clock_that_is_set_back_moves_the_checks_along() -> None:
    suspects = Suspects(per_day=12)
    suspects.note(URL, SUSPICION, 10_000)
    suspects.shift(-5_000)
    assert suspects.next_due(5_000) == 5_000 + FIRST_CHECK


def test_a_target_that_left_the_list_is_forgotten() -> None:
    suspects = Suspects(per_day=12)
    suspects.note(URL, SUSPICION, 0)
    suspects.keep_only({"https://other.example/"})
    assert suspects.next_due(0) is None
