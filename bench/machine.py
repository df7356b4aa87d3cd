"""How busy this machine is, for benches that are to use it without drowning in it."""

from __future__ import annotations

import time
from pathlib import Path

_WINDOW = 20.0  # seconds that `Machine.busy` looks back


class Machine:
    """The share of the processors' time that was in use. Linux only.

    Time of programs that gave way (nice) counts as free: they give way to a bench as well.
    """

    def __init__(self, ticks: Path = Path("/proc/stat")) -> None:
        self._ticks = ticks
        self._begin = self._now()
        self._seen = [self._begin]

    def busy(self) -> float:
        """Return the share in use over the last seconds, 0 to 1; call it every second or so."""
        now = self._now()
        self._seen = [*(one for one in self._seen if now[0] - one[0] < _WINDOW), now]
        return _between(self._seen[0], now)

    def busy_since_begin(self) -> float:
        """Return the share in use since this value was made."""
        return _between(self._begin, self._now())

    def _now(self) -> tuple[float, int, int]:
        """Return the moment, and the processors' ticks until then: in use, and all of them."""
        ticks = [int(one) for one in self._ticks.read_text().split("\n", 1)[0].split()[1:9]]
        _, nice, _, idle, waiting_for_disks, *_ = ticks
        total = sum(ticks)
        return time.monotonic(), total - nice - idle - waiting_for_disks, total


def _between(before: tuple[float, int, int], after: tuple[float, int, int]) -> float:
    total = after[2] - before[2]
    return (after[1] - before[1]) / total if total > 0 else 0.0
