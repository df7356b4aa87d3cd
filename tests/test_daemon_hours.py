"""Waking hours go by the right time, also on a machine whose clock is wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sitewatch.schedule import DAY, WakingHours
from tests.daemon_life import Machine, live

HOUR = 3600.0
ALMATY = ZoneInfo("Asia/Almaty")
SCHEDULE = "[schedule]\ntime_zone = 'Asia/Almaty'\n"
WATCHING = SCHEDULE + "watch = ['alpha.example']\nwatch_every = '1h'\n"
MORNING = datetime(2020, 11, 23, 8, 0, tzinfo=ALMATY).timestamp()
HOURS = WakingHours.parse("08:00-23:00")


@pytest.mark.parametrize("ahead", [-7 * HOUR, 400 * DAY])
def test_rounds_keep_to_the_right_time_once_it_is_known(tmp_path: Path, ahead: float) -> None:
    async def story(machine: Machine) -> None:
        machine.prober.clock_offset = lambda _at: -ahead
        await machine.live(2.5 * DAY)

    # By its own clock the machine starts in the morning, so that there is a first round at all.
    machine = live(tmp_path, WATCHING, MORNING, story)
    right = [at - ahead for at, _ in machine.prober.rounds[1:]]
    assert all(HOURS.is_awake(at, ALMATY) for at in right)
    days = Counter(datetime.fromtimestamp(at, ALMATY).date() for at in right)
    assert all(12 <= count <= 19 for count in list(days.values())[1:-1]), days
    assert len(days) >= 3


def test_a_clock_that_is_set_right_is_believed_at_once(tmp_path: Path) -> None:
    ahead = 7 * HOUR

    async def story(machine: Machine) -> None:
        set_at = MORNING + 1.2 * DAY
        machine.prober.clock_offset = lambda at: -ahead if at < set_at else None
        working = asyncio.create_task(machine.live(2.5 * DAY))
        await asyncio.sleep(DAY)
        machine.clock.move(-ahead)
        machine.prober.clock_offset = lambda _at: None  # nobody tells the time any more
        await working

    machine = live(tmp_path, WATCHING, MORNING, story)
    late = [at for at, _ in machine.prober.rounds if at > MORNING + 1.5 * DAY]
    assert len(late) > 8
    assert all(HOURS.is_awake(at, ALMATY) for at in late)


def test_a_suspend_does_not_change_what_is_known_of_the_clock(tmp_path: Path) -> None:
    ahead = 7 * HOUR

    async def story(machine: Machine) -> None:
        machine.prober.clock_offset = lambda at: -ahead if at < MORNING + DAY else None
        working = asyncio.create_task(machine.live(2.5 * DAY))
        await asyncio.sleep(1.2 * DAY)
        machine.clock.move(9.3 * HOUR)
        await working

    machine = live(tmp_path, WATCHING, MORNING, story)
    right = [at - ahead for at, _ in machine.prober.rounds[1:]]
    assert len(right) > 20
    assert all(HOURS.is_awake(at, ALMATY) for at in right)


def test_a_clock_that_is_off_by_seconds_changes_nothing(tmp_path: Path) -> None:
    moments = []
    for off in (40.0, None):
        folder = tmp_path / str(off)
        folder.mkdir()

        async def story(machine: Machine, off: float | None = off) -> None:
            machine.prober.clock_offset = lambda _at: off
            await machine.live(2 * DAY)

        rounds = live(folder, SCHEDULE, MORNING, story).prober.rounds
        moments.append([round(at) for at, _ in rounds])
    assert moments[0] == moments[1]
