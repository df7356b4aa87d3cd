"""A short turn of the torture: a dozen kills in busy rounds, and every misfortune of the disk."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage.store import Store
from tests.torture import (
    Kills,
    can_have_own_disks,
    figures,
    kill_rounds,
    strike_disk,
    write_locked,
)
from tests.torture_disk import CASES

pytestmark = pytest.mark.xdist_group("torture")


def test_a_transaction_is_seen_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with (
        Store(path),
        closing(sqlite3.connect(path, isolation_level=None)) as writer,
    ):
        assert not locked_for_another_process(path)
        writer.execute("BEGIN IMMEDIATE")
        assert locked_for_another_process(path)
        writer.execute("ROLLBACK")
        assert not locked_for_another_process(path)


def locked_for_another_process(path: Path) -> bool:
    """Ask in a child: a process does not see its own locks."""
    child = os.fork()
    if child == 0:
        os._exit(int(write_locked(path)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


@pytest.mark.lab
def test_killed_in_busy_rounds_nothing_reported_is_lost_and_nothing_is_half_there() -> None:
    kills = kill_rounds(12, seed=5, per_database=6)
    assert kills.problems == []
    assert (kills.kills, kills.databases) == (12, 2)
    assert kills.in_transaction > 0
    assert kills.kept >= kills.reported
    assert "| kills | 12 |" in figures(kills, [])


@pytest.mark.lab
@pytest.mark.long
def test_a_hundred_kills_more_than_half_of_them_in_a_transaction() -> None:
    kills = kill_rounds(100, seed=7)
    assert kills.problems == []
    assert kills.in_transaction >= 45
    assert kills.reported > 0


@pytest.mark.parametrize("case", CASES)
def test_a_misfortune_of_the_disk_is_one_line_and_no_loss(case: str) -> None:
    if not can_have_own_disks():
        pytest.skip("this machine lets nobody mount in a user namespace")
    outcome = strike_disk(case)
    assert outcome.problems == []
    assert outcome.message
    assert outcome.kept >= 20


def test_what_went_wrong_is_counted_in_the_figures() -> None:
    text = figures(Kills(kills=4, in_transaction=1, problems=["one", "two"]), [])
    assert "| of these inside a write transaction | 1 (25.0 %) |" in text
    assert "| lost, half there, broken chains, damaged files | 2 |" in text
