"""Opening the database file: private modes, connections for writing and reading, their settings."""

from __future__ import annotations

import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from storage.errors import StoreError


def database_url(database: str | Path) -> URL:
    """Return the SQLAlchemy URL of a path or of a URL given as text."""
    if isinstance(database, str) and "://" in database:
        try:
            return make_url(database)
        except ArgumentError as error:
            raise StoreError(f"{database}: not a database URL") from error
    return URL.create("sqlite", database=str(database))


def file_of(url: URL) -> Path | None:
    """Return the file of an SQLite URL, None for servers."""
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:":
        raise StoreError("a database needs a file; one in memory would lose what it is given")
    return Path(url.database)


def make_private(file: Path, *, create: bool) -> None:
    """Make the file (mode 0600) and the folders it needs (0700); what exists keeps its mode.

    SQLite gives the files beside it (-wal, -shm) the mode of the database.
    """
    if file.exists():
        return
    if not create:
        raise StoreError(f"{file}: no such file")
    missing = [folder for folder in file.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))


class StillThere:
    """Says in time that the file of an open database was removed or replaced.

    SQLite would go on writing to a file that nobody can find any more.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._identity = _identity(file)

    def __call__(self) -> None:
        """Raise StoreError if the path leads to another file now, or to none."""
        if self._file is not None and _identity(self._file) != self._identity:
            raise StoreError(f"{self._file}: removed or replaced while it was open")


def writing_engine(url: URL, busy_seconds: float) -> Engine:
    """Return the engine of the thread that writes: a transaction holds the write lock at once."""
    return _engine(url, busy_seconds, "BEGIN IMMEDIATE", ["PRAGMA synchronous = FULL"])


def reading_engine(url: URL, busy_seconds: float) -> Engine:
    """Return an engine whose connections cannot change anything."""
    return _engine(url, busy_seconds, "BEGIN", ["PRAGMA query_only = ON"])


def foreign_engine(file: Path, busy_seconds: float) -> Engine:
    """Return an engine over somebody else's SQLite file, which stays exactly as it is.

    Without a -wal file nobody has it open, and `immutable` keeps SQLite from making one.
    """
    mode = "mode=ro" if Path(f"{file}-wal").exists() else "mode=ro&immutable=1"
    uri = f"{file.absolute().as_uri()}?{mode}"
    # A hostile schema must not be able to run functions with side effects.
    settings = ["PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF"]
    engine = create_engine(
        "sqlite://",
        poolclass=QueuePool,
        creator=lambda: sqlite3.connect(
            uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False
        ),
    )
    _prepare(engine, "BEGIN", settings)
    return engine


def use_write_ahead_log(engine: Engine) -> None:
    """Switch the file to WAL mode, where readers and the writer do not wait for each other."""
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            cursor.execute("PRAGMA journal_mode = WAL")
        cursor.close()
    finally:
        connection.close()


def _identity(file: Path | None) -> tuple[int, int] | None:
    try:
        status = os.stat(file) if file is not None else None
    except FileNotFoundError:
        status = None
    return (status.st_dev, status.st_ino) if status is not None else None


def _engine(url: URL, busy_seconds: float, begin: str, settings: list[str]) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url)
    engine = create_engine(url, connect_args={"timeout": busy_seconds})
    _prepare(engine, begin, ["PRAGMA foreign_keys = ON", *settings])
    return engine


def _prepare(engine: Engine, begin: str, settings: list[str]) -> None:
    """Let us, not the driver, say when a transaction begins and how."""

    def on_connect(raw: Any, _record: Any) -> None:
        raw.isolation_level = None
        # Text that is no UTF-8 must show up as damage where it stands, not end a whole reading.
        raw.text_factory = partial(str, encoding="utf-8", errors="replace")
        cursor = raw.cursor()
        for setting in settings:
            cursor.execute(setting)
        cursor.close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
