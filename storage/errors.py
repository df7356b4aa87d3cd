"""Errors of the store: one clear line each, and how a database's own errors become such lines."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError


class StoreError(Exception):
    """Something could not be kept or read; the message is one line that names the file."""


class RefusedError(StoreError):
    """A record or blob that may not enter: malformed, wrong hash, wrong signature, wrong kind."""


# What reading a database can raise: SQLite's own words about damage need not even be text.
DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, UnicodeDecodeError)

_REASONS = (
    ("database or disk is full", "the disk is full; nothing of this write was kept"),
    ("readonly database", "the file or its folder cannot be written to"),
    ("database is locked", "another program keeps the database locked"),
    ("file is not a database", "not a Sitewatch database"),
    ("malformed", "the database is damaged"),
    ("disk I/O error", "the disk cannot be read or written; it may be full or failing"),
    ("unable to open database file", "the file cannot be opened"),
)


def reason_for(error: Exception) -> str:
    """Return why the database or the file system refused, on one line and without SQL."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    text = " ".join(str(cause).split())
    if isinstance(cause, OSError) and cause.strerror:
        text = cause.strerror
    if isinstance(cause, UnicodeDecodeError):
        return "the database is damaged"
    for fragment, reason in _REASONS:
        if fragment in text:
            return f"{reason} ({text})"
    return text or type(cause).__name__


@contextmanager
def named(database: str) -> Iterator[None]:
    """Turn whatever a database raises inside the block into a StoreError naming `database`."""
    try:
        yield
    except RefusedError as error:
        raise RefusedError(f"{database}: {error}") from error
    except (*DATABASE_ERRORS, OSError) as error:
        raise StoreError(f"{database}: {reason_for(error)}") from error
