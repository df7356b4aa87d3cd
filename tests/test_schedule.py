"""The schedule: rounds by slots, waking hours, zones, clock jumps and the month's data."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitewatch.schedule import (
    AT_FIRST,
    DAY,
    Cadence,
    WakingHours,
    month_bounds,
    next_start,
    slots_of,
    stretch,
    zone_of,
)

HOUR = 3600.0
ALMATY = ZoneInfo("Asia/Almaty")
BERLIN = ZoneInfo("Europe/Berlin")


def cadence(
    every: float = 4 * HOUR, hours: str = "08:00-23:00", zone: ZoneInfo = ALMATY
) -> Cadence:
    return Cadence(every, WakingHours.parse(hours), zone)


def at(text: str, zone: ZoneInfo = ALMATY) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def shown(seconds: float, zone: ZoneInfo = ALMATY) -> str:
    return datetime.fromtimestamp(seconds, zone).strftime("%d %H:%M")


def first(_span: float) -> float:
    return 0.0


def starts(plan: Cadence, begin: float, days: float, seed: int = 1) -> list[float]:
    """Return the starts of some days on a machine to which nothing happens."""
    draw, made = random.Random(seed), list[float]()
    now, last = begin, None
    while True:
        now = next_start(plan, last, now, lambda span: draw.uniform(0, span))
        if now >= begin + days * DAY:
            return made
        made.append(now)
        last = now
        now += 60


def test_a_day_has_a_slot_for_each_round() -> None:
    slots = slots_of(date(2026, 11, 23), cadence())
    assert [shown(slot.begin) for slot in slots] == ["23 08:00", "23 12:00", "23 16:00", "23 20:00"]
    assert shown(slots[-1].end) == "23 23:00"
    assert shown(slots[0].until) == "23 10:00"


@pytest.mark.parametrize(
    ("every", "hours", "count"),
    [
        (4 * HOUR, "08:00-23:00", 4),
        (4 * HOUR, "00:00-24:00", 6),
        (0.5 * HOUR, "08:00-23:00", 30),
        (4 * HOUR, "20:00-04:00", 2),
        (4 * HOUR, "12:00-12:20", 1),
        (DAY, "08:00-23:00", 1),
        (7 * HOUR, "08:00-23:00", 2),
    ],
)
def test_so_many_rounds_a_day(every: float, hours: str, count: int) -> None:
    plan = cadence(every, hours)
    made = starts(plan, at("2026-11-01T00:00"), 30)
    per_day = Counter(datetime.fromtimestamp(start - 4 * HOUR, ALMATY).date() for start in made)
    assert set(list(per_day.values())[1:-1]) == {count}
    assert all(plan.hours.is_awake(start, ALMATY) for start in made)
    assert all(later - sooner >= every / 2 for sooner, later in pairwise(made))


@pytest.mark.parametrize("days", [2, 3, 7])
def test_a_cadence_of_days_has_one_round_on_every_so_many_days(days: int) -> None:
    made = starts(cadence(days * DAY), at("2026-11-01T00:00"), 84)
    apart = {
        (
            datetime.fromtimestamp(later, ALMATY).date()
            - datetime.fromtimestamp(sooner, ALMATY).date()
        ).days
        for sooner, later in list(pairwise(made))[1:]
    }
    assert apart == {days}


def test_starts_are_spread_over_the_first_half_of_their_slots() -> None:
    into = [
        (start - at("2026-11-01T08:00")) % DAY % (4 * HOUR)
        for start in starts(cadence(), at("2026-11-01T00:00"), 300)[1:]
    ]
    assert max(into) < 2 * HOUR
    assert min(into) < 0.1 * HOUR
    assert max(into) > 1.9 * HOUR


def test_the_first_round_comes_soon() -> None:
    now = at("2026-11-23T14:00")
    assert now <= next_start(cadence(), None, now, lambda span: span * 0.999) < now + AT_FIRST


def test_a_new_installation_waits_for_the_morning() -> None:
    assert shown(next_start(cadence(), None, at("2026-11-23T02:00"), first)) == "23 08:00"


def test_a_slot_slept_through_is_not_made_up_for() -> None:
    last = at("2026-11-23T08:30")
    start = next_start(cadence(), last, at("2026-11-23T18:10"), first)
    assert shown(start) == "23 18:10"
    assert shown(next_start(cadence(), start, start + 60, first)) == "23 20:10"


def test_a_suspend_into_the_night_waits_for_the_morning() -> None:
    last = at("2026-11-23T16:30")
    assert shown(next_start(cadence(), last, at("2026-11-24T03:00"), first)) == "24 08:00"


def test_a_last_round_in_the_future_does_not_silence_for_years() -> None:
    now = at("2026-11-23T14:00")
    assert next_start(cadence(), now + 900 * DAY, now, first) == now


def test_another_time_zone_starts_no_storm() -> None:
    now = at("2026-11-23T14:00")
    elsewhere = cadence(zone=ZoneInfo("America/New_York"))
    assert next_start(elsewhere, now - HOUR, now, first) >= now + HOUR


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_days_on_which_clocks_change_have_their_rounds(day: str) -> None:
    plan = cadence(zone=BERLIN)
    begin = at(f"{day}T00:00", BERLIN)
    made = [start for start in starts(plan, begin, 1.2) if shown(start, BERLIN)[:2] == day[-2:]]
    assert len(made) == 4
    assert all("08:00" <= shown(start, BERLIN)[3:] < "23:00" for start in made)


def test_hours_over_midnight_belong_to_the_evening_they_begin_on() -> None:
    hours = WakingHours.parse("20:00-04:00")
    assert hours.is_awake(at("2026-11-23T03:59"), ALMATY)
    assert not hours.is_awake(at("2026-11-23T04:00"), ALMATY)
    assert shown(hours.awake_from(at("2026-11-23T12:00"), ALMATY)) == "23 20:00"


@given(
    every=st.floats(60, 30 * DAY),
    hours=st.sampled_from(["08:00-23:00", "20:00-04:00", "00:00-24:00", "02:15-02:45"]),
    zone=st.sampled_from(
        ["Asia/Almaty", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]
    ),
    now=st.floats(1.4e9, 2e9),
    ago=st.one_of(st.none(), st.floats(-1e8, 1e8)),
    share=st.floats(0, 0.999),
)
def test_a_start_is_never_early_nor_asleep_nor_too_close(
    every: float, hours: str, zone: str, now: float, ago: float | None, share: float
) -> None:
    plan = cadence(every, hours, ZoneInfo(zone))
    last = None if ago is None else now - ago
    start = next_start(plan, last, now, lambda span: span * share)
    assert start >= now
    assert plan.hours.is_awake(start, plan.zone)
    if ago is not None and ago >= 0:
        assert start >= now - ago + every / 2


# --- a thousand days ---------------------------------------------------------------------------


def day_of(moment: float) -> date:
    return datetime.fromtimestamp(moment, BERLIN).date()


class Life:
    """A machine whose clock is set, which is suspended and whose line fails, as chance has it."""

    def __init__(self, plan: Cadence, seed: int) -> None:
        self.plan, self.chance = plan, random.Random(seed)
        self.now = at("2026-01-01T00:00", BERLIN)
        self.last: float | None = None
        self.made: list[float] = []
        self.troubled: set[date] = set()
        self.set_back: Counter[date] = Counter()

    def day(self) -> date:
        return day_of(self.now)

    def live(self) -> None:
        """Go on to the next round or the next trouble, as the daemon would."""
        planned = next_start(self.plan, self.last, self.now, lambda s: self.chance.uniform(0, s))
        trouble = self.now + self.chance.expovariate(1 / (5 * DAY))
        if trouble < planned:
            self.now = trouble
            self.suffer()
            return
        self.now = planned
        if self.chance.random() < 0.03:  # the line is not up: the daemon looks again later
            self.troubled.add(self.day())
            self.now += self.chance.uniform(300, 12 * HOUR)
            self.troubled.add(self.day())
            return
        self.made.append(planned)
        self.last = planned
        self.now += 60

    def suffer(self) -> None:
        kind = self.chance.choice(["suspend", "forward", "back"])
        before = self.day()
        if kind == "back":
            step = self.chance.uniform(0, 2 * HOUR)
            self.now -= step
            # The daemon moves the last start along, so that it stays as long ago as it was.
            self.last = None if self.last is None else self.last - step
            self.set_back[before] += 1
        else:
            self.now += self.chance.uniform(0, 2 * DAY if kind == "suspend" else 6 * HOUR)
        for number in range((self.day() - before).days + 1):
            self.troubled.add(before + timedelta(days=number))
        self.troubled |= {before, self.day()}


@pytest.mark.parametrize("seed", [1, 2017])
def test_a_thousand_days_of_suspends_clock_jumps_outages_and_changing_clocks(seed: int) -> None:
    life = Life(cadence(zone=BERLIN), seed)
    begin = life.day()
    while (life.day() - begin).days < 1000:
        life.live()
    by_day = Counter(map(day_of, life.made))
    calm = [begin + timedelta(days=number) for number in range(1, 999)]
    calm = [day for day in calm if day not in life.troubled]
    assert len(calm) > 400
    assert {by_day[day] for day in calm} == {4}  # neither a storm nor a gap
    assert all(by_day[day] <= 4 + life.set_back[day] for day in by_day)
    assert all(life.plan.hours.is_awake(start, BERLIN) for start in life.made)


# --- the month's data --------------------------------------------------------------------------


def test_a_month_is_a_month_of_utc() -> None:
    begin, end = month_bounds(datetime(2026, 12, 31, 23, 59, tzinfo=UTC).timestamp())
    assert datetime.fromtimestamp(begin, UTC) == datetime(2026, 12, 1, tzinfo=UTC)
    assert datetime.fromtimestamp(end, UTC) == datetime(2027, 1, 1, tzinfo=UTC)


def test_the_cadence_is_stretched_just_enough_for_the_month() -> None:
    now = datetime(2026, 11, 16, tzinfo=UTC).timestamp()
    assert stretch(0, 1000, 10, now) == 1
    assert stretch(600, 1000, 40, now) == pytest.approx(2)  # 600 needed, 300 left to plan with
    assert stretch(900, 1000, 40, now) == float("inf")


def test_a_stretched_month_stays_within_its_budget() -> None:
    now = month_bounds(datetime(2026, 11, 16, tzinfo=UTC).timestamp())[0]
    end, used, last = month_bounds(now)[1], 0.0, None
    chance, rounds = random.Random(4), 0
    while True:
        factor = stretch(used, 1000, 4 * 20, now)
        if factor == float("inf"):
            break
        now = next_start(cadence().stretched(factor), last, now, lambda s: chance.uniform(0, s))
        if now >= end:
            break
        last, used, rounds, now = now, used + 20, rounds + 1, now + 60
    assert used <= 1000
    assert rounds >= 35  # of the 45 that fit
    assert last is not None
    assert end - last < 4 * DAY  # it lasted to the month's end


# --- zones -------------------------------------------------------------------------------------


def test_the_local_zone_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    link = tmp_path / "localtime"
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    for name in ("Asia/Almaty", "Europe/Berlin"):
        link.unlink(missing_ok=True)
        link.symlink_to(Path("/usr/share/zoneinfo") / name)
        if not link.exists():
            pytest.skip("this system has no table of zones")
        assert (
            noon.astimezone(zone_of("local", link)).utcoffset()
            == noon.astimezone(ZoneInfo(name)).utcoffset()
        )


def test_a_zone_by_name_or_by_tz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert zone_of("Asia/Almaty") == ALMATY
    monkeypatch.setenv("TZ", ":Asia/Almaty")
    assert zone_of("local") == ALMATY
    monkeypatch.setenv("TZ", "no/such")
    offset = datetime.now(zone_of("local", tmp_path / "none")).utcoffset()
    assert isinstance(offset, timedelta)
