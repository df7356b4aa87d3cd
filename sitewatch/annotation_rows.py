"""Annotations out of a CSV file: every row, or an error that names file, line and column."""

from __future__ import annotations

from pathlib import Path

from probes.targets import TargetError, normal_form
from reports.csv_rows import CellError, rows_of
from reports.errors import ReportError
from storage.annotations import Annotation, AnnotationError, require_sound

REQUIRED = ("date", "text", "source")
OPTIONAL = ("time", "country", "target")


def annotations_from_csv(path: Path) -> list[Annotation]:
    """Return the annotations of a CSV file with the columns of `REQUIRED`, in any order.

    Other columns than these and those of `OPTIONAL` are refused, so that a misspelt one is not
    passed over. Raises ReportError.
    """
    found = []
    for line, row in rows_of(path, REQUIRED):
        try:
            if unknown := sorted(row.keys() - {*REQUIRED, *OPTIONAL}):
                raise CellError(ascii(unknown[0][:40]), "no column that an annotation has")
            found.append(_annotation(row))
        except CellError as error:
            raise error.at(path, line) from error
    if not found:
        raise ReportError(f"{path}, line 2: there is no annotation in it")
    return found


def _target(url: str) -> str:
    try:
        return normal_form(url)
    except TargetError as error:
        raise AnnotationError("target", str(error)) from error


def _annotation(row: dict[str, str]) -> Annotation:
    try:
        target = row.get("target")
        annotation = Annotation(
            date=row["date"],
            text=row["text"],
            source=row["source"],
            time=row.get("time") or None,
            country=row.get("country", "").upper() or None,
            target=_target(target) if target else None,
        )
        require_sound(annotation)
    except AnnotationError as error:
        raise CellError(error.field, error.problem) from error
    return annotation
