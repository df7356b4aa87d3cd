"""The folder of a report: all of its files are put there, or none and nothing is changed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TypeAlias

from reports.errors import ReportError

# A file: its bytes, or who writes them.
Content: TypeAlias = bytes | Callable[[BinaryIO], None]


def write_together(folder: Path, files: Mapping[str, Content]) -> list[Path]:
    """Put files into `folder`, which is made if it is not there; return their paths.

    All of them are on the disk, under other names, before the first takes its place, so that a full
    disk changes nothing. Raises ReportError.
    """
    made = _missing(folder)
    waiting: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in files:
            if (folder / name).is_dir():
                raise IsADirectoryError(0, f"{name} is a folder")
        for name, content in files.items():
            waiting[folder / name] = _written(folder, name, content)
        for path in [*waiting]:
            os.replace(waiting[path], path)
            del waiting[path]
    except OSError as error:
        raise ReportError(f"{folder}: {error.strerror or 'cannot be written'}") from error
    finally:
        for temporary in waiting.values():
            temporary.unlink(missing_ok=True)
        _remove_empty(made)
    return [folder / name for name in files]


def _written(folder: Path, name: str, content: Content) -> Path:
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return Path(temporary)


def _missing(folder: Path) -> list[Path]:
    """Return the folders that will have to be made, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _remove_empty(made: list[Path]) -> None:
    for path in made:
        try:
            path.rmdir()
        except OSError:  # it is in use, or was never made
            return
