"""Evidence that only a filter of the volunteer's own may be what answers falsely."""

from __future__ import annotations

from reports.evidence import Evidence
from reports.outside import of_vantage
from storage.failures import Failure
from storage.records import Lookup


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
    if lookup.failure is not None:
        return lookup.failure == Failure.DNS_NXDOMAIN and bool(e.proven)
    known = e.validated | e.named_elsewhere
    return bool(lookup.answers) and not any(
        address in known or not (address in e.false_answers or e.is_a_strangers(address))
        for address in lookup.answers
    )


def _met_inside(e: Evidence) -> bool:
    """Did another field vantage of the country fail by DNS too?"""
    own = e.measurement.vantage
    views = [
        of_vantage(witness.record)
        for witness in e.case.witnesses
        if witness.record.vantage.kind == "field"
        and own.country is not None
        and witness.record.vantage.country == own.country
        and not witness.record.line.tunnelled
    ]
    return any(view is not None and view.layer == "dns" for view in views)
