"""Who we are seen as, and which resolver really answers: names whose answer is the asker's address.

What is learnt of the line's own address goes to memory alone, so that it can be scrubbed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import dns.asyncquery
import dns.message
import dns.rdatatype

from probes.addresses import family_of
from probes.errors import NETWORK_ERRORS
from probes.own import OwnAddresses
from probes.settings import Whoami
from probes.system_resolver import ask_system

PATIENCE = 2.0  # seconds at most: it runs beside the visits to neutral hosts, which take as long
_MOST_ANSWERS = 8
_NAT64_NAME = "ipv4only.arpa"  # RFC 7050: its AAAA answers exist only where NAT64 makes them
_NAT64_IPV4 = frozenset({bytes([192, 0, 0, 170]), bytes([192, 0, 0, 171])})
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{7,45}")


@dataclass(frozen=True)
class Resolver:
    """The addresses from which one configured server's questions reach the world."""

    server: str
    seen_as: frozenset[str]


async def ask_whoami(
    entries: Sequence[Whoami],
    own: OwnAddresses,
    system_server: str | None,
    public: Iterable[str],
    timeout: float,
) -> list[Resolver]:
    """Learn the own addresses and return how the resolvers are seen, the system's first."""
    patience = min(timeout, PATIENCE)
    ours = [entry for entry in entries if entry.server]
    theirs = [entry for entry in entries if not entry.server]
    servers = list(dict.fromkeys([*([system_server] if system_server else []), *public]))
    told, seen = await asyncio.gather(
        asyncio.gather(*(_ask(entry, entry.server, patience) for entry in ours)),
        asyncio.gather(*(_seen_as(theirs, server, patience) for server in servers)),
    )
    for address in (address for each in told for address in each):
        own.learn_told(address)
    return [Resolver(*each) for each in zip(servers, seen, strict=True)]


async def _seen_as(entries: Sequence[Whoami], server: str, timeout: float) -> frozenset[str]:
    answers = await asyncio.gather(*(_ask(entry, server, timeout) for entry in entries))
    return frozenset(address for each in answers for address in each)


async def _ask(entry: Whoami, server: str, timeout: float) -> list[str]:
    """Ask one server one name; the addresses in its answer, none where there is no answer."""
    query = dns.message.make_query(entry.name, entry.type)
    try:
        async with asyncio.timeout(timeout):
            # Nobody's datagrams but the server's count, and the library checks id and question.
            reply = await dns.asyncquery.udp(query, server, port=entry.port, ignore_trailing=True)
    except NETWORK_ERRORS:
        return []  # no answer teaches nothing: the fact that is recorded stays unknown
    return addresses_in(reply)


def addresses_in(reply: dns.message.Message) -> list[str]:
    """Return the addresses that A, AAAA and TXT records of an answer hold."""
    texts: list[str] = []
    for section in reply.answer:
        if section.rdtype in {dns.rdatatype.A, dns.rdatatype.AAAA}:
            texts += [str(record.address) for record in section]
        elif section.rdtype == dns.rdatatype.TXT:
            for record in section:
                text = b" ".join(record.strings).decode("latin-1")
                if "subnet" not in text:  # "edns0-client-subnet": a network, no address
                    texts += _ADDRESS.findall(text)
    return [text for text in texts[:_MOST_ANSWERS] if _is_address(text)]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_diverted(
    resolvers: Sequence[Resolver], system_server: str | None, public: Sequence[str]
) -> bool | None:
    """Tell whether questions to public resolvers come out where the line's own resolver does.

    None where the line's own resolver, or none of the public ones, said how it is seen, or where
    the line's own is one of them.
    """
    seen = {each.server: each.seen_as for each in resolvers if each.seen_as}
    others = [seen[server] for server in public if server in seen]
    if system_server is None or system_server in public or system_server not in seen or not others:
        return None
    return any(seen[system_server] & other for other in others)


async def has_nat64(timeout: float) -> bool:
    """Tell whether the line's resolver makes IPv6 addresses for hosts that have none (RFC 7050)."""
    answer = await ask_system(_NAT64_NAME, "AAAA", min(timeout, PATIENCE))
    return any(
        family_of(address).name == "AF_INET6" and _carries_ipv4(IPv6Address(address.split("%")[0]))
        for address in answer.addresses
    )


def _carries_ipv4(address: IPv6Address) -> bool:
    """Look for the well-known IPv4 address at the places of RFC 6052 section 2.2."""
    packed = address.packed
    without_u = packed[:8] + packed[9:]
    places = [without_u[start : start + 4] for start in (4, 5, 6, 7, 8)]
    return packed[12:] in _NAT64_IPV4 or any(place in _NAT64_IPV4 for place in places)
