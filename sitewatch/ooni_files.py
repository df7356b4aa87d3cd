"""Importing OONI's files: line by line into the store, a few measurements at a time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path

import msgspec

from probes.certificates import describe
from probes.targets import TargetError, normal_form
from sitewatch.console import Failed, safe, say
from storage.errors import RefusedError, StoreError
from storage.ooni_document import BrokenError, NotOursError, Tools
from storage.ooni_import import SOURCE, Taken, take
from storage.ooni_lines import Line, lines, looks_like_json
from storage.records import Vantage, record_id
from storage.store import Store

MOST_PROBLEMS = 20  # named one by one; the others are counted
_WAITING = 64  # measurements handed to the writer and not yet on the disk
_WAITING_BYTES = 32 << 20  # and the bytes of the lines that they came from
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


def import_ooni(
    store: Store, path: Path, progress: Callable[[OoniImported], None] = lambda _: None
) -> OoniImported:
    """Import a file; lines that are no measurement, and other tests, are counted and passed over.

    Raises StoreError where the file cannot be read, or where it holds simulated measurements and
    the database real ones, or the other way round.
    """
    return _Import(store, progress).run(lines(path), str(path))


class _Import:
    """One file on its way into the store; a few lines of it are held at a time."""

    def __init__(self, store: Store, progress: Callable[[OoniImported], None]) -> None:
        self._store = store
        self._progress = progress
        self._tools = Tools(_normal_form, describe)
        self._done = OoniImported()
        self._waiting: deque[tuple[Line, str, Future[str]]] = deque()
        self._waiting_bytes = 0
        self._waiting_ids: set[str] = set()
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
                self._hand_over(line, taken)
        self._settle(0)
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

    def _hand_over(self, line: Line, taken: Taken) -> None:
        try:
            id = record_id(taken.measurement)
        except (UnicodeEncodeError, ValueError) as error:
            self._done.add_problem(line.number, f"cannot be written ({error})")
            return
        if id in self._waiting_ids or self._store.canonical_bytes(id) is not None:
            self._done.known += 1
            return
        self._keep_round(taken)
        self._waiting.append((line, id, self._store.add(taken.measurement, taken.blobs)))
        self._waiting_ids.add(id)
        self._waiting_bytes += len(line.data)
        while len(self._waiting) > _WAITING or self._waiting_bytes > _WAITING_BYTES:
            self._settle(len(self._waiting) - 1)

    def _keep_round(self, taken: Taken) -> None:
        id = taken.measurement.round
        if id in self._kept_rounds:
            return
        self._store.add(taken.round).result()
        self._kept_rounds[id] = None
        if len(self._kept_rounds) > _REMEMBERED:
            del self._kept_rounds[next(iter(self._kept_rounds))]

    def _settle(self, leave: int) -> None:
        """Wait for measurements to be on the disk until only `leave` of them are under way."""
        while len(self._waiting) > leave:
            line, id, future = self._waiting.popleft()
            self._waiting_ids.discard(id)
            self._waiting_bytes -= len(line.data)
            try:
                future.result()
            except RefusedError as error:
                self._done.add_problem(line.number, str(error))
            else:
                self._done.new += 1
        self._progress(self._done)

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
