"""How much data measuring has used, by UTC day, and what that means for the month's budget."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from sitewatch.schedule import month_bounds, stretch
from sitewatch.traffic import bytes_of_record
from storage.records import Measurement, Record, utc_text
from storage.store import Store

# What a target costs before anything was measured: a page of up to 32 KiB and its overhead.
FIRST_GUESS = 50_000
_KEPT_DAYS = 62


class DayUsage(msgspec.Struct):
    """What one UTC day used."""

    bytes: int = 0
    measurements: int = 0


class Usage(msgspec.Struct):
    """Usage by UTC day (YYYY-MM-DD) of this installation's own records."""

    days: dict[str, DayUsage] = {}

    def add(self, record: Record) -> None:
        """Count a record that was made here."""
        day = self.days.setdefault(record.time[:10], DayUsage())
        day.bytes += bytes_of_record(record)
        day.measurements += isinstance(record, Measurement)

    def month(self, at: float) -> DayUsage:
        """Return the sum over the UTC month of `at`."""
        prefix = utc_text(at)[:7]
        days = [usage for day, usage in self.days.items() if day.startswith(prefix)]
        return DayUsage(sum(day.bytes for day in days), sum(day.measurements for day in days))

    def per_target(self) -> float:
        """Return the bytes that one measurement costs, with its share of the round's."""
        count = sum(day.measurements for day in self.days.values())
        # A few dear ones at the start must not decide; the guess counts as ten.
        return (sum(day.bytes for day in self.days.values()) + 10 * FIRST_GUESS) / (count + 10)

    def stretch(self, budget: float, targets_per_day: float, now: float) -> float:
        """Return by which factor cadences must be slowed so that the month's budget lasts."""
        return stretch(self.month(now).bytes, budget, self.per_target() * targets_per_day, now)

    def affords(self, budget: float, targets: int, now: float) -> bool:
        """Tell whether a round of so many targets, twice as dear as usual, fits the budget."""
        return self.month(now).bytes + 2 * self.per_target() * targets <= budget

    def recount(self, store: Store, vantages: Collection[str], since: str, now: float) -> None:
        """Count the days from `since` (YYYY-MM-DD) on anew from what is stored."""
        oldest = utc_text(now - _KEPT_DAYS * 86400)[:10]
        since = max(since, oldest)
        self.days = {day: usage for day, usage in self.days.items() if oldest <= day < since}
        for found in (store.rounds(since=since), store.measurements(since=since)):
            for stored in found:
                if stored.record.vantage.id in vantages:
                    self.add(stored.record)


def first_day_of_month(at: float) -> str:
    """Return the first UTC day of a month as YYYY-MM-DD."""
    return utc_text(month_bounds(at)[0])[:10]
