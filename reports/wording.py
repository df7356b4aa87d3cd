"""Wording: times, spans, counts and lists as people read them, in the language of a report.

Every sentence is one message with places to fill in, so that a translator may turn it round.
Countries, cities and other names stand in it uninflected.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from reports.catalogue import N_, Catalogue
from reports.places import Place, moment, place

_DAYS = (
    N_("{day} January"),
    N_("{day} February"),
    N_("{day} March"),
    N_("{day} April"),
    N_("{day} May"),
    N_("{day} June"),
    N_("{day} July"),
    N_("{day} August"),
    N_("{day} September"),
    N_("{day} October"),
    N_("{day} November"),
    N_("{day} December"),
)
_SHORT_DAYS = (
    N_("{day} Jan"),
    N_("{day} Feb"),
    N_("{day} Mar"),
    N_("{day} Apr"),
    N_("{day} May"),
    N_("{day} Jun"),
    N_("{day} Jul"),
    N_("{day} Aug"),
    N_("{day} Sep"),
    N_("{day} Oct"),
    N_("{day} Nov"),
    N_("{day} Dec"),
)


class Words:
    """Says things in one language of `reports.catalogue.LANGUAGES`."""

    def __init__(self, code: str = "en") -> None:
        self.code = code
        self._catalogue = Catalogue("reports", code)

    @property
    def is_draft(self) -> bool:
        return self._catalogue.is_draft

    @property
    def reviewed_by(self) -> str:
        return self._catalogue.reviewed_by

    def text(self, message: str, /, **values: Any) -> str:
        """Return a message filled in."""
        return self._catalogue.text(message).format(**values)

    def plural(self, one: str, many: str, number: int, /, **values: Any) -> str:
        """Return the message that goes with `number`, which stands in it as {n}."""
        text = self._catalogue.plural(one, many, number)
        return text.format(n=self.number(number), **values)

    def number(self, number: int) -> str:
        """Return "1,200", in other languages than English with a space."""
        return f"{number:,}" if self.code == "en" else f"{number:,}".replace(",", "\u00a0")

    # --- times -----------------------------------------------------------------------------

    def day(self, when: datetime, *, year: bool = False) -> str:
        """Return "19 June" or "19 June 2017"."""
        date = self.text(_DAYS[when.month - 1], day=when.day)
        return self.text("{date} {year}", date=date, year=when.year) if year else date

    def short_day(self, when: datetime) -> str:
        """Return "19 Jun"."""
        return self.text(_SHORT_DAYS[when.month - 1], day=when.day)

    def days(self, since: float, until: float) -> str:
        """Return the days from one moment up to another, "12 June to 10 July 2017"."""
        first, last = moment(since), moment(until - 1)
        if first.date() == last.date():
            return self.day(first, year=True)
        begin = self.day(first, year=first.year != last.year)
        return self.text("{first} to {last}", first=begin, last=self.day(last, year=True))

    def stamp(self, seconds: float, *, year: bool = False) -> str:
        """Return "19 June 15:10 UTC"."""
        when = moment(seconds)
        return self.text("{date} {time} UTC", date=self.day(when, year=year), time=clock(when))

    def stamp_with_local(self, seconds: float, where: Place, *, year: bool = False) -> str:
        """Return "19 June 15:10 UTC (21:10 in Astana)", without local time where there is none."""
        local = where.local(seconds)
        text = self.stamp(seconds, year=year)
        if local is None:
            return text
        here = clock(local)
        if local.date() != moment(seconds).date():
            here = self._moment(local)
        return self.text("{utc} ({local} in {city})", utc=text, local=here, city=self.city(where))

    def between(self, earliest: float, latest: float, where: Place, *, year: bool = False) -> str:
        """Return a bracket: "19 June between 15:10 and 15:40 UTC (21:10–21:40 in Astana)"."""
        first, second = moment(earliest), moment(latest)
        if first.date() == second.date():
            text = self.text(
                "{date} between {first} and {last} UTC",
                date=self.day(first, year=year),
                first=clock(first),
                last=clock(second),
            )
        else:
            text = self.text(
                "between {first} and {last} UTC",
                first=self._moment(first),
                last=self._moment(second, year=year),
            )
        local_first, local_second = where.local(earliest), where.local(latest)
        if local_first is None or local_second is None:
            return text
        local = self._local_bracket(local_first, local_second, first)
        return self.text("{utc} ({local} in {city})", utc=text, local=local, city=self.city(where))

    def _local_bracket(self, first: datetime, second: datetime, utc: datetime) -> str:
        if first.date() != second.date():
            return f"{self._moment(first)} – {self._moment(second)}"
        hours = f"{clock(first)}–{clock(second)}"
        return hours if first.date() == utc.date() else f"{self.day(first)} {hours}"

    def _moment(self, when: datetime, *, year: bool = False) -> str:
        return f"{self.day(when, year=year)} {clock(when)}"

    def duration(self, seconds: float) -> str:
        """Return "15 days 15 hours", "3 hours 20 minutes" or "25 minutes"."""
        minutes = max(0, round(seconds / 60))
        days, hours = divmod(minutes // 60, 24)
        if days:
            return self._parts(self._days(days), self._hours(hours) if hours else "")
        if hours:
            left = minutes % 60
            return self._parts(self._hours(hours), self._minutes(left) if left else "")
        return self._minutes(minutes)

    def _days(self, number: int) -> str:
        return self.plural("{n} day", "{n} days", number)

    def _hours(self, number: int) -> str:
        return self.plural("{n} hour", "{n} hours", number)

    def _minutes(self, number: int) -> str:
        return self.plural("{n} minute", "{n} minutes", number)

    def _parts(self, first: str, second: str) -> str:
        return f"{first} {second}" if second else first

    # --- names and lists -------------------------------------------------------------------

    def listed(self, items: Sequence[str], most: int = 6) -> str:
        """Return "a, b and c"; what goes beyond `most` is counted."""
        shown = list(items[:most])
        if len(items) > most:
            shown.append(self.plural("{n} other", "{n} others", len(items) - most))
        if len(shown) < 2:
            return "".join(shown)
        return self.text("{first} and {last}", first=", ".join(shown[:-1]), last=shown[-1])

    def country(self, code: str | None) -> str:
        """Return the name of a country, as it stands in a dictionary."""
        if code is None:
            return self.text("an unknown country")
        known = place(code).name if self.code == "en" else code
        return known if known != code else self._countries.get(code, code)

    @cached_property
    def _countries(self) -> dict[str, str]:
        from babel import Locale  # large, and the daemon gets by without

        return dict(Locale.parse(self.code).territories)

    def city(self, where: Place) -> str:
        """Return the name of the city by whose time a country is known."""
        return self.text(where.city) if where.city else ""


def clock(when: datetime) -> str:
    """Return "15:10"."""
    return f"{when:%H:%M}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 network" or "2 networks", in English."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def capital(text: str) -> str:
    """Return a sentence with its first letter in upper case."""
    return text[:1].upper() + text[1:]


# The terminal, alerts and the reasons that are kept with a verdict speak English.
ENGLISH = Words()
day, listed = ENGLISH.day, ENGLISH.listed
