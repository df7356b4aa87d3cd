"""Censors that let a connection open and then spoil it: freezing, throttling, losing packets."""

from __future__ import annotations

from lab.censor_names import either_name
from lab.censor_parts import DROP, PASS, Decision, Judge, Rule, tuple_of
from lab.dpi import Seen
from lab.wire import TCP, Packet

_MOST_FLOWS = 4096  # remembered at once, the oldest are forgotten first


class _Marked:
    """The connections that showed a forbidden name, with a count for each."""

    def __init__(self, rule: Rule) -> None:
        self._wanted = either_name(rule)
        self.counts: dict[tuple[bytes, int, bytes, int], int] = {}

    def key(self, seen: Seen | None, packet: Packet) -> tuple[bytes, int, bytes, int] | None:
        """Return the connection of a packet if it is marked."""
        if packet.protocol != TCP:
            return None
        key = tuple_of(packet)
        if seen is not None and key not in self.counts and self._wanted(seen):
            if len(self.counts) >= _MOST_FLOWS:
                del self.counts[next(iter(self.counts))]
            self.counts[key] = 0
        return key if key in self.counts else None


def freeze(rule: Rule) -> Judge:
    """Swallow everything of a connection once the server has sent so many bytes."""
    marked, most = _Marked(rule), rule.censor.bytes

    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        key = marked.key(seen, packet)
        if key is None:
            return PASS
        if seen is None:
            marked.counts[key] += len(packet.payload)
        return DROP if marked.counts[key] > most else PASS

    return judge


def throttle(rule: Rule) -> Judge:
    """Let the server's bytes pass as a token bucket allows, and drop the others."""
    marked, censor = _Marked(rule), rule.censor
    per_second = censor.kbit * 1000 / 8
    tokens, filled_at = float(censor.burst), 0.0

    def judge(seen: Seen | None, packet: Packet, now: float) -> Decision:
        nonlocal tokens, filled_at
        if marked.key(seen, packet) is None or seen is not None or not packet.payload:
            return PASS
        passed = max(0.0, now - filled_at) if filled_at else 0.0
        tokens, filled_at = min(float(censor.burst), tokens + passed * per_second), now
        if tokens < len(packet.data):
            return DROP
        tokens -= len(packet.data)
        return PASS

    return judge


def loss(rule: Rule) -> Judge:
    """Lose packets of the connections with a forbidden name, and of no other."""
    marked, share, chance = _Marked(rule), rule.censor.loss, rule.chance

    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        if marked.key(seen, packet) is not None and chance.random() < share:
            return DROP
        return PASS

    return judge
