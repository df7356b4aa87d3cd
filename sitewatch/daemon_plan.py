"""The daemon's plan: when which round starts next, by hours, budgets, suspicions and the line.

Times are by the machine's clock, as APScheduler and the records have them. Waking hours are hours
of the volunteer's day, so they are looked up at the right time where the clock is known to be off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from typing import Literal, TypeAlias

from sitewatch.config import Config
from sitewatch.config_checks import seconds_of
from sitewatch.daemon_state import DaemonState
from sitewatch.schedule import (
    DAY,
    Cadence,
    Draw,
    WakingHours,
    month_bounds,
    next_start,
    slots_of,
    zone_of,
)
from sitewatch.suspects import Suspects
from sitewatch.watchlist import Watchlist
from storage.records import utc_seconds, utc_text

# A round over all targets, over the watched hosts, or over the suspected targets.
Kind: TypeAlias = Literal["all", "watched", "suspects"]
CADENCES: tuple[Kind, ...] = ("all", "watched")

MEGABYTE = 1_000_000
# How long to wait after a look at a line that was not up, or after a round that failed.
FIRST_PATIENCE, MOST_PATIENCE = 300.0, 3600.0
# Seconds; a clock that is off by less is right enough to go to bed by.
CLOCK_OFF = 60.0


@dataclass
class Plan:
    """What decides when rounds start. `last` and `usage` live in `state`, to outlast the daemon."""

    config: Config
    watchlist: Watchlist
    state: DaemonState
    suspects: Suspects = field(init=False)
    not_before: float = -math.inf
    _patience: float = FIRST_PATIENCE
    _before: str | None = None  # when the round before the running one started

    def __post_init__(self) -> None:
        self.suspects = Suspects(self.config.limits.sensitive_per_target_day)

    def reconfigure(self, config: Config, watchlist: Watchlist) -> None:
        """Take over another configuration; what is suspected stays so."""
        self.config, self.watchlist = config, watchlist
        self.suspects.per_day = config.limits.sensitive_per_target_day
        self.suspects.keep_only(set(watchlist.urls))

    # --- deciding ------------------------------------------------------------------------------

    def starts(self, now: float, draw: Draw) -> dict[Kind, float]:
        """Return when each kind of round starts next; kinds without anything to do are absent."""
        factor = self.stretch(now)
        self.state.stretch = factor if math.isfinite(factor) else None
        begin = max(now, self.not_before)
        if not math.isfinite(factor):
            begin, factor = max(begin, month_bounds(now)[1]), 1.0
        starts: dict[Kind, float] = {}
        off = self.clock_offset
        for kind, cadence in self.cadences().items():
            last = self.last(kind)
            last = None if last is None else last + off
            starts[kind] = next_start(cadence.stretched(factor), last, begin + off, draw) - off
        due = self.suspects.next_due(now)
        if due is not None:
            hours, zone = self.hours()
            # A check may wait a little, so that it does not come at a round distance.
            at = max(begin, due)
            starts["suspects"] = hours.awake_from(at + draw(60.0) + off, zone) - off
        return starts

    def cadences(self) -> dict[Kind, Cadence]:
        """Return the cadences of the configuration as they are in the present time zone."""
        hours, zone = self.hours()
        schedule = self.config.schedule
        cadences: dict[Kind, Cadence] = {"all": Cadence(seconds_of(schedule.every), hours, zone)}
        if self.watchlist.watched:
            cadences["watched"] = Cadence(seconds_of(schedule.watch_every), hours, zone)
        return cadences

    def hours(self) -> tuple[WakingHours, tzinfo]:
        """Return the waking hours and the zone they are in now."""
        schedule = self.config.schedule
        return WakingHours.parse(schedule.waking_hours), zone_of(schedule.time_zone)

    def is_awake(self, now: float) -> bool:
        hours, zone = self.hours()
        return hours.is_awake(now + self.clock_offset, zone)

    @property
    def clock_offset(self) -> float:
        """Seconds to be added to the machine's clock; 0 where it is right, or nothing is known."""
        off = self.state.clock_offset or 0.0
        return off if abs(off) >= CLOCK_OFF else 0.0

    def stretch(self, now: float) -> float:
        """Return by which factor the month's data slow the cadences; infinity: none are left."""
        return self.state.usage.stretch(self.budget, self.targets_per_day(now), now)

    @property
    def budget(self) -> float:
        """The bytes of a month."""
        return self.config.limits.month_megabytes * MEGABYTE

    def targets_per_day(self, now: float) -> float:
        """Return how many measurements the cadences make in a usual day, suspicions aside."""
        sizes = {"all": len(self.watchlist.targets), "watched": len(self.watchlist.watched)}
        return sum(
            sizes[kind] * rounds_a_day(cadence, now) for kind, cadence in self.cadences().items()
        )

    def affords(self, targets: int, now: float) -> bool:
        return self.state.usage.affords(self.budget, targets, now)

    def last(self, kind: Kind) -> float | None:
        """Return when the latest round of a kind started; one over all targets serves for both."""
        known = [self.state.last[name] for name in {kind, "all"} if name in self.state.last]
        return max(map(utc_seconds, known), default=None)

    # --- what happened -------------------------------------------------------------------------

    def begins(self, kind: Kind, now: float) -> None:
        """A round begins: should the machine fail in its midst, it is not begun again at once."""
        self._before = self.state.last.get(kind)
        if kind != "suspects":
            self.state.last[kind] = utc_text(now)

    def went_well(self) -> None:
        """The round was made: the next one of its kind has a slot of its own."""
        self.not_before, self._patience = -math.inf, FIRST_PATIENCE

    def went_wrong(self, kind: Kind, now: float) -> float:
        """Nothing could be measured: wait, longer each time; return until when."""
        if self._before is not None:
            self.state.last[kind] = self._before
        else:
            self.state.last.pop(kind, None)
        self.not_before = now + self._patience
        self._patience = min(2 * self._patience, MOST_PATIENCE)
        return self.not_before

    def clock_moved(self, seconds: float) -> None:
        """Keep what is past as long ago as it was, when the clock was set back.

        Forward it goes by a suspend too. What was measured of its offset only holds on after that:
        set back, it is off by so much less; set forward to the right time, it is off no more.
        """
        off = self.state.clock_offset
        if off is not None and (seconds < 0 or abs(off - seconds) < CLOCK_OFF):
            self.state.clock_offset = off - seconds
        if seconds >= 0:
            return  # forward: a suspend, or a clock set right; both only make things late
        self.state.last = {
            kind: utc_text(utc_seconds(at) + seconds) for kind, at in self.state.last.items()
        }
        self.suspects.shift(seconds)
        self.not_before += seconds


def rounds_a_day(cadence: Cadence, now: float) -> float:
    """Return how many rounds a cadence makes in a day, a fraction for cadences of days."""
    if cadence.every > DAY:
        return DAY / cadence.every
    day: date = datetime.fromtimestamp(now, cadence.zone).date()
    return len(slots_of(day, cadence))
