"""Censors of names in DNS: forged answers, diverted questions, and what a lie looks like."""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from lab.censor_parts import PASS, Decision, Judge, Rule
from lab.censor_rule import Censor
from lab.dpi import Seen
from lab.plan import Plan
from lab.readable import matches
from lab.wire import Packet, udp_datagram

_DNS_PORT = 53
_RCODES = {
    "nxdomain": dns.rcode.NXDOMAIN,
    "servfail": dns.rcode.SERVFAIL,
    "refused": dns.rcode.REFUSED,
    "empty": dns.rcode.NOERROR,
}


def dns_race(rule: Rule) -> Judge:
    """Forge an answer and let the question pass: the true answer comes too."""
    return _forge(rule, passes=True)


def dns_forge(rule: Rule) -> Judge:
    """Forge an answer and swallow the question."""
    return _forge(rule, passes=False)


def _forge(rule: Rule, *, passes: bool) -> Judge:
    names = rule.names

    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        if seen is None or not matches(seen.question, names):
            return PASS
        forged = forged_reply(packet.payload, rule.censor, rule.plan)
        if forged is None:
            return Decision(passes)
        server = (packet.destination, packet.destination_port)
        client = (packet.source, packet.source_port)
        answer = udp_datagram(server, client, rule.ttl(packet.destination), forged)
        return Decision(passes, (answer,), late=rule.late)

    return judge


def dns_divert(rule: Rule) -> Judge:
    """Lead every question, to whatever resolver, to the network's own."""
    diverted = Decision(port=rule.diverted_port(_DNS_PORT))

    def judge(seen: Seen | None, packet: Packet, _now: float) -> Decision:
        return diverted if seen is not None and packet.destination_port == _DNS_PORT else PASS

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
    elif question.question:
        asked = question.question[0]
        six = asked.rdtype == dns.rdatatype.AAAA
        addresses = [place for one in censor.answers for place in _first(plan, one, six)]
        if addresses and asked.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            kind = dns.rdatatype.to_text(asked.rdtype)
            reply.answer.append(dns.rrset.from_text(asked.name, 300, "IN", kind, *addresses))
    return reply.to_wire()


def _first(plan: Plan, host_or_address: str, six: bool) -> list[str]:
    """Return the first address of a family, if there is one."""
    return [one for one in plan.everywhere(host_or_address) if (":" in one) is six][:1]
