"""The targets: watched URLs in their normal form, and the file that lists them.

The file has Citizen Lab's columns: ``url,category_code,category_description,date_added,source,
notes``. A bad row is an error that names file, line and column; nothing is guessed or skipped.
"""

from __future__ import annotations

import csv
import datetime
import io
import ipaddress
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

import idna
import msgspec

COLUMNS = ("url", "category_code", "category_description", "date_added", "source", "notes")

# The categories of Citizen Lab's test lists: code and the description that stands beside it.
CATEGORIES: dict[str, str] = {
    "ALDR": "Alcohol & Drugs",
    "ANON": "Anonymization and circumvention tools",
    "COMM": "E-commerce",
    "COMT": "Communication Tools",
    "CTRL": "Control content",
    "CULTR": "Culture",
    "DATE": "Online Dating",
    "ECON": "Economics",
    "ENV": "Environment",
    "FILE": "File-sharing",
    "GAME": "Gaming",
    "GMB": "Gambling",
    "GOVT": "Government",
    "GRP": "Social Networking",
    "HACK": "Hacking Tools",
    "HATE": "Hate Speech",
    "HOST": "Hosting and Blogging Platforms",
    "HUMR": "Human Rights Issues",
    "IGO": "Intergovernmental Organizations",
    "LGBT": "LGBT",
    "MILX": "Terrorism and Militants",
    "MISC": "Miscellaneous content",
    "MMED": "Media sharing",
    "NEWS": "News Media",
    "POLR": "Political Criticism",
    "PORN": "Pornography",
    "PROV": "Provocative Attire",
    "PUBH": "Public Health",
    "REL": "Religion",
    "SRCH": "Search Engines",
    "XED": "Sex Education",
}

_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\\u2028\u2029\ud800-\udfff]|\s")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# What stays as it is in a path or query; everything else is written as UTF-8 in per cent signs.
_SAFE = "!#$%&'()*+,/:;=?@[]~"


class TargetError(Exception):
    """A text that is not a URL we can watch; the message says why in a few words."""


class TargetsError(Exception):
    """A targets file that cannot be used; the message is one line naming file, line and column."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A watched URL: one row of the targets file, the URL in normal form."""

    url: str
    host: str  # as in the URL: A-label or address, IPv6 without brackets
    category: str  # a key of CATEGORIES
    description: str
    date_added: str  # YYYY-MM-DD
    source: str
    notes: str


# --- the normal form of a URL ------------------------------------------------------------------


def normal_form(url: str) -> str:
    """Return `url` with A-label host, no default port, a path of at least ``/``, no fragment.

    Raises TargetError for anything but an http or https URL without user information.
    """
    parts = _split(url)
    if parts.netloc.startswith("["):
        host = _address(parts.hostname or "", ipaddress.IPv6Address)
    else:
        host = _normal_host(parts.hostname or "")
    port = _port(parts)
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        place += f":{port}"
    path = quote(parts.path or "/", safe=_SAFE)
    query = "?" + quote(parts.query, safe=_SAFE) if parts.query else ""
    return f"{parts.scheme}://{place}{path}{query}"


def host_of(url: str) -> str:
    """Return the host of a URL in normal form, IPv6 without brackets."""
    return urlsplit(url).hostname or ""


def _split(url: str) -> SplitResult:
    # urlsplit silently drops tabs and line ends, so look before it does.
    if _FORBIDDEN.search(url):
        raise TargetError("not a URL (it holds a space, a control character or a backslash)")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise TargetError("not a URL") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise TargetError("not a URL that starts with http:// or https://")
    if "@" in parts.netloc:
        raise TargetError("a user name or password stands in the URL")
    return parts


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError as error:
        raise TargetError("not a port number between 1 and 65535") from error
    if port == 0:
        raise TargetError("not a port number between 1 and 65535")
    return port


def _normal_host(host: str) -> str:
    if not host:
        raise TargetError("a URL without a host")
    name = _ascii_name(host).removesuffix(".")
    labels = name.split(".")
    # Browsers read a host whose last label is a number as an address, in many odd notations.
    if labels[-1].isdigit() or re.fullmatch(r"0x[0-9a-f]*", labels[-1]):
        return _address(name, ipaddress.IPv4Address)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise TargetError(f"not a host name: {host[:80]!r}")
    return name


