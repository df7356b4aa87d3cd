"""Evidence that only a filter of the volunteer's own may be what answers falsely."""

from __future__ import annotations

from reports.attempts import Outcome
from reports.evidence import Evidence
from reports.outside import of_vantage
from reports.strangers import is_a_strangers
from storage.failures import Failure
from storage.records import Lookup

# Public resolvers that leave names out: what volunteers choose as a filter says the same when it is
# asked beside. Addresses as their operators publish them (Quad9, Cloudflare for Families, AdGuard,
# CleanBrowsing, OpenDNS FamilyShield).
FILTERING = frozenset(
    {
        *("9.9.9.9", "9.9.9.11", "149.112.112.9", "149.112.112.11", "149.112.112.112"),
        *("1.1.1.2", "1.0.0.2", "1.1.1.3", "1.0.0.3"),
        *("94.140.14.14", "94.140.15.15", "94.140.14.15", "94.140.15.16"),
        *("185.228.168.9", "185.228.169.9", "185.228.168.10", "185.228.169.11"),
        *("185.228.168.168", "185.228.169.168", "208.67.222.123", "208.67.220.123"),
    }
)
# Of a resolver that denies nothing: lost packets, and servers of the name that are slow.
CHANCE_DOES = frozenset({"timeout", "servfail"})


def may_be_own_filter(e: Evidence) -> bool:
    """Can the volunteer's own resolver, router or tunnel be what answers falsely?

    It can where that resolver stands in the volunteer's own network, in none of the line's (then
    somebody chose it, and many filter by choice) or nobody knows where, and beyond a tunnel; unless
    public resolvers, asked in clear on the same line, lie as well and are really asked. Where
    another vantage of the country meets the same it is no home's filter.
    """
    line = e.measurement.line
    theirs = line.resolver_at_home is False and not line.resolver_elsewhere
    if e.racing or (theirs and not line.tunnelled) or _met_inside(e):
        return False
    public = (lookup for lookup in e.lookups if lookup.resolver == "udp" and lookup.type == "A")
    return bool(line.diverted) or not any(_lies(e, lookup) for lookup in public)


def _lies(e: Evidence, lookup: Lookup) -> bool:
    """Does an answer deny the name, or name nobody but strangers?

    An address that was not tried, or at which nobody answers, may be an edge that others are not
    told of.
    """
    if filters_by_itself(lookup):
        return False
    if lookup.failure is not None:
        return lookup.failure == Failure.DNS_NXDOMAIN and bool(e.proven)
    known = e.validated | e.named_elsewhere
    return bool(lookup.answers) and not any(
        address in known or not (address in e.false_answers or is_a_strangers(e, address))
        for address in lookup.answers
    )


def _met_inside(e: Evidence) -> bool:
    """Did another field vantage of the country meet the same, and not by chance?"""
    views = [of_vantage(one) for one in e.met_inside if not one.line.tunnelled]
    return any(
        view is not None and view.layer == "dns" and _is_the_same(view.techniques, e.failed)
        for view in views
    )


def filters_by_itself(lookup: Lookup) -> bool:
    """Can this be what a filtering public resolver answers by itself?

    They deny names or give 0.0.0.0; any other address was given in their place.
    """
    if lookup.address not in FILTERING:
        return False
    return all(address in ("0.0.0.0", "::") for address in lookup.answers)


def _is_the_same(met: frozenset[str], failed: Outcome | None) -> bool:
    """Did another vantage meet a lie, and that of this measurement where its resolver told one?

    A question that is lost or fails is no lie.
    """
    if met & CHANCE_DOES:
        return False
    return failed is None or failed.layer != "dns" or failed.technique in met
