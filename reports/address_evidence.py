"""Evidence that an address is there and is forbidden on the way: walks, its other ports, ICMP."""

from __future__ import annotations

from reports.evidence import Evidence
from reports.ways import Cut, cut_on_the_way, goes_as_far
from storage.records import Connect

_ENDS = {
    "silence": "packets to it ended",
    "reset": "packets to it were answered by a reset",
    "unreachable": "packets to it were sent back by a router",
}


def address_lives(e: Evidence) -> str | None:
    """Return what shows that the address is there and that somebody on the way forbids it.

    Nothing does beyond a tunnel: the ways that are seen there are those of a VPN.
    """
    if e.measurement.line.tunnelled:
        return None
    cut = cut_of(e)
    if cut is not None:
        network = f" (AS{cut.asn})" if cut.asn else ""
        return (
            f"{_ENDS[cut.how]} on the way, at hop {cut.hop}{network}, while others on the same way "
            f"were passed on there and at {cut.further - 1} routers more"
        )
    if _other_port_answers(e):
        return "another port of the same address answered"
    if _forbidden_by_own_network(e):
        return "the volunteer's own network sent word that it forbids the address"
    return None


def cut_of(e: Evidence) -> Cut | None:
    """Return where packets to the address that failed end on the way, while a helper opens it.

    What ends in the network in which the site stands may be its own provider's doing; unless it is
    the volunteer's network too.
    """
    failed = e.failed
    if failed is None or failed.address is None or e.measurement.line.tunnelled:
        return None
    opened = {step.address for step in e.connects if step.failure is None}
    closed = {step.address for step in e.connects} - opened
    found = cut_on_the_way(e.walks, {failed.address, *closed})
    if found is None or not e.opened_abroad(found.address, found.port):
        return None
    at_site = found.asn is not None and found.asn == found.end_asn
    return None if at_site and found.asn != e.measurement.vantage.asn else found


def _other_port_answers(e: Evidence) -> bool:
    """Does another port of the address that failed open, while a helper opens the port itself?

    Not where packets to the port that failed go as far as others: there it is the server's own.
    """
    address = e.failed.address if e.failed is not None else None
    connects = [s for s in e.steps if isinstance(s, Connect) and s.address == address]
    dead = {step.port for step in connects if step.failure is not None}
    return (
        any(step.failure is None and step.port not in dead for step in connects)
        and any(e.opened_abroad(address or "", port) for port in dead)
        and not any(goes_as_far(e.walks, address or "", port) for port in dead)
    )


def _forbidden_by_own_network(e: Evidence) -> bool:
    """Did a router of the vantage's own network say that the address is forbidden?

    Only "administratively prohibited" counts: other ICMP errors tell of routing as well.
    """
    failed, asn = e.failed, e.measurement.vantage.asn
    return any(
        asn is not None
        and step.icmp_asn == asn
        and step.icmp_from_peer is False
        and step.icmp in ("3/9", "3/10", "3/13", "v6 1/1")
        for step in e.connects
        if failed is not None and step.address == failed.address
    )