def _ascii_name(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise TargetError(f"not a host name: {host[:80]!r}") from error


def _address(text: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> str:
    try:
        address = kind(text)
    except ValueError as error:
        raise TargetError(f"not an address: {text[:80]!r}") from error
    if getattr(address, "scope_id", None):
        raise TargetError("an address with a zone works on this machine only")
    return str(address)


# --- the file ----------------------------------------------------------------------------------


class _BadRow(Exception):
    """What is wrong with a row, and in which column; the caller knows file and line."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(problem)
        self.column = column


def load_targets(path: Path, *, skip: Collection[str] = ()) -> list[Target]:
    """Return the targets of the file at `path` in its order, without the categories in `skip`.

    Rows of skipped categories are checked all the same. Raises TargetsError with one line that
    names file, line and column.
    """
    targets: list[Target] = []
    lines: dict[str, int] = {}
    for line, row in _rows(path):
        try:
            target = _target(row)
            if target.url in lines:
                raise _BadRow("url", f"the same as in line {lines[target.url]}: {target.url}")
        except _BadRow as error:
            raise _located(path, line, error.column, str(error)) from error
        lines[target.url] = line
        targets.append(target)
    if not targets:
        raise _located(path, 1, COLUMNS[0], "the file lists no target")
    return [target for target in targets if target.category not in skip]


def _located(path: Path, line: int, column: str, problem: str) -> TargetsError:
    return TargetsError(f"{path}, line {line}, column {column}: {problem}")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows after the header with the line each starts on; blank lines are left out."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    before = 0
    try:
        for row in reader:
            line, before = before + 1, reader.line_num
            if line == 1:
                _check_header(path, row)
            elif row:
                yield line, row
    except csv.Error as error:
        raise _located(path, before + 1, COLUMNS[0], f"not a CSV row: {error}") from error


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TargetsError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _located(path, line, _column_at(data, error.start), "not UTF-8") from error
    if "\0" in text:
        at = data.index(b"\0")
        line = data.count(b"\n", 0, at) + 1
        raise _located(path, line, _column_at(data, at), "a NUL character")
    if not text.strip():
        raise _located(path, 1, COLUMNS[0], "the file is empty")
    return text


def _column_at(data: bytes, position: int) -> str:
    """Return the column in which the byte at `position` stands."""
    start = data.rfind(b"\n", 0, position) + 1
    before = data[start:position].decode("utf-8", "replace").replace("\0", "")
    try:
        cells = len(next(csv.reader([before]), []))
    except csv.Error:
        cells = 1  # not even a row; its first column will do
    return COLUMNS[min(max(cells, 1), len(COLUMNS)) - 1]


def _check_header(path: Path, row: list[str]) -> None:
    for column, found in zip(COLUMNS, [*row, *[""] * len(COLUMNS)], strict=False):
        if found != column:
            raise _located(path, 1, column, f"the header must read {','.join(COLUMNS)}")
    if len(row) != len(COLUMNS):
        raise _located(path, 1, COLUMNS[-1], f"the header must read {','.join(COLUMNS)}")


def _target(row: list[str]) -> Target:
    if len(row) != len(COLUMNS):
        column = COLUMNS[min(len(row), len(COLUMNS) - 1)]
        raise _BadRow(column, f"{len(row)} columns instead of {len(COLUMNS)}")
    url, category, description, date, source, notes = row
    try:
        url = normal_form(url)
    except TargetError as error:
        raise _BadRow("url", str(error)) from error
    _check_category(category, description)
    _check_date(date)
    for column, text in (("source", source), ("notes", notes)):
        if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
            raise _BadRow(column, "a line end or control character")
    return Target(
        url=url,
        host=host_of(url),
        category=category,
        description=description,
        date_added=date,
        source=source,
        notes=notes,
    )


def _check_category(category: str, description: str) -> None:
    if category not in CATEGORIES:
        raise _BadRow("category_code", f"unknown category {category[:40]!r}")
    if description != CATEGORIES[category]:
        raise _BadRow(
            "category_description", f"{category} is described as {CATEGORIES[category]!r}"
        )


def _check_date(date: str) -> None:
    try:
        well_formed = datetime.date.fromisoformat(date).isoformat() == date
    except ValueError:
        well_formed = False
    if not well_formed:
        raise _BadRow("date_added", f"not a date like 2026-11-23: {date[:40]!r}")
