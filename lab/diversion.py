"""Which packets of a client are taken to a box that answers itself: gates, and antivirus."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from lab.described import Captive
from lab.plan import Middle, Plan
from lab.wire import TCP, UDP, Packet, address_bytes

DROP, REFUSE = "drop", "refuse"
_HTTP, _HTTPS, _DNS = 80, 443, 53

# Says of a client's packet: "" (it goes on), DROP, REFUSE, or the name of the box that has it.
Divert: TypeAlias = Callable[[Packet, float], str]


def diversions(plan: Plan, network: str) -> list[Divert]:
    """Return what is asked about each packet that a network's client sends, in this order."""
    found = []
    for middle in plan.middles:
        if middle.network == network:
            found.append(_PURPOSES[middle.purpose](plan, middle))
    return found


def _captive(plan: Plan, middle: Middle) -> Divert:
    """Let nothing pass a gate but what is free; plain HTTP meets the portal's redirect."""
    captive = plan.scenario.captives[middle.number]
    network = plan.networks[middle.network]
    resolvers = {address_bytes(network.resolver)}
    hosts = (captive.portal, *captive.free)
    free = {address_bytes(one) for host in hosts for one in plan.everywhere(host)}

    def divert(packet: Packet, now: float) -> str:
        if not captive.active(now) or packet.destination in free:
            return ""
        if packet.destination_port == _DNS and packet.protocol in (TCP, UDP):
            if captive.dns == "portal":
                return middle.name
            return "" if packet.destination in resolvers else DROP
        if packet.protocol == TCP and len(packet.destination) == 4:
            return _at_the_gate(packet, captive, middle)
        return DROP

    return divert


def _at_the_gate(packet: Packet, captive: Captive, middle: Middle) -> str:
    if packet.destination_port == _HTTP:
        return middle.name
    if packet.destination_port == _HTTPS:
        return {"portal": middle.name, "refuse": REFUSE, "silence": DROP}[captive.https]
    return DROP


def _antivirus(_plan: Plan, middle: Middle) -> Divert:
    """Take all of the client's TLS to the program on its machine."""

    def divert(packet: Packet, _now: float) -> str:
        over_ipv4 = len(packet.destination) == 4
        secure = packet.protocol == TCP and packet.destination_port == _HTTPS
        return middle.name if secure and over_ipv4 else ""

    return divert


_PURPOSES: dict[str, Callable[[Plan, Middle], Divert]] = {
    "captive": _captive,
    "antivirus": _antivirus,
}
