"""Importing OONI's files: line by line into the store, a few measurements at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path

import msgspec

from probes.certificates import describe
from probes.targets import TargetError, normal_form
from sitewatch.console import Failed, safe, say
from storage.bulk import Added, Item
from storage.errors import StoreError
from storage.ooni_document import BrokenError, NotOursError, Tools
from storage.ooni_import import SOURCE, Taken, take
from storage.ooni_lines import Line, lines, looks_like_json
from storage.records import Vantage
from storage.store import Store

MOST_PROBLEMS = 20  # named one by one; the others are counted
_PAGE = 100  # records that are added at once
_PAGE_BYTES = 8 << 20  # and the bytes of the lines that they came from
_REMEMBERED = 4096  # vantages and rounds; the lines of one report stand close together


class OoniImported(msgspec.Struct, kw_only=True):
    """What came of one file. `problems` names the first broken lines, `broken` counts them all."""

    new: int = 0
    known: int = 0
    broken: int = 0
    other_tests: Counter[str] = msgspec.field(default_factory=Counter)
    problems: list[str] = []

    def add_problem(self, line: int, problem: str) -> None:
        self.broken += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(f"line {line}: {problem}")


def is_ooni_file(path: Path) -> bool:
    """Tell whether a file is JSON, plain or packed, as OONI's are. StoreError if unreadable."""
    return looks_like_json(path)


def import_ooni(store: Store, path: Path) -> OoniImported:
    """Import a file; lines that are no measurement, and other tests, are counted and passed over.

    Raises StoreError where the file cannot be read, or where it holds simulated measurements and
    the database real ones, or the other way round.
    """
    return _Import(store).run(lines(path), str(path))


class _Page:
    """Some lines' measurements and their rounds, to be added in one go."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.lines: list[int | None] = []  # of each item; None for a round
        self.bytes = 0

    @property
    def is_full(self) -> bool:
        return len(self.items) >= _PAGE or self.bytes >= _PAGE_BYTES


class _Import:
    """One file on its way into the store; two pages of it are held at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tools = Tools(_normal_form, describe)
        self._done = OoniImported()
        self._page = _Page()
        self._under_way: tuple[_Page, Future[list[Added]]] | None = None
        self._kind = store.simulated()
        self._vantage = lru_cache(_REMEMBERED)(self._own_vantage)
        self._kept_rounds: dict[str, None] = {}

    def run(self, found: Iterable[Line], name: str) -> OoniImported:
        for line in found:
            if line.problem is not None:
                self._done.add_problem(line.number, line.problem)
                continue
            try:
                taken = take(line.data, self._tools, self._vantage)
            except NotOursError as error:
                self._done.other_tests[error.test] += 1
            except BrokenError as error:
                self._done.add_problem(line.number, str(error))
            else:
                self._require_kind(taken.measurement.simulated, name)
                self._put(line, taken)
        self._hand_over()
        self._settle()
        return self._done

    def _require_kind(self, simulated: bool, name: str) -> None:
        if self._kind is None:
            self._kind = simulated
        elif self._kind != simulated:
            names = {True: "simulated", False: "real"}
            raise StoreError(
                f"{name}: holds {names[simulated]} measurements, the database "
                f"{names[self._kind]} ones; they never mix"
            )

    def _put(self, line: Line, taken: Taken) -> None:
        if taken.measurement.round not in self._kept_rounds:
            self._page.items.append(Item(taken.round))
            self._page.lines.append(None)
            self._kept_rounds[taken.measurement.round] = None
            if len(self._kept_rounds) > _REMEMBERED:  # it would only be found to be known
                del self._kept_rounds[next(iter(self._kept_rounds))]
        self._page.items.append(Item(taken.measurement, taken.blobs))
        self._page.lines.append(line.number)
        self._page.bytes += len(line.data)
        if self._page.is_full:
            self._hand_over()

    def _hand_over(self) -> None:
        """Have the page added while the next one is read."""
        self._settle()
        if self._page.items:
            self._under_way = self._page, self._store.add_page(self._page.items)
            self._page = _Page()

    def _settle(self) -> None:
        """Wait until what is under way is on the disk, and count it."""
        if self._under_way is None:
            return
        (page, future), self._under_way = self._under_way, None
        for line, added in zip(page.lines, future.result(), strict=True):
            if line is None:
                continue
            if added.refused is not None:
                self._done.add_problem(line, added.refused)
            elif added.new:
                self._done.new += 1
            else:
                self._done.known += 1

    def _own_vantage(self, country: str | None, asn: int | None, network: str | None) -> Vantage:
        return self._store.own_vantage(country=country, asn=asn, network=network, source=SOURCE)


def _normal_form(url: str) -> str:
    try:
        return normal_form(url)
    except TargetError as error:
        raise ValueError(str(error)) from error


def tell_ooni(path: Path, done: OoniImported) -> None:
    """Say what came of a file; Failed if there was no measurement in it at all."""
    name = safe(str(path))
    for problem in done.problems:
        say(f"{name}, {safe(problem)[:300]}")
    if done.broken > len(done.problems):
        say(f"{name}: {done.broken - len(done.problems)} more broken lines")
    for test, count in sorted(done.other_tests.items()):
        say(f"{name}: {count} measurements of the test {safe(test)} passed over")
    say(
        f"{name}: {done.new} measurements added, {done.known} known already, "
        f"{sum(done.other_tests.values())} of other tests, {done.broken} broken lines"
    )
    if not done.new and not done.known:
        raise Failed(f"{path}: no web_connectivity measurement in it")
