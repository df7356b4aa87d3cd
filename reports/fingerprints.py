"""Fingerprints: known block pages, redirect targets, forged addresses and issuers, and a matcher.

A table is a CSV file in the columns of the field's public ones (ooni/blocking-fingerprints). Ours,
fingerprints.csv beside this file, holds a few well-known public facts; users add tables of others
with `sitewatch data add-fingerprints`, under whatever licence those have. Two places of our own are
known besides: "title" and "tls.issuer".
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from importlib import resources
from io import StringIO
from ipaddress import ip_address
from typing import Literal, TypeAlias, get_args

import msgspec

from reports.errors import ReportError

Scope: TypeAlias = Literal["nat", "isp", "prod", "inst", "vbw", "fp", "injb", "prov"]
PatternType: TypeAlias = Literal["full", "prefix", "contains", "regexp"]

COLUMNS = ("name", "scope", "location_found", "pattern_type", "pattern", "confidence_no_fp")
_PLACES = ("dns", "body", "title", "tls.issuer")
_LONGEST_PATTERN = 4096
_SEARCHED = 65_536  # bytes of a body; patterns of the public tables stand near its beginning
# Shorter ones occur by chance ("BUSY" is in the public tables).
_SHORT = {"contains": 16, "prefix": 10, "regexp": 16, "full": 4}


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `confidence` is 0 to 10, that it is not found on innocent pages."""

    name: str
    scope: Scope
    place: str  # "dns", "body", "title", "tls.issuer" or "header.NAME"
    pattern_type: PatternType
    pattern: str
    confidence: int
    countries: frozenset[str]
    source: str = ""
    notes: str = ""

    @property
    def is_innocent(self) -> bool:
        """A page that looks like a block page and is none: evidence against.

        By the same measure as other rows: what occurs by chance speaks for nothing.
        """
        return self.scope == "fp" and self._stands_for_itself

    @property
    def is_trusted(self) -> bool:
        """Does it stand for itself? "vbw" rows are vague by their scope."""
        return self.scope not in ("vbw", "fp") and self._stands_for_itself

    @property
    def _stands_for_itself(self) -> bool:
        """Is it long and sure enough?"""
        shortest = 0 if self.place == "dns" else _SHORT[self.pattern_type]
        return self.confidence >= 5 and len(self.pattern.strip()) >= shortest

    def is_artefact_in(self, country: str | None) -> bool:
        """Is it a state's or a provider's own, known from this very country?

        What a product or an institution shows can be the volunteer's own network's.
        """
        public = self.scope in ("nat", "isp", "prov", "injb")
        return self.is_trusted and public and country in self.countries


class Table:
    """Fingerprints, ready to be matched."""

    def __init__(self, rows: Iterable[Fingerprint], version: str = "") -> None:
        self.rows = tuple(rows)
        self.version = version  # "" of our own alone; otherwise a short hash of what was added
        self._by_place: dict[str, list[Fingerprint]] = {}
        for row in self.rows:
            self._by_place.setdefault(row.place, []).append(row)
        self._addresses: dict[str, list[Fingerprint]] = {}
        for row in self._by_place.get("dns", []):
            if row.pattern_type == "full":
                self._addresses.setdefault(_address(row.pattern), []).append(row)
        self._answers = [r for r in self._by_place.get("dns", []) if r.pattern_type != "full"]

    @cached_property
    def wants_bodies(self) -> bool:
        return "body" in self._by_place

    def of_address(self, address: str) -> list[Fingerprint]:
        """Return what is known of an address, or of a further name, that a resolver gave."""
        text = _address(address)
        return [*self._addresses.get(text, []), *(r for r in self._answers if _matches(r, text))]

    def of_text(self, place: str, text: str) -> list[Fingerprint]:
        """Return what is known of a title, an issuer or a body."""
        return [row for row in self._by_place.get(place, []) if _matches(row, text)]

    def of_headers(self, headers: Iterable[tuple[str, str]]) -> list[Fingerprint]:
        """Return what is known of a page's headers."""
        return [
            row
            for key, value in headers
            for row in self._by_place.get(f"header.{key.lower()}", [])
            if _matches(row, value)
        ]


