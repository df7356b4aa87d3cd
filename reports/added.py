"""Added fingerprints: the tables that the user put beside a database, and where they lie."""

from __future__ import annotations

import contextlib
import hashlib
from functools import lru_cache
from pathlib import Path

from reports.errors import ReportError
from reports.fingerprints import Table, own_table, read_table
from storage.store import Store

LARGEST = 16 * 1024 * 1024  # bytes; the field's table has 0.3 MB


def folder_of(database: str) -> Path:
    """Return the folder of the tables that go with a database: what it is judged by, it takes."""
    return Path(f"{database}.fingerprints")


def table_of(store: Store) -> Table:
    """Return our fingerprints and those that were added to this database.

    Raises `ReportError` where an added file does not read any more.
    """
    folder = folder_of(store.name)
    if not folder.is_dir():
        return own_table()
    stamps = [(path, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.csv"))]
    return _table(tuple(stamps))


@lru_cache(maxsize=4)
def _table(stamps: tuple[tuple[Path, int], ...]) -> Table:
    rows, hashed = list(own_table().rows), hashlib.sha256()
    for path, _ in stamps:
        text = read_text(path)
        rows += read_table(text, str(path))
        hashed.update(text.encode())
    return Table(rows, hashed.hexdigest()[:8]) if stamps else own_table()


def add_table(source: Path, database: str) -> int:
    """Check a table, copy it beside the database and return its number of rows.

    Raises `ReportError` naming file, line and column; then nothing is written.
    """
    if "://" in database:
        raise ReportError(f"{source.name}: fingerprints are kept beside a database that is a file")
    if not Path(database).absolute().parent.is_dir():
        raise ReportError(f"{database}: no such folder")
    text = read_text(source)
    rows = sum(1 for _ in read_table(text, str(source)))
    if not rows:
        raise ReportError(f"{source}: holds no fingerprints")
    folder = folder_of(database)
    target = folder / f"{source.stem}.csv"
    part = target.with_suffix(".part")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.write_bytes(text.encode())
        part.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise ReportError(f"{target}: {error.strerror}") from error
    return rows


def read_text(path: Path) -> str:
    """Return a table's text; raises `ReportError` in one line."""
    try:
        if path.stat().st_size > LARGEST:
            raise ReportError(f"{path}: larger than {LARGEST} bytes")
        return path.read_bytes().decode("utf-8-sig")  # patterns may hold line ends of any kind
    except UnicodeDecodeError as error:
        raise ReportError(f"{path}: not UTF-8 text") from error
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from error
