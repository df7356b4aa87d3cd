"""One daemon for one database: a lock that ends with the process, however that ends."""

from __future__ import annotations

import contextlib
import os
from hashlib import sha256
from pathlib import Path
from types import TracebackType

import platformdirs

try:
    import fcntl
except ImportError:  # Windows has another kind of lock; the daemon says that it does not run there
    fcntl = None  # type: ignore[assignment]


class AlreadyRunningError(Exception):
    """Another daemon works on this database; the message is one line."""


def beside(database: str, ending: str) -> Path:
    """Return the file of that ending beside a database; for a server's in the data folder."""
    if "://" in database:
        if database.startswith("sqlite:///"):
            return Path(database.removeprefix("sqlite:///") + ending)
        short = sha256(database.encode()).hexdigest()[:16]
        return platformdirs.user_data_path("sitewatch") / f"server-{short}{ending}"
    return Path(database + ending)


class DaemonLock:
    """Held as a context manager while a daemon runs. Raises AlreadyRunningError."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._path = beside(database, ".lock")
        self._descriptor = -1

    def __enter__(self) -> DaemonLock:
        if fcntl is None:
            raise AlreadyRunningError("the daemon needs a system with flock, such as Linux")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AlreadyRunningError(f"{self._path}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = _pid_in(self._descriptor)
            os.close(self._descriptor)
            raise AlreadyRunningError(
                f"a daemon (process {pid or 'unknown'}) already works on {self._database}"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The file stays: removing it would let two daemons hold locks on two files of one name.
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def running(database: str) -> int | None:
    """Return the process id of the daemon at work on a database, 0 if unknown, None for none."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(beside(database, ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # never made: no daemon has worked on this database
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        return _pid_in(descriptor)
    finally:
        os.close(descriptor)


def _pid_in(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else 0
