"""Files that are handed over: what one holds, and writing one whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from storage import encryption
from storage.bundle_frames import BEGINNING, Writable
from storage.errors import StoreError, reason_for

Kind: TypeAlias = Literal["database", "bundle", "encrypted", "other"]

_DATABASE = b"SQLite format 3\0"


def kind_of_file(path: Path) -> Kind:
    """Return what a file is by how it begins; StoreError if it cannot be read."""
    if not path.is_file():
        raise StoreError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise StoreError(f"{path}: {reason_for(error)}") from error
    if start.startswith(_DATABASE):
        return "database"
    if start.startswith(BEGINNING):
        return "bundle"
    return "encrypted" if start.startswith(encryption.BEGINNING) else "other"


class NamedFile:
    """A file whose errors name it, wherever in the program they surface."""

    def __init__(self, file: Writable, path: Path) -> None:
        self._file = file
        self._path = path

    def write(self, data: bytes, /) -> object:
        try:
            return self._file.write(data)
        except OSError as error:
            raise StoreError(f"{self._path}: {reason_for(error)}") from error


@contextmanager
def written_whole(path: Path) -> Iterator[Writable]:
    """Yield a file with mode 0600 that takes its name only if the block ends well.

    StoreError if something has that name already, and where the file cannot be written.
    """
    if path.exists():
        raise StoreError(f"{path}: exists already; nothing was written")
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield NamedFile(file, path)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"{path}: {reason_for(error)}") from error
