"""Which packets a rule meets at all: by address, port, protocol, family, hour and chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from lab.censor_parts import PASS, Decision, Judge, Rule, drawn_share, tuple_of
from lab.censor_rule import seconds_of_day
from lab.dpi import Seen
from lab.wire import SYN, TCP, UDP, Packet

_DAY = 86400
_MOST_FLOWS = 4096
_PROTOCOLS = {"tcp": TCP, "udp": UDP}
_BYTES = {"ipv4": 4, "ipv6": 16}

# Tells whether a packet is met: the packet, whether it is the client's, now.
_Condition: TypeAlias = Callable[[Packet, bool, float], bool]


def gated(rule: Rule, judge: Judge) -> Judge:
    """Return a judge that lets pass what the rule does not meet."""
    conditions = tuple(_conditions(rule))
    if not conditions:
        return judge

    def judge_some(seen: Seen | None, packet: Packet, now: float) -> Decision:
        outward = seen is not None
        for condition in conditions:
            if not condition(packet, outward, now):
                return PASS
        return judge(seen, packet, now)

    return judge_some


def _conditions(rule: Rule) -> Iterator[_Condition]:
    """Yield a condition for each key that narrows the rule, the cheapest first."""
    censor = rule.censor
    if censor.family:
        size = _BYTES[censor.family]
        yield lambda packet, _outward, _now: len(packet.source) == size
    if censor.protocol:
        protocol = _PROTOCOLS[censor.protocol]
        yield lambda packet, _outward, _now: packet.protocol == protocol
    if censor.ports:
        ports = frozenset(censor.ports)
        yield (
            lambda packet, outward, _now: (
                (packet.destination_port if outward else packet.source_port) in ports
            )
        )
    if censor.hosts and censor.kind != "whitelist":
        hidden = rule.hidden
        yield (
            lambda packet, outward, _now: (
                (packet.destination if outward else packet.source) in hidden
            )
        )
    if censor.hours:
        yield _within(*seconds_of_day(censor.hours))
    if censor.port_share < 1:
        seed = f"{rule.plan.seed}/{rule.number}"
        yield lambda packet, outward, _now: drawn_share(seed, packet, outward) < censor.port_share
    if censor.share < 1:
        yield _sometimes(rule)


def _within(begin: int, end: int) -> _Condition:
    if begin <= end:
        return lambda _packet, _outward, now: begin <= now % _DAY < end
    return lambda _packet, _outward, now: not end <= now % _DAY < begin


def _sometimes(rule: Rule) -> _Condition:
    """Draw once for each connection, and for each question that is asked over UDP."""
    drawn: dict[tuple[bytes, int, bytes, int], bool] = {}

    def met(packet: Packet, _outward: bool, _now: float) -> bool:
        key = tuple_of(packet)
        anew = packet.protocol == TCP and packet.flags & SYN and key not in drawn
        if anew or key not in drawn:
            if len(drawn) >= _MOST_FLOWS:
                del drawn[next(iter(drawn))]
            drawn[key] = rule.chance.random() < rule.censor.share
        return drawn[key]

    return met
