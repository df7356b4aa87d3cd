"""Censors by address: silence, resets, refusals, routers' words, and only some addresses open."""

from __future__ import annotations

from lab.censor_parts import DROP, PASS, Decision, Judge, Rule, ends_of, resets
from lab.censor_rule import UNREACHABLE_CODES
from lab.dpi import Seen
from lab.wire import (
    ACK,
    RST,
    SYN,
    TCP,
    Packet,
    address_bytes,
    address_text,
    is_icmp_error,
    tcp_segment,
    unreachable,
)


def address_drop(_rule: Rule) -> Judge:
    """Swallow everything that the rule meets, in both directions."""
    return lambda _seen, _packet, _now: DROP


def address_reset(rule: Rule) -> Judge:
    """Let connections open and reset them at once."""

    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        if seen is None or packet.protocol != TCP or packet.flags & SYN:
            return PASS
        return resets(rule, packet, outward=True)

    return judge


def address_refuse(rule: Rule) -> Judge:
    """Answer each attempt to connect with a reset, as a closed port does."""

    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        if seen is None or packet.protocol != TCP or packet.flags & RST:
            return DROP
        ends = ends_of(packet, outward=True)
        ttl = rule.ttl(ends.server[0])
        refusal = tcp_segment(ends.server, ends.client, ends.to_client, RST | ACK, ttl)
        return Decision(False, (refusal,), late=rule.late)

    return judge


def address_unreachable(rule: Rule) -> Judge:
    """Let the box's router say that the address cannot be reached."""
    codes = UNREACHABLE_CODES[rule.censor.unreachable]

    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        if seen is None or is_icmp_error(packet):
            return DROP
        route = rule.plan.route(rule.network, address_text(packet.destination))
        box = min(rule.censor.hop or route.censor, len(route.routers))
        router = address_bytes(route.routers[box - 1])
        code = codes[0] if len(router) == 4 else codes[1]
        return Decision(False, (unreachable(router, packet, 255, code),), late=rule.late)

    return judge


def national_cut(rule: Rule) -> Judge:
    """Swallow everything to and from addresses abroad."""
    network = rule.plan.networks[rule.network]
    home = {network.resolver, network.resolver6}
    for planned in rule.plan.sites.values():
        if planned.site.place == "home":
            home.update(planned.everywhere)
    return _only(frozenset(address_bytes(address) for address in home if address))


def whitelist(rule: Rule) -> Judge:
    """Swallow everything but to `hosts` and the network's own resolver."""
    network = rule.plan.networks[rule.network]
    own = {address_bytes(one) for one in (network.resolver, network.resolver6) if one}
    return _only(rule.hidden | own)


def _only(open_addresses: frozenset[bytes]) -> Judge:
    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        server = packet.source if seen is None else packet.destination
        return PASS if server in open_addresses else DROP

    return judge
