"""A client's line: how long each packet takes on it, and which ones it loses.

Pure: told the size of a packet and the time, it answers with a delay. Chance comes from the seed.
"""

from __future__ import annotations

from random import Random

from lab.described import Network

_QUEUE_SECONDS = 0.5  # of waiting for a full line; what would wait longer is dropped
_OVERTAKEN_SECONDS = 0.015  # for which a packet that others overtake is held back


class _Way:
    """One direction of a line."""

    def __init__(self, network: Network, latency_ms: float, chance: Random) -> None:
        self.latency = latency_ms / 1000
        self._network = network
        self._chance = chance
        self._free_at = 0.0  # when the last bit of what was sent has left
        self._last_due = 0.0

    def delay(self, size: int, now: float) -> float | None:
        """Return after how many seconds a packet of `size` bytes arrives; None if never."""
        network, extra = self._network, 0.0
        if network.loss and self._chance.random() < network.loss:
            return None
        if network.bandwidth_kbit:
            begins = max(now, self._free_at)
            if begins - now > _QUEUE_SECONDS:
                return None
            self._free_at = begins + size * 8 / (network.bandwidth_kbit * 1000)
            extra = self._free_at - now
        if network.jitter_ms:
            extra += self._chance.random() * network.jitter_ms / 1000
        if network.reorder and self._chance.random() < network.reorder:
            return self.latency + extra + _OVERTAKEN_SECONDS
        due = max(now + self.latency + extra, self._last_due)
        self._last_due = due
        return due - now


class Line:
    """Both directions of a network's line. An idle line without troubles costs nothing."""

    def __init__(self, network: Network, chance: Random) -> None:
        back = network.latency_back_ms
        self.outward = _Way(network, network.latency_ms, chance)
        self.inward = _Way(network, network.latency_ms if back is None else back, chance)
        self.mtu = network.mtu
        self.mtu_silent = network.mtu_silent
        self.is_plain = not (
            network.loss or network.reorder or network.jitter_ms or network.bandwidth_kbit
        )

    @property
    def counts_packets(self) -> bool:
        """Whether giant packets must be cut up, because each packet has a fate of its own."""
        return not self.is_plain or bool(self.mtu)
