"""Rows of a CSV file with named columns: each with its line, or an error that names the place."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path

from reports.errors import ReportError

_FIELD_LIMIT = 10_000  # characters; a longer field is a damaged file


class CellError(Exception):
    """A cell that cannot be read: its column and why."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(column, why)
        self.column, self.why = column, why

    def at(self, path: Path, line: int) -> ReportError:
        """Return the error that names the whole place."""
        return ReportError(f"{path}, line {line}, column {self.column}: {self.why}")


def rows_of(path: Path, required: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows after the header, cells stripped, with the line each starts on.

    Columns may stand in any order, others beside those of `required`; blank lines are left out.
    Raises ReportError naming file and line.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows = _numbered(path, reader)
    _, header = next(rows, (1, []))
    columns = [name.strip().lower() for name in header]
    missing = [name for name in required if name not in columns]
    if missing:
        raise ReportError(f"{path}, line 1: the column {missing[0]} is missing")
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise ReportError(f"{path}, line 1: the column {repeated[0]!a} stands there twice")
    for line, cells in rows:
        if not cells:
            continue
        if len(cells) != len(columns):
            wanted = f"{len(columns)} columns were expected, {len(cells)} found"
            raise ReportError(f"{path}, line {line}: {wanted}")
        yield line, dict(zip(columns, (cell.strip() for cell in cells), strict=True))


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
