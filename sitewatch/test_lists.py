"""Citizen Lab's test lists as rows for the targets file: converted, and what is left out named."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import date
from ipaddress import ip_address
from pathlib import Path

import msgspec

from probes.targets import CATEGORIES, COLUMNS, Target, TargetError, host_of, normal_form
from reports.text import cell

LICENCE = (
    "Citizen Lab's test lists are under CC BY-NC-SA 4.0: name Citizen Lab as their source, use "
    "them for no commercial purpose, and pass them on, changed or not, under the same licence."
)

# The codes that were in use until 2017, by the codes that replaced them (the lists' own legend of
# new category codes, column "Replaces old code(s)").
OLD_CODES: dict[str, str] = {
    "FEXP": "NEWS",
    "POLT": "POLR",
    "MINR": "HUMR",
    "WOMR": "HUMR",
    "FREL": "GOVT",
    "MINF": "REL",
    "DEV": "ECON",
    "HAL": "CULTR",
    "GAYL": "LGBT",
    "P2P": "FILE",
    "BLGSERV": "HOST",
    "VOIP": "COMT",
    "EMAIL": "COMT",
    "TRNS": "COMT",
}
# Names that no public resolver knows (RFC 6761, 7686, 9476 and the like), and country codes that
# were taken out of the root when their country's code was.
_SPECIAL = frozenset(["onion", "i2p", "local", "localhost", "internal", "home", "lan", "alt"])
_NOWHERE = _SPECIAL | {"exit", "bit", "test", "invalid", "example"}
_RETIRED = frozenset(["yu", "an", "tp", "zr", "cs", "dd", "bu"])
_LARGEST = 32 << 20
_NEEDED = ("url", "category_code")


class ListError(Exception):
    """A file that is no test list; the message is one line that names it."""


class Left(msgspec.Struct, frozen=True):
    """A row that does not become a target, and why."""

    line: int
    url: str
    reason: str


class Converted(msgspec.Struct, kw_only=True):
    """What a list became. `old_codes` counts the rows whose code was replaced, by old code."""

    targets: list[Target] = []
    left_out: list[Left] = []
    old_codes: Counter[str] = msgspec.field(default_factory=Counter)
    redated: int = 0  # rows without a proper date, which got today's
    other_categories: int = 0  # rows that were not asked for


def convert(
    path: Path, *, categories: Collection[str], known: Iterable[str], today: str
) -> Converted:
    """Return the list's rows as targets.

    Rows in none of `categories` (new codes; empty means all) are counted only; URLs in `known` are
    duplicates. `today` stands in for dates that are none. Raises ListError where the file cannot
    be read or has not the lists' columns.
    """
    done = Converted()
    seen = dict.fromkeys(known, "in the targets file already")
    for line, row in _rows(path):
        code = row["category_code"].strip().upper()
        category = OLD_CODES.get(code, code)
        if category not in CATEGORIES:
            done.left_out.append(Left(line, row["url"], f"unknown category {code[:20]!r}"))
            continue
        if categories and category not in categories:
            done.other_categories += 1
            continue
        try:
            url = _living(row["url"].strip())
        except TargetError as error:
            done.left_out.append(Left(line, row["url"], str(error)))
            continue
        if url in seen:
            done.left_out.append(Left(line, row["url"], seen[url]))
            continue
        seen[url] = f"the same as in line {line}"
        done.old_codes.update([code] if code in OLD_CODES else [])
        done.targets.append(_target(url, category, row, today, done))
    return done


def as_rows(targets: Iterable[Target]) -> str:
    """Return targets as lines of the targets file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for t in targets:
        writer.writerow([t.url, t.category, t.description, t.date_added, t.source, t.notes])
    return text.getvalue()


def _rows(path: Path) -> Iterable[tuple[int, dict[str, str]]]:
    """Yield line and columns of each row, whatever the order of the columns."""
    content = _text(path)
    # Since 2023 notes may be JSON, and then single quotes stand around them.
    quote = "'" if ",'{" in content else '"'
    reader = csv.reader(io.StringIO(content, newline=""), quotechar=quote)
    before = 0
    header: list[str] = []
    try:
        for row in reader:
            line, before = before + 1, reader.line_num
            if not header:
                header = [name.strip().lower() for name in row]
                if missing := [name for name in _NEEDED if name not in header]:
                    raise ListError(f"{path}, line {line}: no column {missing[0]}")
            elif any(row):
                cells = dict(zip(header, [*row, *[""] * len(header)], strict=False))
                yield line, {name: cells.get(name, "") for name in COLUMNS}
    except csv.Error as error:
        raise ListError(f"{path}, line {before + 1}: not a CSV row: {error}") from error
    if not header:
        raise ListError(f"{path}: the file is empty")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ListError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise ListError(f"{path}: larger than {_LARGEST} bytes, no test list is")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ListError(f"{path}, line {line}: not UTF-8") from error


def _living(url: str) -> str:
    """Return the URL in normal form; TargetError for forms under which nothing can be reached."""
    normal = normal_form(url)
    host = host_of(normal)
    last = host.rpartition(".")[2]
    try:
        if not ip_address(host).is_global:
            raise TargetError("an address that is no public site's")
    except ValueError:
        if "." not in host:
            raise TargetError("a host without a domain") from None
        if last in _NOWHERE:
            raise TargetError(f"no public name ends in .{last}") from None
        if last in _RETIRED:
            raise TargetError(f".{last} was taken out of the root") from None
    return normal


def _target(url: str, category: str, row: dict[str, str], today: str, done: Converted) -> Target:
    added = row["date_added"].strip()
    if not _is_date(added):
        added = today
        done.redated += 1
    return Target(
        url=url,
        host=host_of(url),
        category=category,
        description=CATEGORIES[category],
        date_added=added,
        source=cell(row["source"]),
        notes=cell(_notes(row["notes"])),
    )


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _notes(text: str) -> str:
    """Return the notes' words where they are wrapped in JSON."""
    if not text.startswith("{"):
        return text
    try:
        inner = json.loads(text).get("notes")
    except (ValueError, AttributeError, RecursionError):
        return text
    return inner if isinstance(inner, str) else text
