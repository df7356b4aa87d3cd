"""Builders of readings for the tests of episodes and reports."""

from __future__ import annotations

from collections.abc import Sequence

from reports.readings import Reading
from storage.records import Status, utc_seconds

HOUR = 3600.0
T0 = utc_seconds("2017-06-19T00:00:00.000000Z")
LETTERS: dict[str, Status] = {
    "o": "accessible",
    "r": "restricted",
    "b": "blocked",
    "s": "inconclusive",
    "i": "inconclusive",
    "d": "down",
}


def reading(
    letter: str,
    hour: float,
    *,
    vantage: str = "aaaa",
    url: str = "https://foreignpolicy.com/",
    asn: int | None = 64496,
    country: str | None = "KZ",
    kind: str = "field",
    certainty: str = "confirmed",
    round: str | None = None,
) -> Reading:
    """Return one reading: o open, r restricted, b blocked, s suspected, i inconclusive, d down."""
    alleged = letter in "bs"
    return Reading(
        id=f"{url}|{vantage}|{hour}|{letter}",
        url=url,
        host=url.split("/")[2],
        seconds=T0 + hour * HOUR,
        vantage=vantage,
        vantage_kind=kind,  # type: ignore[arg-type]
        country=country,
        asn=asn,
        network=f"Network {asn}" if asn else None,
        round=round,
        status=LETTERS[letter],
        layer="tls" if alleged else None,
        technique="timeout" if alleged else None,
        certainty=(certainty if letter == "b" else "suspected") if alleged else None,  # type: ignore[arg-type]
        reason="Only the name decides." if letter == "b" else None,
    )


def history(letters: str, *, start: float = 0, step: float = 2, **how: object) -> list[Reading]:
    """Return readings `step` hours apart, one per letter; a dot is a round without one."""
    return [
        reading(letter, start + step * position, **how)  # type: ignore[arg-type]
        for position, letter in enumerate(letters)
        if letter != "."
    ]


def hours(seconds: float | None) -> float | None:
    """Return seconds since the epoch as hours since `T0`."""
    return None if seconds is None else (seconds - T0) / HOUR


def bracket(earliest: float | None, latest: float | None) -> Sequence[float | None]:
    """Return a bracket in hours since `T0`."""
    return hours(earliest), hours(latest)
