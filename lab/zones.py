"""What is true in the name system of a world: the records of each name, as a resolver sees them."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from lab.clock import ScenarioClock
from lab.plan import Plan, PlannedSite

_TTL = 60
_MOST_ALIASES = 8
# Names that tell who asked: the addresses of the resolver that brought the question.
_WHOAMI_TEXT = ("o-o.myaddr.l.google.com", "whoami.v4.powerdns.org", "whoami.v6.powerdns.org")
_WHOAMI_ADDRESS = ("whoami.akamai.net", "whoami.v4.powerdns.org", "whoami.v6.powerdns.org")
_NAT64_TEST_NAME, _NAT64_TEST_ADDRESSES = "ipv4only.arpa", ("192.0.0.170", "192.0.0.171")
_DOWN_CODES = {"nxdomain": dns.rcode.NXDOMAIN, "servfail": dns.rcode.SERVFAIL}


class Zones:
    """The truth about all names, which every resolver tells unless it is made to lie."""

    def __init__(self, plan: Plan, clock: ScenarioClock) -> None:
        self._plan = plan
        self._clock = clock
        self._sites = {name: site for site in plan.sites.values() for name in site.names}
        self._fixed: dict[str, list[str]] = {_NAT64_TEST_NAME: list(_NAT64_TEST_ADDRESSES)}
        for address, host in plan.public_resolvers().items():
            self._fixed.setdefault(host, []).append(address)
        for helper in plan.helpers:
            self._fixed[helper.host] = list(helper.everywhere)
        self._aliased = {alias: site for site in plan.sites.values() for alias in site.site.cname}
        self._translating = {
            network.resolver6 for network in plan.networks.values() if network.described.nat64
        }

    def reply(self, query: dns.message.Message, resolver: str, asker: str) -> dns.message.Message:
        """Return what the resolver at an address truthfully answers to somebody's query."""
        reply = dns.message.make_response(query, recursion_available=True)
        if len(query.question) != 1:
            reply.set_rcode(dns.rcode.FORMERR)
            return reply
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        code = self._down_code(name)
        if code is not None:
            reply.set_rcode(code)
            return reply
        records = self._records(name, resolver, asker)
        if records is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
            return reply
        owner = question.name
        for alias in records.pop("CNAME", ()):
            reply.answer.append(dns.rrset.from_text(owner, _TTL, "IN", "CNAME", alias + "."))
            owner = reply.answer[-1][0].target
        kind = dns.rdatatype.to_text(question.rdtype)
        if records.get(kind):
            reply.answer.append(dns.rrset.from_text(owner, _TTL, "IN", kind, *records[kind]))
        return reply

    def _records(self, name: str, resolver: str, asker: str) -> dict[str, list[str]] | None:
        """Return a name's records in text by their type; None where there is no such name."""
        site = self._sites.get(name)
        if site is not None:
            records = self._site_records(site, resolver, asker)
            records["CNAME"] = list(site.site.cname[:_MOST_ALIASES])
        elif name in self._aliased:
            records = self._site_records(self._aliased[name], resolver, asker)
        elif name in self._fixed:
            records = _by_family(self._fixed[name])
        elif name in _WHOAMI_TEXT or name in _WHOAMI_ADDRESS:
            records = _by_family([resolver]) if name in _WHOAMI_ADDRESS else {}
            records["TXT"] = [f'"{resolver}"'] if name in _WHOAMI_TEXT else []
        else:
            return None
        if resolver in self._translating and not records.get("AAAA"):
            records["AAAA"] = [f"64:ff9b::{address}" for address in records.get("A", [])]
        return records

    def _site_records(self, site: PlannedSite, resolver: str, asker: str) -> dict[str, list[str]]:
        network, _ = self._plan.visitor(asker)
        addresses = site.answer(resolver, network, self._clock.now())
        records = _by_family([*addresses, *site.addresses6])
        if site.site.https_record:
            spoken = [*(["h3"] if site.site.http3 else []), *(["h2"] if site.site.http2 else [])]
            alpn = f' alpn="{",".join(spoken)}"' if spoken else ""
            records["HTTPS"] = [f"1 .{alpn} ipv4hint={','.join(addresses)}"]
        return records

    def _down_code(self, name: str) -> dns.rcode.Rcode | None:
        """Return the code that answers for a name that is down in the name system itself."""
        now = self._clock.now()
        for down in self._plan.scenario.downs:
            if down.how in _DOWN_CODES and name in down.hosts and down.active(now):
                return _DOWN_CODES[down.how]
        return None


def _by_family(addresses: list[str]) -> dict[str, list[str]]:
    return {
        "A": [address for address in addresses if ":" not in address],
        "AAAA": [address for address in addresses if ":" in address],
    }


def wire_of(reply: dns.message.Message, limit: int) -> bytes:
    """Return a reply as bytes; where it is longer than `limit`, empty and marked as cut off."""
    whole = reply.to_wire(max_size=65535)
    if len(whole) <= limit:
        return whole
    reply.answer.clear()
    reply.flags |= dns.flags.TC
    return reply.to_wire()