def read_table(text: str, label: str) -> Iterator[Fingerprint]:
    """Yield the rows of a CSV file; raises `ReportError` naming label, line and column."""
    reader = csv.DictReader(StringIO(text), restkey=_MORE, strict=True)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
        if missing:
            raise ReportError(f"{label}: the first line names no column {missing[0]}")
        for row in reader:
            where = f"{label}: line {reader.line_num}"
            if _MORE in row:
                raise ReportError(f"{where}: more cells than columns")
            yield _fingerprint(row, where)
    except csv.Error as error:
        raise ReportError(f"{label}: line {reader.line_num}: {error}") from error


@lru_cache(maxsize=1)
def own_table() -> Table:
    """Return the table that comes with the program."""
    file = resources.files("reports") / "fingerprints.csv"
    return Table(read_table(file.read_text("utf-8"), "fingerprints.csv"))


def _fingerprint(row: Mapping[str, str | None], where: str) -> Fingerprint:
    def cell(column: str) -> str:
        return (row.get(column) or "").strip()

    scope, kind, place = cell("scope"), cell("pattern_type"), cell("location_found").lower()
    if scope not in get_args(Scope):
        raise ReportError(f"{where}: column scope: {scope!r} is none of {_words(Scope)}")
    if kind not in get_args(PatternType):
        raise ReportError(
            f"{where}: column pattern_type: {kind!r} is none of {_words(PatternType)}"
        )
    if place not in _PLACES and not re.fullmatch(r"header\.[!-~]+", place):
        raise ReportError(f"{where}: column location_found: {place!r} is no known place")
    pattern = row.get("pattern") or ""
    if not pattern.strip() or len(pattern) > _LONGEST_PATTERN:
        raise ReportError(f"{where}: column pattern: empty, or over {_LONGEST_PATTERN} signs")
    if not re.fullmatch(r"[0-9]|10", cell("confidence_no_fp")):
        raise ReportError(f"{where}: column confidence_no_fp: not a number from 0 to 10")
    if kind == "regexp":
        _checked(pattern, where)
    if place == "dns" and kind == "full" and not _NAME.fullmatch(_address(pattern)):
        raise ReportError(f"{where}: column pattern: {pattern!r} is no address and no host name")
    codes = [code.strip().upper() for code in cell("expected_countries").split(",")]
    odd = next((code for code in codes if code and not re.fullmatch("[A-Z]{2}", code)), None)
    if odd is not None:
        raise ReportError(
            f"{where}: column expected_countries: {odd!r} is no country's two letters"
        )
    return Fingerprint(
        name=cell("name"),
        scope=msgspec.convert(scope, Scope),
        place=place,
        pattern_type=msgspec.convert(kind, PatternType),
        pattern=pattern,
        confidence=int(cell("confidence_no_fp")),
        countries=frozenset(filter(None, codes)),
        source=cell("source"),
        notes=cell("notes"),
    )


_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
_MORE = "\0"  # key of cells beyond the columns; an unnamed column is one


def _words(type_: object) -> str:
    return ", ".join(get_args(type_))


def _checked(pattern: str, where: str) -> None:
    # A repeated group that repeats within can take for ever on a hostile page.
    if re.search(r"[*+}]\s*\)\s*[*+{]", pattern):
        raise ReportError(f"{where}: column pattern: a repeated group repeats within")
    try:
        _compiled(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ReportError(f"{where}: column pattern: {error}") from error


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what another version of Python may read otherwise
        return re.compile(pattern)


def _matches(row: Fingerprint, text: str) -> bool:
    if row.pattern_type == "full":
        return text == row.pattern
    if row.pattern_type == "prefix":
        return text.startswith(row.pattern)
    if row.pattern_type == "contains":
        return row.pattern in text
    return _compiled(row.pattern).search(text[:_SEARCHED]) is not None


def _address(text: str) -> str:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return text.strip().lower().rstrip(".")  # a further name (CNAME), as Indonesia's are
