"""What a look at the line says: the neutral hosts, the clock, the resolver, who interferes."""

from __future__ import annotations

from collections.abc import Iterator

from sitewatch.findings import Finding, bad, good, notice, unknown
from storage.records import Handshake, Line, LineState, Lookup, Step

_CLOCK_OFF = 120.0  # seconds; further off, certificates and episodes are judged at a wrong time
_CLOCK_ODD = 5.0

_STATES: dict[LineState, tuple[str, str]] = {
    "down": ("no neutral site answered", "check the connection; rounds are kept as offline"),
    "captive": ("something on this network answers for every site", "log in to the network"),
    "foreign-cut": ("domestic sites answer, none abroad does", "nothing: that is recorded"),
    "whitelisted": ("only a few neutral sites answer", "nothing: that is recorded"),
}

# What the standards have a status of its own for.
_PORTALS = {402: "the plan is used up: top it up", 511: "log in to the network"}


def line_findings(line: Line, steps: list[Step]) -> Iterator[Finding]:
    """Yield what a look at the line showed; `steps` are those of the neutral hosts."""
    yield _state(line)
    yield _families(line)
    yield _clock(line)
    yield _resolver(line, steps)
    yield _diverted(line)
    yield _interception(line, steps)
    yield _tunnel(line)


def not_looked_at(why: str) -> Finding:
    """Return the one finding where no look at the line was allowed or wanted."""
    return unknown("line", why, "sitewatch doctor --consent, or sitewatch init")


def _state(line: Line) -> Finding:
    if line.state == "up":
        return good("line", "neutral sites answer")
    found, remedy = _STATES[line.state]
    if line.portal_status is not None:
        found += f" (plain HTTP with status {line.portal_status})"
        remedy = _PORTALS.get(line.portal_status, remedy)
    return bad("line", found, remedy)


def _families(line: Line) -> Finding:
    families = {"IPv4": line.ipv4, "IPv6": line.ipv6}
    told = [
        f"{name} {'works' if works else 'does not'}"
        for name, works in sorted(families.items(), key=lambda each: not each[1])
        if works is not None
    ]
    if line.nat64:
        told.append("IPv4 hosts are reached through NAT64")
    if not any(families.values()):
        return unknown("addresses", "neither IPv4 nor IPv6 was seen to work")
    return good("addresses", ", ".join(told))


def _clock(line: Line) -> Finding:
    if line.clock_offset_us is None:
        return unknown("clock offset", "no neutral site told the time")
    offset = line.clock_offset_us / 1e6
    direction = "behind" if offset > 0 else "ahead"
    found = f"the clock is {abs(offset):.1f} s {direction}"
    if abs(offset) > _CLOCK_OFF:
        return bad("clock offset", found, "set it, and let the system keep it by NTP")
    if abs(offset) > _CLOCK_ODD:
        return notice("clock offset", found, "let the system keep it by NTP; it is corrected for")
    return good("clock offset", found)


def _resolver(line: Line, steps: list[Step]) -> Finding:
    asked = [step for step in steps if isinstance(step, Lookup) and step.resolver == "system"]
    names = {step.name for step in asked}  # a name need not have addresses of both families
    answered = {step.name for step in asked if step.failure is None}
    if not asked:
        return unknown("resolver", "the system's resolver was not asked")
    if not answered:
        words = ", ".join(sorted({step.failure or "" for step in asked}))
        return bad("resolver", f"the system's resolver gives no answers ({words})", "check it")
    network = "" if line.resolver_asn is None else f"; who really asks is in AS{line.resolver_asn}"
    found = f"it knows {len(answered)} of {len(names)} neutral names{network}"
    if line.resolver_at_home:
        found += "; it stands in your own network, where it may filter by itself"
    if line.resolver_elsewhere:
        return notice(
            "resolver",
            f"{found}; it is none of this network's own",
            "use the network's own: what a resolver that you chose denies stays suspected",
        )
    return good("resolver", found)


def _diverted(line: Line) -> Finding:
    if line.diverted is None:
        return unknown("port 53", "not known whether questions to other resolvers get there")
    if line.diverted:
        return notice(
            "port 53",
            "questions to other resolvers end at the line's own",
            "nothing: encrypted resolvers still tell the truth",
        )
    return good("port 53", "questions to other resolvers get there")


def _interception(line: Line, steps: list[Step]) -> Finding:
    shaken = [step for step in steps if isinstance(step, Handshake)]
    if line.intercepted:
        issuers = {step.chain[-1].issuer for step in shaken if step.chain and not step.valid}
        names = ", ".join(sorted(filter(None, issuers)))
        return bad(
            "interception",
            f"one unknown authority vouches for neutral sites ({names})",
            "a virus scanner, an employer or the network reads along: measure from elsewhere",
        )
    if line.intercepted is None and not any(step.valid for step in shaken):
        return unknown("interception", "no neutral site showed a certificate")
    return good("interception", "neutral sites show their own certificates")


def _tunnel(line: Line) -> Finding:
    if line.tunnelled is None:
        return unknown("tunnel", "not known whether this is a VPN or a hosting network")
    if line.tunnelled:
        return notice(
            "tunnel",
            "this looks like a VPN, a hosting network or another country's",
            "switch the VPN off while measuring, or set vantage.kind to reference",
        )
    return good("tunnel", "no sign of a VPN, a hosting network or another country")
