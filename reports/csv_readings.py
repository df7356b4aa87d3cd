"""Readings out of a CSV file, so that series from other tools can be analysed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import get_args

from reports.attempts import host_of
from reports.errors import ReportError
from reports.readings import Reading
from storage.records import Certainty, Layer, Status, canonical, digest

REQUIRED = ("time", "url", "country", "asn", "status", "layer", "technique")
OPTIONAL = ("certainty", "vantage")
_FIELD_LIMIT = 10_000  # characters; a longer field is a damaged file
_Row = Mapping[str, str]


class _CellError(Exception):
    """A cell that cannot be read: its column and why."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(column, why)
        self.column, self.why = column, why


def readings_from_csv(path: Path) -> list[Reading]:
    """Return the readings of a CSV file with at least the columns of `REQUIRED`, in any order.

    Without `certainty` a blocked row is taken as `likely`; without `vantage` each country and ASN
    is one vantage. Equal rows are one reading. Other columns are ignored. Raises ReportError
    naming file, line and column.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows = _numbered(path, reader)
    _, header = next(rows, (1, []))
    columns = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ReportError(f"{path}, line 1: the column {missing[0]} is missing")
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise ReportError(f"{path}, line 1: the column {repeated[0]!a} stands there twice")
    readings = {}
    for line, cells in rows:
        if not cells:
            continue
        if len(cells) != len(columns):
            wanted = f"{len(columns)} columns were expected, {len(cells)} found"
            raise ReportError(f"{path}, line {line}: {wanted}")
        try:
            reading = _reading(dict(zip(columns, (cell.strip() for cell in cells), strict=True)))
        except _CellError as error:
            where = f"{path}, line {line}, column {error.column}"
            raise ReportError(f"{where}: {error.why}") from error
        readings[reading.id] = reading
    return list(readings.values())


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror or 'cannot be read'}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ReportError(f"{path}, line {line}: not UTF-8 text") from error


def _numbered(path: Path, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of its first line."""
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ReportError(f"{path}, line {line}: {error}") from error
        if cells is None:
            return
        if any(len(cell) > _FIELD_LIMIT or "\0" in cell for cell in cells):
            raise ReportError(f"{path}, line {line}: a field is too long or holds a NUL")
        yield line, cells
        line = reader.line_num + 1  # type: ignore[attr-defined]


def _reading(row: _Row) -> Reading:
    status: Status = _one_of(row, "status", get_args(Status))  # type: ignore[assignment]
    alleged = status in ("blocked", "inconclusive")
    certainty = _optional(row, "certainty", get_args(Certainty))
    if status == "blocked" and certainty is None:
        certainty = "likely"
    if status == "blocked" and certainty == "suspected":
        raise _CellError("certainty", "a blocked row needs likely or confirmed")
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
        raise _CellError(column, f"{_shown(row[column])} is none of {choice}")
    return row[column]


def _optional(row: _Row, column: str, allowed: tuple[str, ...]) -> str | None:
    return _one_of(row, column, allowed) if row.get(column) else None


def _layer(row: _Row) -> Layer | None:
    return _optional(row, "layer", get_args(Layer))  # type: ignore[return-value]


def _seconds(row: _Row) -> float:
    try:
        moment = datetime.fromisoformat(row["time"])
    except ValueError as error:
        raise _CellError("time", f"{_shown(row['time'])} is no ISO 8601 time") from error
    if moment.tzinfo is None:
        raise _CellError("time", f"{_shown(row['time'])} has no time zone; write …Z for UTC")
    try:
        return moment.timestamp()
    except (OverflowError, ValueError) as error:
        raise _CellError("time", f"{_shown(row['time'])} lies outside the calendar") from error


def _url(row: _Row) -> str:
    url = row["url"]
    if not url.lower().startswith(("http://", "https://")) or not host_of(url):
        raise _CellError("url", f"{_shown(url)} is no http or https URL")
    return url


def _country(row: _Row) -> str | None:
    code = row["country"].upper()
    if code and not (len(code) == 2 and code.isascii() and code.isalpha()):
        raise _CellError("country", f"{_shown(row['country'])} is no two-letter code")
    return code or None


def _asn(row: _Row) -> int | None:
    number = row["asn"].upper().removeprefix("AS")
    if not number:
        return None
    if not (number.isascii() and number.isdigit()) or not 0 < int(number) < 2**32:
        raise _CellError("asn", f"{_shown(row['asn'])} is no AS number")
    return int(number)


def _shown(value: str) -> str:
    """A hostile cell, short and without control characters."""
    return ascii(value if len(value) <= 60 else value[:60] + "…")
