"""Wording: times, spans, counts and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from reports.places import Place, moment

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def day(when: datetime, *, year: bool = False) -> str:
    """Return "19 June" or "19 June 2017"."""
    text = f"{when.day} {MONTHS[when.month - 1]}"
    return f"{text} {when.year}" if year else text


def clock(when: datetime) -> str:
    """Return "15:10"."""
    return f"{when:%H:%M}"


def stamp(seconds: float, *, year: bool = False) -> str:
    """Return "19 June 15:10 UTC"."""
    when = moment(seconds)
    return f"{day(when, year=year)} {clock(when)} UTC"


def stamp_with_local(seconds: float, where: Place, *, year: bool = False) -> str:
    """Return "19 June 15:10 UTC (21:10 in Astana)", without local time where there is none."""
    local = where.local(seconds)
    text = stamp(seconds, year=year)
    if local is None:
        return text
    here = clock(local)
    if local.date() != moment(seconds).date():
        here = f"{day(local)} {here}"
    return f"{text} ({here} in {where.city})"


def between(earliest: float, latest: float, where: Place, *, year: bool = False) -> str:
    """Return a bracket: "19 June between 15:10 and 15:40 UTC (21:10–21:40 in Astana)"."""
    first, second = moment(earliest), moment(latest)
    if first.date() == second.date():
        text = f"{day(first, year=year)} between {clock(first)} and {clock(second)} UTC"
    else:
        text = (
            f"between {day(first)} {clock(first)} and {day(second, year=year)} {clock(second)} UTC"
        )
    local_first, local_second = where.local(earliest), where.local(latest)
    if local_first is None or local_second is None:
        return text
    return f"{text} ({_local_bracket(local_first, local_second, first)} in {where.city})"


def _local_bracket(first: datetime, second: datetime, utc: datetime) -> str:
    if first.date() != second.date():
        return f"{day(first)} {clock(first)} – {day(second)} {clock(second)}"
    hours = f"{clock(first)}–{clock(second)}"
    return hours if first.date() == utc.date() else f"{day(first)} {hours}"


def duration(seconds: float) -> str:
    """Return "15 days 15 hours", "3 hours 20 minutes" or "25 minutes"."""
    minutes = max(0, round(seconds / 60))
    days, hours = divmod(minutes // 60, 24)
    if days:
        parts = [counted(days, "day"), counted(hours, "hour") if hours else ""]
    elif hours:
        left = minutes % 60
        parts = [counted(hours, "hour"), counted(left, "minute") if left else ""]
    else:
        parts = [counted(minutes, "minute")]
    return " ".join(part for part in parts if part)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 network" or "2 networks"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(items: Sequence[str], most: int = 6) -> str:
    """Return "a, b and c"; what goes beyond `most` is counted."""
    shown = list(items[:most])
    if len(items) > most:
        shown.append(f"{len(items) - most} others")
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def capital(text: str) -> str:
    """Return a sentence with its first letter in upper case."""
    return text[:1].upper() + text[1:]
