"""Misfortunes of the disk, each in a process of its own: what is said, what is lost, what after.

``python -m tests.torture_disk CASE FOLDER`` expects namespaces of its own without a network, and no
right to pass over permissions; `tests.torture` starts it so. It prints one line of JSON.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from storage.records import utc_text
from storage.store import Store, StoreError
from storage.train_dictionary import Invention

_TMPFS_BYTES = 8_000_000
_READ_ONLY, _REMOUNT = 1, 32  # MS_RDONLY, MS_REMOUNT
_MEASURE = ["measure", "--consent", "--json", "https://watched.example/"]


class Outcome(msgspec.Struct, kw_only=True):
    """What one misfortune did. `problems` is empty where all is as it should be."""

    case: str
    message: str = ""  # the one line that the store gave
    command: str = ""  # the one line that the command gave
    kept: int = 0  # records reported before, all of them there afterwards
    problems: list[str] = []


class Trial:
    """One misfortune: `strike` brings it about, `relieve` takes the cause away."""

    def __init__(self, case: str, folder: Path) -> None:
        self.disk = folder / "disk"
        self.path = self.disk / "x.db"
        self.outcome = Outcome(case=case)
        self._seed = 0

    def run(
        self,
        strike: Callable[[Path], None],
        relieve: Callable[[Path], None],
        *,
        while_open: bool,
        command: bool = True,
    ) -> Outcome:
        """Add records, strike, see what store and command say, relieve, see what is there."""
        mount_memory(self.disk)
        with Store(self.path, busy_seconds=0.5) as store:
            reported = [self.add(store) for _ in range(20)]
            if while_open:
                strike(self.path)
                reported += self._until_refused(store)
                relieve(self.path)
                reported.append(self.add(store))
        strike(self.path)
        if not while_open:
            self._refused_to_open()
        if command:
            self.outcome.command = self.one_line([*_MEASURE, "--database", str(self.path)])
        relieve(self.path)
        self.afterwards(reported)
        return self.outcome

    def add(self, store: Store) -> str:
        """Add one record and return its id once it is kept."""
        self._seed += 1
        vantage = store.own_vantage(country="KZ", asn=64500, network="Invented Telecom")
        record = Invention(self._seed).measurement()
        when = utc_text(1497916800 + self._seed)
        return store.add(msgspec.structs.replace(record, vantage=vantage, time=when)).result()

    def afterwards(self, reported: list[str]) -> None:
        """Open the database as if nothing had been: all there, nothing broken, and it goes on."""
        with Store(self.path) as store:
            self.outcome.problems += store.check()
            kept = {one.id for one in store.measurements()}
            self.outcome.kept = len(kept.intersection(reported))
            if lost := set(reported) - kept:
                self.outcome.problems.append(f"{len(lost)} records that were reported are lost")
            self.add(store)
            self.outcome.problems += store.check()

    def one_line(self, arguments: list[str]) -> str:
        """Run sitewatch and return the one line that it complains with."""
        argv = [sys.executable, "-m", "sitewatch", *arguments]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        lines = ran.stderr.splitlines()
        if ran.returncode != 1 or len(lines) != 1 or "Traceback" in ran.stderr:
            self.outcome.problems.append(f"exit code {ran.returncode}, said {lines[-3:]}")
        return lines[-1] if lines else ""

    def _until_refused(self, store: Store) -> list[str]:
        """Add records until one is refused with one line; return the ids reported until then."""
        added: list[str] = []
        for _ in range(2000):
            try:
                added.append(self.add(store))
            except StoreError as error:
                self._said(error)
                return added
        self.outcome.problems.append("nothing was ever refused")
        return added

    def _refused_to_open(self) -> None:
        try:
            with Store(self.path, busy_seconds=0.5) as store:
                self.add(store)
        except StoreError as error:
            self._said(error)
        else:
            self.outcome.problems.append("nothing was refused")

    def _said(self, error: StoreError) -> None:
        self.outcome.message = str(error)
        if "\n" in str(error) or str(self.path) not in str(error):
            self.outcome.problems.append(f"not one line that names the file: {error}")


# --- the misfortunes -----------------------------------------------------------------------------


def full(trial: Trial) -> Outcome:
    """The disk fills up under an open database."""
    ballast = trial.path.parent / "ballast"

    def fill(path: Path) -> None:
        with ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return  # that is what full means

    return trial.run(fill, lambda path: ballast.unlink(missing_ok=True), while_open=True)


def read_only(trial: Trial) -> Outcome:
    """The disk becomes read-only between two runs."""

    def remount(path: Path, flags: int) -> None:
        mount_memory(path.parent, flags | _REMOUNT)

    return trial.run(
        lambda path: remount(path, _READ_ONLY), lambda path: remount(path, 0), while_open=False
    )


def locked(trial: Trial) -> Outcome:
    """Another program keeps the database locked for longer than anybody waits."""
    held: list[sqlite3.Connection] = []

    def lock(path: Path) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        held.append(other)

    def unlock(path: Path) -> None:
        while held:
            held.pop().close()

    return trial.run(lock, unlock, while_open=True, command=False)


def missing_folder(trial: Trial) -> Outcome:
    """The folder is moved away while the database is open, as by a stick that is pulled out."""
    disk = trial.disk
    trial.path = disk / "inner" / "x.db"
    folder, aside = trial.path.parent, disk / "aside"

    def take_away(path: Path) -> None:
        folder.rename(aside)
        disk.chmod(0o500)  # nobody makes it anew meanwhile

    def bring_back(path: Path) -> None:
        disk.chmod(0o700)
        if aside.exists():
            aside.rename(folder)

    return trial.run(take_away, bring_back, while_open=True)


def wrong_permissions(trial: Trial) -> Outcome:
    """Somebody took away the right to read and write the database."""
    return trial.run(
        lambda path: path.chmod(0o000), lambda path: path.chmod(0o600), while_open=False
    )


def foreign_folder(trial: Trial) -> Outcome:
    """Somebody took away the right to write into the folder, which SQLite needs."""
    return trial.run(
        lambda path: path.parent.chmod(0o500),
        lambda path: path.parent.chmod(0o700),
        while_open=False,
    )


def damaged_page(trial: Trial) -> Outcome:
    """The last page of the file is overwritten with noise."""
    mount_memory(trial.path.parent)
    with Store(trial.path) as store:
        reported = [trial.add(store) for _ in range(40)]
        store.vacuum()  # everything into the file itself
    before = trial.path.read_bytes()
    with trial.path.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(os.urandom(4096))
    try:
        with Store(trial.path) as store:
            found = store.check()
    except StoreError as error:  # the page was one that is needed for opening
        found = [str(error)]
    trial.outcome.message = found[0] if found else ""
    if not found or any("\n" in line for line in found):
        trial.outcome.problems.append("the damage is not named in lines")
    trial.path.write_bytes(before)  # as from a backup
    for beside in ("-wal", "-shm"):
        Path(f"{trial.path}{beside}").unlink(missing_ok=True)
    trial.afterwards(reported)
    return trial.outcome


CASES: dict[str, Callable[[Trial], Outcome]] = {
    "full disk": full,
    "read-only disk": read_only,
    "locked database": locked,
    "missing folder": missing_folder,
    "wrong permissions of the file": wrong_permissions,
    "wrong permissions of the folder": foreign_folder,
    "damaged last page": damaged_page,
}


def mount_memory(folder: Path, flags: int = 0) -> None:
    """Mount a small disk in memory at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={_TMPFS_BYTES},mode=700".encode()
    if libc.mount(b"none", str(folder).encode(), b"tmpfs", flags, options) != 0:
        raise OSError(ctypes.get_errno(), "cannot mount a disk in memory", str(folder))


if __name__ == "__main__":
    trial = Trial(sys.argv[1], Path(sys.argv[2]))
    print(msgspec.json.encode(CASES[sys.argv[1]](trial)).decode())
