"""Importing OONI's files: line by line into the store, a few measurements at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeAlias

import msgspec

from probes.certificates import describe
from probes.targets import TargetError, normal_form
from sitewatch.console import Failed, safe, say
from storage.bulk import Added, Item
from storage.errors import StoreError
from storage.ooni_document import BrokenError, Document, NotOursError, Tools, read_document
from storage.ooni_import import take, vantage_for
from storage.ooni_lines import Line, lines, looks_like_json
from storage.store import Store

MOST_PROBLEMS = 20  # named one by one; the others are counted
_PAGE = 100  # measurements that are added at once
_PAGE_BYTES = 8 << 20  # and the bytes of the lines that they came from
_REMEMBERED = 4096  # rounds; the lines of one report stand close together


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
    """Measurements that are added in one go, each with the number of its line."""

    def __init__(self) -> None:
        self.documents: list[tuple[int, Document]] = []
        self.bytes = 0

    @property
    def is_full(self) -> bool:
        return len(self.documents) >= _PAGE or self.bytes >= _PAGE_BYTES


# Items handed to the store, the line of each (None for a round), and what will come of them.
_UnderWay: TypeAlias = tuple[list[int | None], Future[list[Added]]]


class _Import:
    """One file on its way into the store; two pages of it are held at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tools = Tools(_normal_form, describe)
        self._done = OoniImported()
        self._page = _Page()
        self._under_way: _UnderWay | None = None
        self._kind = store.simulated()
        self._kept_rounds: dict[str, None] = {}

    def run(self, found: Iterable[Line], name: str) -> OoniImported:
        for line in found:
            if line.problem is not None:
                self._done.add_problem(line.number, line.problem)
                continue
            try:
                document = read_document(line.data, self._tools)
            except NotOursError as error:
                self._done.other_tests[error.test] += 1
            except BrokenError as error:
                self._done.add_problem(line.number, str(error))
            else:
                self._require_kind(document.simulated, name)
                self._page.documents.append((line.number, document))
                self._page.bytes += len(line.data)
            if self._page.is_full:
                self._hand_over()
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

    def _hand_over(self) -> None:
        """Have the page added while the next one is read."""
        page, self._page = self._page, _Page()
        # The writer is free then: it also makes the vantages, all of the page in one go.
        self._settle()
        wanted = [vantage_for(document) for _, document in page.documents]
        own = self._store.own_vantages(wanted) if wanted else []
        items: list[Item] = []
        of_line: list[int | None] = []
        for (line, document), vantage in zip(page.documents, own, strict=True):
            try:
                taken = take(document, self._tools, vantage)
            except BrokenError as error:
                self._done.add_problem(line, str(error))
                continue
            if self._is_new_round(taken.measurement.round):
                items.append(Item(taken.round))
                of_line.append(None)
            items.append(Item(taken.measurement, taken.blobs))
            of_line.append(line)
        if items:
            self._under_way = of_line, self._store.add_page(items)

    def _is_new_round(self, id: str) -> bool:
        """Tell whether a round was not handed over lately; adding it again would do no harm."""
        if id in self._kept_rounds:
            return False
        self._kept_rounds[id] = None
        if len(self._kept_rounds) > _REMEMBERED:
            del self._kept_rounds[next(iter(self._kept_rounds))]
        return True

    def _settle(self) -> None:
        """Wait until what is under way is on the disk, and count it."""
        if self._under_way is None:
            return
        (of_line, future), self._under_way = self._under_way, None
        for line, added in zip(of_line, future.result(), strict=True):
            if line is None:
                continue
            if added.refused is not None:
                self._done.add_problem(line, added.refused)
            elif added.new:
                self._done.new += 1
            else:
                self._done.known += 1


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
