"""The scenario's clock: one offset to the real time, shared by all processes of a world."""

from __future__ import annotations

import mmap
import struct
import time

_OFFSET = struct.Struct("=d")


class ScenarioClock:
    """Seconds since the epoch in the scenario. Shared with every process forked afterwards."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _OFFSET.size)

    def now(self) -> float:
        """Return the scenario's time; it runs as fast as the real one."""
        (offset,) = _OFFSET.unpack_from(self._shared)
        return time.time() + float(offset)

    def set(self, seconds: float) -> None:
        """Make it `seconds` since the epoch now, in all processes."""
        _OFFSET.pack_into(self._shared, 0, seconds - time.time())
