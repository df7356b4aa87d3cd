"""The censors: one function for each kind, and the table that names them.

A kind is made once per rule of a scenario and then judges every packet of the client networks
that the rule names. To add one: a function here, a word in scenario.CensorKind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from lab.dpi import Seen, matches
from lab.plan import Plan
from lab.scenario import Censor, CensorKind
from lab.wire import ACK, FIN, PSH, RST, TCP, Packet, address_bytes, tcp_segment, udp_datagram

FORGED_TTL = 64  # as it leaves the censor's box

_BLOCK_PAGE = "<html><head><title>Blocked</title></head><body>This page is blocked.</body></html>"


class Decision(NamedTuple):
    """Whether a packet goes on, and what is sent beside it."""

    passes: bool = True
    to_client: tuple[bytes, ...] = ()
    to_server: tuple[bytes, ...] = ()


PASS = Decision()
DROP = Decision(False)

# Judges one packet: what the client's packet says (None for one from a server), the packet, now.
Judge: TypeAlias = Callable[[Seen | None, Packet, float], Decision]


def judges(plan: Plan, network: str) -> list[tuple[Censor, Judge]]:
    """Return the rules that apply to a client network, ready to judge its packets."""
    return [
        (censor, KINDS[censor.kind](censor, plan))
        for censor in plan.scenario.censors
        if (not censor.networks or network in censor.networks) and censor.kind in KINDS
    ]


# --- by the name in a connection --------------------------------------------------------------


class _CutTuples:
    """The connections that stay cut, each until its time; any packet of one renews it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[tuple[bytes, int, bytes, int], float] = {}

    def cut(self, packet: Packet, now: float) -> None:
        self._until[_tuple_of(packet)] = now + self._seconds

    def holds(self, packet: Packet, now: float) -> bool:
        """Tell whether the packet's connection is cut, and renew the cut."""
        key = _tuple_of(packet)
        until = self._until.get(key)
        if until is None:
            return False
        if not until - self._seconds <= now < until:  # over, or the clock was set back
            del self._until[key]
            return False
        self._until[key] = now + self._seconds
        return True


def _tuple_of(packet: Packet) -> tuple[bytes, int, bytes, int]:
    """Return the 4-tuple of a connection, the same for both directions."""
    here, there = (packet.source, packet.source_port), (packet.destination, packet.destination_port)
    return (*here, *there) if here < there else (*there, *here)


def _tls_drop(censor: Censor, _plan: Plan) -> Judge:
    """Swallow the segment that completes a forbidden server name and all later ones."""
    return _drop(censor, lambda seen: seen.server_name)


def _http_drop(censor: Censor, _plan: Plan) -> Judge:
    """Swallow the request with a forbidden Host and all later segments."""
    return _drop(censor, lambda seen: seen.host)


def _drop(censor: Censor, name_of: Callable[[Seen], str]) -> Judge:
    names, cut = _lower(censor.names), _CutTuples(censor.residual)

    def judge(seen: Seen | None, packet: Packet, now: float) -> Decision:
        if packet.protocol != TCP:
            return PASS
        if cut.holds(packet, now):
            return DROP
        if seen is not None and matches(name_of(seen), names):
            cut.cut(packet, now)
            return DROP
        return PASS

    return judge


def _tls_reset(censor: Censor, _plan: Plan) -> Judge:
    """Answer a forbidden server name with a reset to both sides; the hello goes no further."""
    return _answer(censor, lambda seen: seen.server_name, _resets)


def _http_reset(censor: Censor, _plan: Plan) -> Judge:
    """Answer a forbidden Host with a reset to both sides; the request goes no further."""
    return _answer(censor, lambda seen: seen.host, _resets)


def _http_page(censor: Censor, _plan: Plan) -> Judge:
    """Answer a forbidden Host with a block page in the server's name."""
    page = (censor.page or _BLOCK_PAGE).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\n"
    answer = head.encode() + b"Connection: close\r\n\r\n" + page

    def forge(packet: Packet) -> Decision:
        _, to_server = _forged_ends(packet, RST | ACK)
        to_client, _ = _forged_ends(packet, FIN | PSH | ACK, answer)
        return Decision(False, (to_client,), (to_server,))

    return _answer(censor, lambda seen: seen.host, forge)


