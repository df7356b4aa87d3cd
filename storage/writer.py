"""The one thread of a process that writes: it takes pieces of work and commits them in batches.

Work that waits is committed together, so that many small records cost one flush to the disk. A
result is handed out only after the commit, so what was reported is on the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine

from storage.errors import RefusedError, StoreError, named

T = TypeVar("T")

_BATCH = 100


class _Job(Generic[T]):
    """One piece of work, what came of it, and whom to tell."""

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.future: Future[T] = Future()
        self._report: Callable[[], None] = lambda: None

    def attempt(self, connection: Connection, name: str) -> None:
        """Do the work; a refusal undoes this job alone, any other error the whole batch."""
        try:
            with connection.begin_nested():
                result = self.work(connection)
        except RefusedError as error:
            self.fail_with(RefusedError(f"{name}: {error}"))
        except StoreError as error:
            self.fail_with(error)
        else:
            self._report = lambda: self.future.set_result(result)

    def fail_with(self, error: Exception) -> None:
        """Take `error` as the outcome."""
        self._report = lambda: self.future.set_exception(error)

    def report(self) -> None:
        """Tell the outcome."""
        self._report()


class Writer:
    """Runs work one piece after another on its own thread, inside write transactions.

    `name` stands in front of errors. `check` is called before each commit and raises StoreError
    where nothing may be committed.
    """

    def __init__(self, engine: Engine, name: str, check: Callable[[], None] = lambda: None) -> None:
        self._engine = engine
        self._name = name
        self._check = check
        self._closed = False
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sitewatch-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Queue `work`; the future holds its result once it is committed, or a StoreError."""
        job = _Job(work)
        with self._lock:
            if self._closed:
                job.future.set_exception(StoreError(f"{self._name}: the store is closed"))
            else:
                self._queue.put(job)
        return job.future

    def close(self) -> None:
        """Commit everything that is queued and end the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            batch, last = self._batch_from(job)
            running = [one for one in batch if one.future.set_running_or_notify_cancel()]
            self._settle(running)
            if last:
                return

    def _batch_from(self, first: _Job[Any]) -> tuple[list[_Job[Any]], bool]:
        """Return the jobs that wait, and whether the end of the queue was met."""
        batch = [first]
        while len(batch) < _BATCH:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _settle(self, batch: list[_Job[Any]]) -> None:
        try:
            with named(self._name), self._engine.begin() as connection:
                for job in batch:
                    job.attempt(connection, self._name)
                self._check()
        except Exception as error:  # reported to whoever handed the work in
            if len(batch) > 1:  # find out whose fault it was; nothing of the batch was kept
                for job in batch:
                    self._settle([job])
                return
            for job in batch:
                job.fail_with(error)
        for job in batch:
            job.report()
