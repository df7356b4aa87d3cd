"""Readings out of a CSV file, so that series from other tools can be analysed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import get_args

from reports.attempts import host_of
from reports.csv_rows import CellError, rows_of
from reports.readings import Reading
from storage.records import Certainty, Layer, Status, canonical, digest

REQUIRED = ("time", "url", "country", "asn", "status", "layer", "technique")
OPTIONAL = ("certainty", "vantage")
_Row = Mapping[str, str]


def readings_from_csv(path: Path) -> list[Reading]:
    """Return the readings of a CSV file with at least the columns of `REQUIRED`, in any order.

    Without `certainty` a blocked row is taken as `likely`; without `vantage` each country and ASN
    is one vantage. Equal rows are one reading. Other columns are ignored. Raises ReportError
    naming file, line and column.
    """
    readings = {}
    for line, row in rows_of(path, REQUIRED):
        try:
            reading = _reading(row)
        except CellError as error:
            raise error.at(path, line) from error
        readings[reading.id] = reading
    return list(readings.values())


def _reading(row: _Row) -> Reading:
    status: Status = _one_of(row, "status", get_args(Status))  # type: ignore[assignment]
    alleged = status in ("blocked", "inconclusive")
    certainty = _optional(row, "certainty", get_args(Certainty))
    if status == "blocked" and certainty is None:
        certainty = "likely"
    if status == "blocked" and certainty == "suspected":
        raise CellError("certainty", "a blocked row needs likely or confirmed")
    country, asn = _country(row), _asn(row)
    url = _url(row)
    return Reading(
        id=digest(canonical(dict(row))),
        url=url,
        host=host_of(url),
        seconds=_seconds(row),
        vantage=row.get("vantage") or f"{country or '??'}-{asn or 'unknown'}",
        country=country,
        asn=asn,
        status=status,
        layer=_layer(row) if alleged else None,
        technique=(row["technique"] or None) if alleged else None,
        certainty=certainty if alleged else None,  # type: ignore[arg-type]
    )


def _one_of(row: _Row, column: str, allowed: tuple[str, ...]) -> str:
    if row[column] not in allowed:
        choice = ", ".join(allowed)
        raise CellError(column, f"{_shown(row[column])} is none of {choice}")
    return row[column]


def _optional(row: _Row, column: str, allowed: tuple[str, ...]) -> str | None:
    return _one_of(row, column, allowed) if row.get(column) else None


def _layer(row: _Row) -> Layer | None:
    return _optional(row, "layer", get_args(Layer))  # type: ignore[return-value]


def _seconds(row: _Row) -> float:
    try:
        moment = datetime.fromisoformat(row["time"])
    except ValueError as error:
        raise CellError("time", f"{_shown(row['time'])} is no ISO 8601 time") from error
    if moment.tzinfo is None:
        raise CellError("time", f"{_shown(row['time'])} has no time zone; write …Z for UTC")
    try:
        return moment.timestamp()
    except (OverflowError, ValueError) as error:
        raise CellError("time", f"{_shown(row['time'])} lies outside the calendar") from error


def _url(row: _Row) -> str:
    url = row["url"]
    if not url.lower().startswith(("http://", "https://")) or not host_of(url):
        raise CellError("url", f"{_shown(url)} is no http or https URL")
    return url


def _country(row: _Row) -> str | None:
    code = row["country"].upper()
    if code and not (len(code) == 2 and code.isascii() and code.isalpha()):
        raise CellError("country", f"{_shown(row['country'])} is no two-letter code")
    return code or None


def _asn(row: _Row) -> int | None:
    number = row["asn"].upper().removeprefix("AS")
    if not number:
        return None
    if not (number.isascii() and number.isdigit()) or not 0 < int(number) < 2**32:
        raise CellError("asn", f"{_shown(row['asn'])} is no AS number")
    return int(number)


def _shown(value: str) -> str:
    """A hostile cell, short and without control characters."""
    return ascii(value if len(value) <= 60 else value[:60] + "…")