def _answer(
    censor: Censor, name_of: Callable[[Seen], str], forge: Callable[[Packet], Decision]
) -> Judge:
    names = _lower(censor.names)

    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        if seen is not None and matches(name_of(seen), names):
            return forge(packet)
        return PASS

    return judge


def _resets(packet: Packet) -> Decision:
    to_client, to_server = _forged_ends(packet, RST | ACK)
    return Decision(False, (to_client,), (to_server,))


def _forged_ends(packet: Packet, flags: int, payload: bytes = b"") -> tuple[bytes, bytes]:
    """Return a segment in the server's name to the client, and one the other way round."""
    client = (packet.source, packet.source_port)
    server = (packet.destination, packet.destination_port)
    after = packet.sequence + len(packet.payload)
    return (
        tcp_segment(server, client, (packet.acknowledgement, after), flags, FORGED_TTL, payload),
        tcp_segment(client, server, (packet.sequence, packet.acknowledgement), flags, FORGED_TTL),
    )


# --- by the name in a DNS question ------------------------------------------------------------


def _dns_race(censor: Censor, plan: Plan) -> Judge:
    """Forge an answer and let the question pass: the true answer comes second."""
    return _forge_dns(censor, plan, passes=True)


def _dns_forge(censor: Censor, plan: Plan) -> Judge:
    """Forge an answer and swallow the question."""
    return _forge_dns(censor, plan, passes=False)


def _forge_dns(censor: Censor, plan: Plan, *, passes: bool) -> Judge:
    names = _lower(censor.names)

    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        if seen is None or not matches(seen.question, names):
            return PASS
        forged = forged_reply(packet.payload, censor, plan)
        if forged is None:
            return Decision(passes)
        server = (packet.destination, packet.destination_port)
        client = (packet.source, packet.source_port)
        return Decision(passes, (udp_datagram(server, client, FORGED_TTL, forged),))

    return judge


def forged_reply(query: bytes, censor: Censor, plan: Plan) -> bytes | None:
    """Return the reply that a censor's `answers` make of a query; None is silence."""
    try:
        question = dns.message.from_wire(query)
    except Exception:  # dnspython raises many kinds; what does not parse gets no answer
        return None
    reply = dns.message.make_response(question, recursion_available=True)
    word = censor.answers[0] if censor.answers else "empty"
    if word == "silence":
        return None
    if word in _RCODES:
        reply.set_rcode(_RCODES[word])
    elif question.question and question.question[0].rdtype == dns.rdatatype.A:
        addresses = [place for one in censor.answers for place in plan.addresses_of(one)[:1]]
        name = question.question[0].name
        reply.answer.append(dns.rrset.from_text(name, 300, "IN", "A", *addresses))
    return reply.to_wire()


_RCODES = {
    "nxdomain": dns.rcode.NXDOMAIN,
    "servfail": dns.rcode.SERVFAIL,
    "refused": dns.rcode.REFUSED,
    "empty": dns.rcode.NOERROR,
}


# --- by address -------------------------------------------------------------------------------


def _address_drop(censor: Censor, plan: Plan) -> Judge:
    """Swallow everything to and from the addresses of some hosts."""
    hidden = {address_bytes(address) for host in censor.hosts for address in plan.everywhere(host)}

    def judge(_seen: Seen | None, packet: Packet, _now: float) -> Decision:
        return DROP if packet.source in hidden or packet.destination in hidden else PASS

    return judge


def _lower(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.rstrip(".").lower() for name in names)


# "resolver-lie" is missing here: the operator's resolver itself tells it (see dns_server.py).
KINDS: dict[CensorKind, Callable[[Censor, Plan], Judge]] = {
    "tls-drop": _tls_drop,
    "tls-reset": _tls_reset,
    "dns-race": _dns_race,
    "dns-forge": _dns_forge,
    "address-drop": _address_drop,
    "http-drop": _http_drop,
    "http-reset": _http_reset,
    "http-page": _http_page,
}

# Kinds that must see each packet as it is on the wire: giant ones are cut up before them.
COUNTING_KINDS: frozenset[CensorKind] = frozenset()
