"""What this machine has left for a program, for benches that use it without drowning in it."""

from __future__ import annotations

import threading
import time

_EVERY = 1.0  # seconds between two tries
_TRY = 0.01  # seconds of computing in each
_LATELY = 20.0  # seconds


class Machine:
    """Tries each second, in a thread, how much of a processor a program is given that wants one.

    Neither load nor idleness tells that: programs may give way to others, and the kernel may deal
    time by sessions. A context manager.
    """

    def __init__(self) -> None:
        self._tries = [_try()]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Machine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def share(self, since: float | None = None) -> float:
        """Return the mean share of a processor, 0 to 1, lately or since a monotonic time."""
        begin = time.monotonic() - _LATELY if since is None else since
        shares = [share for at, share in self._tries if at >= begin] or [self._tries[-1][1]]
        return sum(shares) / len(shares)

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            self._tries.append(_try())


def _try() -> tuple[float, float]:
    """Compute a little; return the moment and the share of its length that was computing."""
    begun, computing = time.monotonic(), time.thread_time()
    while time.thread_time() - computing < _TRY:
        pass
    ended = time.monotonic()
    return ended, min(1.0, _TRY / max(ended - begun, _TRY))
