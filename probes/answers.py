"""What resolvers say: DNS messages read into addresses, names and failures, and queries written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import dns.edns
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rdtypes.svcbbase

from storage.failures import Failure

RecordType: TypeAlias = Literal["A", "AAAA", "HTTPS"]
TYPES: tuple[RecordType, ...] = ("A", "AAAA")

MOST_ANSWERS = 50
_MOST_CNAMES = 20

_BY_RCODE = {
    int(dns.rcode.NXDOMAIN): Failure.DNS_NXDOMAIN,
    int(dns.rcode.SERVFAIL): Failure.DNS_SERVFAIL,
    int(dns.rcode.REFUSED): Failure.DNS_REFUSED,
}


@dataclass(frozen=True)
class Answer:
    """What one resolver said to one question."""

    rcode: int | None = None
    addresses: tuple[str, ...] = ()
    failure: Failure | None = None
    cnames: tuple[str, ...] = ()  # the names that the answer leads through
    alpn: tuple[str, ...] = ()  # HTTPS records: protocols offered
    extended_error: int | None = None

    @classmethod
    def of(cls, message: dns.message.Message, kind: RecordType) -> Answer:
        rcode = int(message.rcode())
        wanted = dns.rdatatype.from_text(kind)
        records = [r for section in message.answer if section.rdtype == wanted for r in section]
        if kind == "HTTPS":
            addresses, alpn = _offers(records)
        else:
            addresses, alpn = tuple(str(r.address) for r in records)[:MOST_ANSWERS], ()
        failure: Failure | None = None
        if rcode != dns.rcode.NOERROR:
            failure = _BY_RCODE.get(rcode, Failure.DNS_MISBEHAVING)
        elif not records:
            failure = Failure.DNS_NO_ANSWER
        errors = [o for o in message.options if isinstance(o, dns.edns.EDEOption)]
        return cls(
            rcode,
            addresses,
            failure,
            _cnames(message),
            alpn,
            int(errors[0].code) if errors else None,
        )


def _cnames(message: dns.message.Message) -> tuple[str, ...]:
    """Return the targets of an answer's CNAME records in the order in which they follow."""
    targets = {
        section.name: section[0].target
        for section in message.answer
        if section.rdtype == dns.rdatatype.CNAME
    }
    chain: list[str] = []
    name = message.question[0].name if message.question else None
    while name in targets and len(chain) < _MOST_CNAMES:
        name = targets.pop(name)  # popped: a loop ends
        chain.append(name.to_text(omit_final_dot=True))
    return tuple(chain)


def _offers(records: Iterable[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the address hints and the protocols of HTTPS records (RFC 9460)."""
    hints: dict[str, None] = {}
    protocols: dict[str, None] = {}
    for record in records:
        for key in (dns.rdtypes.svcbbase.ParamKey.IPV4HINT, dns.rdtypes.svcbbase.ParamKey.IPV6HINT):
            value = record.params.get(key)
            hints.update(dict.fromkeys(map(str, value.addresses if value else ())))
        value = record.params.get(dns.rdtypes.svcbbase.ParamKey.ALPN)
        names = (each.decode("ascii", "replace")[:20] for each in (value.ids if value else ()))
        protocols.update(dict.fromkeys(names))
    return tuple(hints)[:MOST_ANSWERS], tuple(protocols)[:MOST_ANSWERS]


def query(name: str, kind: RecordType) -> dns.message.QueryMessage:
    """Return a query as a stub resolver sends it."""
    return dns.message.make_query(name, kind, use_edns=0, payload=1232)
