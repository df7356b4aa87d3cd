"""The daemon under virtual time: rounds, hours, budgets, suspicions, lines, clocks, stopping."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from probes.clock import SystemClock
from probes.rounds import RoundDone
from sitewatch.daemon_clock import BEAT, ClockZone
from sitewatch.daemon_state import load_state
from sitewatch.installation import Installation
from sitewatch.schedule import DAY, WakingHours
from storage.records import LineState
from storage.store import Store, StoreError
from tests.daemon_life import SITES, Machine, live, write_configuration

HOUR = 3600.0
ALMATY = ZoneInfo("Asia/Almaty")
SCHEDULE = "[schedule]\ntime_zone = 'Asia/Almaty'\n"
WATCHING = SCHEDULE + "watch = ['alpha.example']\nwatch_every = '1h'\n"
# Long ago: the present stands out from what is planned (see ClockZone).
MORNING = datetime(2020, 11, 23, 8, 0, tzinfo=ALMATY).timestamp()
NOON = MORNING + 4 * HOUR
HOURS = WakingHours.parse("08:00-23:00")


def full_rounds(machine: Machine) -> list[float]:
    return [at for at, urls in machine.prober.rounds if len(urls) == len(SITES)]


def local_day(at: float) -> str:
    return datetime.fromtimestamp(at, ALMATY).strftime("%m-%d")


def test_days_have_their_rounds_in_waking_hours_and_the_watched_host_more(tmp_path: Path) -> None:
    machine = live(tmp_path, WATCHING, MORNING, lambda machine: machine.live(2 * DAY - 60))
    assert Counter(map(local_day, full_rounds(machine))) == {"11-23": 4, "11-24": 4}
    watched = [at for at, urls in machine.prober.rounds if urls == ["https://alpha.example/"]]
    per_day = Counter(map(local_day, watched))
    assert all(9 <= count <= 15 for count in per_day.values()), per_day
    assert all(HOURS.is_awake(at, ALMATY) for at, _ in machine.prober.rounds)


def test_the_order_of_targets_differs_from_round_to_round(tmp_path: Path) -> None:
    machine = live(tmp_path, SCHEDULE, MORNING, lambda machine: machine.live(3 * DAY))
    orders = {tuple(urls) for _, urls in machine.prober.rounds}
    assert len(orders) > 3
    assert {tuple(sorted(order)) for order in orders} == {
        tuple(sorted(f"https://{site}.example/" for site in SITES))
    }


def test_everything_is_kept_and_the_next_daemon_goes_on(tmp_path: Path) -> None:
    first = live(tmp_path, SCHEDULE, MORNING, lambda machine: machine.live(2 * HOUR))
    assert len(full_rounds(first)) == 1
    again = live(tmp_path, SCHEDULE, MORNING + 2.1 * HOUR, lambda machine: machine.live(HOUR))
    assert full_rounds(again) == []  # this slot's round was made before the restart
    with Store(tmp_path / "sitewatch.db", create=False) as store:
        assert len(list(store.rounds())) == 1
        assert len(list(store.measurements())) == len(SITES)
        assert store.check() == []


def test_a_stop_in_the_middle_of_a_round_keeps_what_there_is(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        machine.prober.seconds = 1000
        working = asyncio.create_task(machine.daemon.run())
        await machine.prober.begun.wait()
        asked = machine.clock.monotonic()
        machine.daemon.stop()
        await working
        assert machine.clock.monotonic() - asked < 10

    live(tmp_path, SCHEDULE, MORNING, story)
    with Store(tmp_path / "sitewatch.db", create=False) as store:
        kept = [stored.record.complete for stored in store.measurements()]
    assert kept == [False] * len(SITES)


def test_a_suspicion_is_checked_sooner_until_it_is_settled(tmp_path: Path) -> None:
    suspect = "https://beta.example/"

    async def story(machine: Machine) -> None:
        until = MORNING + 1.5 * HOUR
        machine.prober.failing = lambda url, at: url == suspect and at < until
        await machine.live(4 * HOUR)

    machine = live(tmp_path, SCHEDULE, MORNING, story)
    checks = [at for at, urls in machine.prober.rounds if urls == [suspect]]
    assert 2 <= len(checks) <= 4
    assert checks[0] - full_rounds(machine)[0] < 0.3 * HOUR
    assert checks[-1] < MORNING + 3.5 * HOUR  # settled: no more checks


def test_on_a_line_that_is_not_up_it_waits_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(machine: Machine) -> None:
        machine.prober.line = lambda at: "down" if at < NOON else "up"
        await machine.live(5.5 * HOUR)

    with caplog.at_level("INFO", "sitewatch"):
        machine = live(tmp_path, SCHEDULE, MORNING, story)
    assert 4 <= len(machine.prober.looks) <= 8  # less and less often, at least once an hour
    assert NOON <= full_rounds(machine)[0] < NOON + 1.1 * HOUR
    assert "the line is down: waiting" in caplog.text
    assert machine.daemon.state.line == "up"


def test_over_the_months_data_the_cadence_is_stretched_and_it_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin = datetime(2020, 11, 1, 8, tzinfo=ALMATY).timestamp()

    async def story(machine: Machine) -> None:
        machine.prober.body_bytes = 1_000_000
        await machine.live(29 * DAY)

    budget = 60  # megabytes; 120 rounds of 4.3 would need 500
    toml = SCHEDULE + f"[limits]\nmonth_megabytes = {budget}\n"
    with caplog.at_level("INFO", "sitewatch"):
        machine = live(tmp_path, toml, begin, story)
    used = machine.daemon.state.usage.month(begin + 20 * DAY).bytes
    assert 0.6 * budget * 1e6 < used <= budget * 1e6
    assert "times slower" in caplog.text
    late = [at for at in full_rounds(machine) if at > begin + 20 * DAY]
    assert late  # stretched over the whole month, not cut


def test_a_paused_daemon_sends_nothing_and_goes_on_afterwards(tmp_path: Path) -> None:
    machines: list[Machine] = []

    async def story(machine: Machine) -> None:
        machines.append(machine)
        await machine.live(6 * HOUR)

    def paused() -> bool:
        return bool(machines) and machines[0].clock.wall() < NOON

    machine = live(tmp_path, SCHEDULE, MORNING, story, paused=paused)
    assert NOON <= machine.prober.rounds[0][0] < NOON + 600


def test_a_pause_stops_the_round_that_runs(tmp_path: Path) -> None:
    pause = False

    async def story(machine: Machine) -> None:
        nonlocal pause
        machine.prober.seconds = 5000
        working = asyncio.create_task(machine.daemon.run())
        await machine.prober.begun.wait()
        pause = True
        await asyncio.sleep(10)
        machine.daemon.stop()
        await working

    live(tmp_path, SCHEDULE, MORNING, story, paused=lambda: pause)
    with Store(tmp_path / "sitewatch.db", create=False) as store:
        assert [stored.record.complete for stored in store.measurements()] == [False] * len(SITES)


def test_a_reload_takes_a_new_list_and_refuses_a_bad_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(machine: Machine) -> None:
        working = asyncio.create_task(machine.daemon.run())
        await asyncio.sleep(60)
        write_configuration(tmp_path, "[schedule]\nevery = 'often'\n")
        machine.daemon.reload()
        await asyncio.sleep(DAY)
        before = len(machine.prober.rounds)
        assert before >= 4
        write_configuration(tmp_path, SCHEDULE, ("epsilon",))
        machine.daemon.reload()
        await asyncio.sleep(DAY)
        new = machine.prober.rounds[before:]
        assert {tuple(urls) for _, urls in new} == {("https://epsilon.example/",)}
        machine.daemon.stop()
        await working

    with caplog.at_level("INFO", "sitewatch"):
        machine = live(tmp_path, SCHEDULE, MORNING, story)
    assert "not reloaded" in caplog.text
    assert "schedule.every" in caplog.text
    assert any("not reloaded" in trouble.what for trouble in machine.daemon.state.troubles)


def test_an_idle_daemon_is_idle(tmp_path: Path) -> None:
    """Whatever wakes it up wakes the event loop, and its turns can be counted."""
    night = MORNING - 8 * HOUR
    machine = live(tmp_path, WATCHING, night, lambda machine: machine.live(7.9 * HOUR))
    assert not machine.prober.rounds
    beats = 7.9 * HOUR / BEAT
    assert beats <= machine.loop.selector.turns < 3 * beats + 200


def test_a_restart_gives_no_further_follow_ups_to_the_day(tmp_path: Path) -> None:
    toml = SCHEDULE + "[limits]\nsensitive_per_target_day = 2\n"

    async def story(machine: Machine) -> None:
        machine.prober.failing = lambda url, at: "beta" in url
        await machine.live(3 * HOUR)

    begin = MORNING - 1 * HOUR  # 02:00 UTC: all of it is one day of UTC
    lives = [live(tmp_path, toml, begin + number * 4 * HOUR, story) for number in range(4)]
    assert sum(machine.prober.follow_ups for machine in lives) == 2
    assert sum(len(machine.prober.rounds) for machine in lives) > 4


def test_a_round_that_does_not_end_is_stopped_and_what_it_measured_is_kept(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        machine.prober.seconds = 30 * DAY
        await machine.live(12 * HOUR)

    machine = live(tmp_path, SCHEDULE, MORNING, story)
    assert len(machine.prober.rounds) >= 2
    assert any("took hours" in trouble.what for trouble in machine.daemon.state.troubles)
    with Store(tmp_path / "sitewatch.db", create=False) as store:
        kept = [stored.record.complete for stored in store.measurements()]
    assert len(kept) == len(SITES) * len(machine.prober.rounds)
    assert not any(kept)


def test_what_follows_a_round_cannot_hold_it_up_or_break_it(tmp_path: Path) -> None:
    seen: list[str] = []

    async def after(_store: Store, _installation: Installation, done: RoundDone) -> None:
        seen.append(done.round.line.state)
        await asyncio.sleep(3 * HOUR)
        raise StoreError("the feed cannot be written")

    machine = live(
        tmp_path, SCHEDULE, MORNING, lambda machine: machine.live(DAY), after_round=after
    )
    assert seen == ["up"] * 4
    assert any("the feed" in trouble.what for trouble in machine.daemon.state.troubles)


def test_a_round_that_fails_is_tried_again_and_remembered(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        def line(at: float) -> LineState:
            if at < NOON:
                raise StoreError(f"{tmp_path}: the disk is full")
            return "up"

        machine.prober.line = line
        await machine.live(5.5 * HOUR)

    machine = live(tmp_path, SCHEDULE, MORNING, story)
    assert full_rounds(machine)[0] < NOON + 1.1 * HOUR
    (trouble,) = machine.daemon.state.troubles
    assert "the disk is full" in trouble.what
    assert 4 <= trouble.times <= 8


def test_nothing_that_is_logged_names_a_site(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(machine: Machine) -> None:
        machine.prober.failing = lambda url, at: "beta" in url
        machine.prober.line = lambda at: "down" if at % DAY < 3.5 * HOUR else "up"
        await machine.live(0.9 * DAY)

    with caplog.at_level("DEBUG", "sitewatch"):
        machine = live(tmp_path, WATCHING, MORNING, story)
    assert caplog.records
    assert not [site for site in SITES if site in caplog.text]
    state = (tmp_path / "sitewatch.db.state").read_text()
    assert not [site for site in SITES if site in state]
    assert (tmp_path / "sitewatch.db.state").stat().st_mode & 0o777 == 0o600
    assert load_state(str(tmp_path / "sitewatch.db")) is not None
    assert machine.prober.looks


# --- clocks, suspends and outages, for weeks ---------------------------------------------------


async def troubles(machine: Machine, trouble_days: set[str], back: Counter[str]) -> None:
    """Suspend the machine and set its clock, as chance has it."""
    while True:
        await asyncio.sleep(machine.chance.expovariate(1 / (2.5 * DAY)))
        before = machine.clock.wall()
        kind = machine.chance.choice(["suspend", "forward", "back"])
        if kind == "back":
            machine.clock.move(-machine.chance.uniform(60, 2 * HOUR))
            back[local_day(before)] += 1
        else:
            machine.clock.move(machine.chance.uniform(60, 20 * HOUR))
        after = machine.clock.wall()
        at = min(before, after)
        while at < max(before, after) + DAY:
            trouble_days.add(local_day(min(at, max(before, after))))
            at += DAY / 4


@dataclass(frozen=True)
class Lived:
    """What came of a life with troubles."""

    rounds: int
    calm_days: int  # without any suspend, clock jump or outage
    calm_days_wrong: int  # of these, those without exactly four rounds
    most_in_a_day: int
    storms: int  # days with more rounds than four and one for each time the clock was set back
    asleep: int
    over_budget: int  # months that used more data than they had
    unkept: int  # rounds that were made and are not in the database


def live_through_troubles(tmp_path: Path, days: int, seed: int) -> Lived:
    troubled: set[str] = set()
    back: Counter[str] = Counter()
    outages = random.Random(seed)
    bad_hours = {hour for hour in range(24 * days * 2) if outages.random() < 0.01}

    async def story(machine: Machine) -> None:
        def line(at: float) -> LineState:
            if int((at - MORNING) / HOUR) in bad_hours:
                troubled.add(local_day(at))
                return "down"
            return "up"

        machine.prober.line = line
        await machine.live(days * DAY - 60, troubles(machine, troubled, back))

    machine = live(tmp_path, SCHEDULE, MORNING, story, seed=seed)
    per_day = Counter(map(local_day, full_rounds(machine)))
    first, last = local_day(MORNING), local_day(machine.clock.wall())
    calm = {day for day in per_day if day not in troubled | {first, last}}
    at_all = [at for at, _ in machine.prober.rounds] + machine.prober.looks
    usage, budget = machine.daemon.state.usage, machine.daemon.plan.budget
    months = {datetime.fromtimestamp(at, UTC).strftime("%Y-%m"): at for at in at_all}
    with Store(tmp_path / "sitewatch.db", create=False) as store:
        kept = len(list(store.rounds()))
    return Lived(
        rounds=len(full_rounds(machine)),
        calm_days=len(calm),
        calm_days_wrong=sum(per_day[day] != 4 for day in calm),
        most_in_a_day=max(per_day.values()),
        storms=sum(per_day[day] > 4 + back[day] for day in per_day if day != first),
        asleep=sum(not HOURS.is_awake(at, ALMATY) for at in at_all),
        over_budget=sum(usage.month(at).bytes > budget for at in months.values()),
        unkept=len(at_all) - kept,
    )


def require_sound(lived: Lived, days: int) -> None:
    assert lived.calm_days >= days / 4
    wrong = (lived.calm_days_wrong, lived.storms, lived.asleep, lived.over_budget, lived.unkept)
    assert wrong == (0, 0, 0, 0, 0), lived


def test_a_week_of_suspends_clock_jumps_and_outages(tmp_path: Path) -> None:
    require_sound(live_through_troubles(tmp_path, 8, seed=3), 8)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_thirty_days_of_suspends_clock_jumps_and_outages(tmp_path: Path, seed: int) -> None:
    require_sound(live_through_troubles(tmp_path, 30, seed), 30)


# --- the clock that APScheduler is given -------------------------------------------------------


def test_the_clocks_zone_changes_the_present_and_nothing_else() -> None:
    ahead = 900 * DAY

    class Ahead(SystemClock):
        def wall(self) -> float:
            return super().wall() + ahead

    zone, moment = ClockZone(Ahead()), datetime(2020, 1, 1, tzinfo=UTC)
    assert moment.astimezone(zone).timestamp() == moment.timestamp()
    assert abs(datetime.now(zone).timestamp() - datetime.now(UTC).timestamp() - ahead) < 60
    own = ClockZone(SystemClock())
    # A start that is about to come must not become the present: the scheduler would spin.
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    assert abs((soon.astimezone(own) - soon).total_seconds()) < 0.1
