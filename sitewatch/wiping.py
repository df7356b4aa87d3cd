"""Wiping: find everything that Sitewatch keeps on this machine, and remove it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sitewatch.config import FILE_NAME as CONFIG_NAME
from sitewatch.config import Config, default_targets_path
from sitewatch.consent import FILE_NAME as CONSENT_NAME
from sitewatch.daemon_lock import beside, running
from sitewatch.pausing import FILE_NAME as PAUSE_NAME

REMAINS = """\
What this cannot remove:
- Flash storage (memory cards, SSDs) keeps copies of deleted data until it overwrites them. Only
  encrypting the disk from the start protects against someone who takes the machine.
- The system's journal, your shell's history and your provider's records.
- Backups and synchronised folders, and what you exported, sent or gave to others.
- The program itself: remove it the way it was installed.\
"""


@dataclass(frozen=True)
class Leaving:
    """One thing that is kept on this machine, and what it is in plain words."""

    path: Path
    what: str


def leavings(config: Config, database: str) -> list[Leaving]:
    """Return every file that exists and is this installation's, the database and keys first."""
    found = [
        *_around_the_database(database),
        *_around_the_configuration(config),
    ]
    unique = {leaving.path: leaving for leaving in reversed(found)}
    return sorted(unique.values(), key=found.index)


def remote_database(database: str) -> bool:
    """Tell whether the database is on a server, where nothing here can remove it."""
    return "://" in database and not database.startswith("sqlite:///")


def daemon_at_work(database: str) -> bool:
    """Tell whether a daemon uses the database; it would write it anew."""
    return running(database) is not None


def remove(found: Sequence[Leaving]) -> list[str]:
    """Remove the files, and folders that are empty then; return a line for each that stayed."""
    stayed = []
    for leaving in found:
        try:
            leaving.path.unlink(missing_ok=True)
        except OSError as error:
            stayed.append(f"{leaving.path}: {error.strerror}")
    for folder in {leaving.path.parent for leaving in found}:
        if folder.name == "sitewatch" and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return stayed


def _around_the_database(database: str) -> Iterator[Leaving]:
    """Yield the database and the files whose names begin with its name: log, keys, lock."""
    first = beside(database, "")
    what = {
        "-wal": "database",
        "-shm": "database",
        ".keys": "private keys",
        ".log": "log",
        ".lock": "lock of the daemon",
    }
    if not first.parent.is_dir():
        return
    for path in sorted(first.parent.iterdir()):
        ending = path.name.removeprefix(first.name)
        ours = path.name.startswith(first.name) and (not ending or ending[0] in ".-")
        if ours and (path.is_file() or path.is_symlink()):
            known = next((w for e, w in what.items() if e and ending.startswith(e)), "")
            yield Leaving(path, "database" if not ending else known or "beside the database")


def _around_the_configuration(config: Config) -> Iterator[Leaving]:
    folder = Path(config.folder)
    named = [
        (folder / CONSENT_NAME, "your consent"),
        (folder / PAUSE_NAME, "marker of a pause"),
        *((half, "half written") for half in _half_written(folder)),
    ]
    if config.alerts.atom:
        named.append((folder / Path(config.alerts.atom).expanduser(), "feed of alerts"))
    targets = config.targets_path()
    if targets != default_targets_path() and targets.parent == folder:
        named.append((targets, "list of watched sites"))
    if config.path is not None:
        named.append((config.path, "configuration"))
    for path, what in named:
        if os.path.lexists(path):
            yield Leaving(path, what)


def _half_written(folder: Path) -> list[Path]:
    """Return what a crash in the midst of writing may have left: a name of ours, random signs."""
    ours = (CONSENT_NAME, PAUSE_NAME, CONFIG_NAME)
    return sorted(half for name in ours for half in folder.glob(f"{name}????????"))
