"""A set of ids that may be larger than the memory: what was met already in a long stream."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

_IN_LIST = 500


class Seen:
    """Ids kept in a temporary file that nobody else can see; a context manager."""

    def __init__(self) -> None:
        # An empty name is SQLite's own: a file without one, removed when it is closed.
        self._kept = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._kept.execute("PRAGMA journal_mode = OFF")
        self._kept.execute("PRAGMA synchronous = OFF")
        self._kept.execute("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def add(self, id: str) -> bool:
        """Note an id; return whether it is new."""
        return self._kept.execute("INSERT OR IGNORE INTO seen VALUES (?)", (id,)).rowcount == 1

    def __contains__(self, id: str) -> bool:
        return self._kept.execute("SELECT 1 FROM seen WHERE id = ?", (id,)).fetchone() is not None

    def missing(self, ids: Collection[str]) -> int:
        """Return how many of the ids were not met."""
        ordered, met = list(set(ids)), 0
        for start in range(0, len(ordered), _IN_LIST):
            chunk = ordered[start : start + _IN_LIST]
            marks = ",".join("?" * len(chunk))
            query = f"SELECT count(*) FROM seen WHERE id IN ({marks})"
            met += self._kept.execute(query, chunk).fetchone()[0]
        return len(ordered) - met
