"""DNS messages read: the names an answer leads through, what a site offers, honest refusals."""

from __future__ import annotations

import asyncio

import dns.edns
import dns.exception
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.answers import Answer, RecordType, query
from probes.dns import Asked, Question
from probes.trace import Stage
from probes.udp import UdpQuestions
from storage.failures import Failure
from storage.records import Lookup
from tests.loopback import trace


def reply(kind: RecordType, *records: tuple[str, str, str]) -> dns.message.Message:
    message = dns.message.make_response(query("www.site.example", kind))
    for name, type_, text in records:
        message.answer.append(dns.rrset.from_text(name, 60, "IN", type_, text))
    return message


def test_the_names_that_lead_to_an_address_are_kept_in_order() -> None:
    answer = Answer.of(
        reply(
            "A",
            ("edge.cdn.example.", "CNAME", "host.cdn.example."),
            ("www.site.example.", "CNAME", "edge.cdn.example."),
            ("host.cdn.example.", "A", "192.0.2.7"),
        ),
        "A",
    )
    assert answer.cnames == ("edge.cdn.example", "host.cdn.example")
    assert (answer.addresses, answer.failure) == (("192.0.2.7",), None)
    assert Answer.of(reply("A", ("www.site.example.", "A", "192.0.2.7")), "A").cnames == ()


def test_names_that_lead_in_a_circle_end() -> None:
    circle = reply(
        "A",
        ("www.site.example.", "CNAME", "a.example."),
        ("a.example.", "CNAME", "www.site.example."),
    )
    answer = Answer.of(circle, "A")
    assert answer.cnames == ("a.example", "www.site.example")
    assert answer.failure == Failure.DNS_NO_ANSWER


def test_https_records_say_which_protocols_a_site_offers_and_where() -> None:
    record = "1 . alpn=h3,h2 ipv4hint=192.0.2.7,192.0.2.8 ipv6hint=2001:db8::7"
    answer = Answer.of(reply("HTTPS", ("www.site.example.", "HTTPS", record)), "HTTPS")
    assert answer.alpn == ("h3", "h2")
    assert answer.addresses == ("192.0.2.7", "192.0.2.8", "2001:db8::7")
    assert answer.failure is None
    bare = Answer.of(reply("HTTPS", ("www.site.example.", "HTTPS", "1 .")), "HTTPS")
    assert (bare.alpn, bare.failure) == ((), None)
    assert Answer.of(reply("HTTPS"), "HTTPS").failure == Failure.DNS_NO_ANSWER


@pytest.mark.parametrize("code", [15, 16, 17])
def test_a_resolver_that_says_that_it_censors_is_quoted(code: int) -> None:
    message = reply("A")
    message.set_rcode(dns.rcode.REFUSED)
    message.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode(code))])
    answer = Answer.of(dns.message.from_wire(message.to_wire()), "A")
    assert (answer.failure, answer.extended_error) == (Failure.DNS_REFUSED, code)
    assert Answer.of(reply("A"), "A").extended_error is None


@settings(max_examples=300, deadline=None)
@given(noise=st.binary(max_size=200), keep=st.integers(0, 60))
def test_no_datagram_does_more_than_not_parse(noise: bytes, keep: int) -> None:
    sound = reply("HTTPS", ("www.site.example.", "HTTPS", "1 . alpn=h3")).to_wire()
    for data in (noise, sound[:keep] + noise, noise[:2] + sound[2:keep] + noise):
        try:
            message = dns.message.from_wire(data, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError):
            continue  # what the probes call malformed
        Answer.of(message, "HTTPS")
        Answer.of(message, "A")


async def test_what_is_still_listened_to_is_recorded_when_it_is_given_up() -> None:
    found = trace()
    queries = UdpQuestions(found, "192.0.2.53", "www.site.example", ["A", "AAAA"], 7)
    listening = asyncio.create_task(asyncio.Event().wait())

    def steps() -> list[Lookup]:
        watch = found.watch()
        return [
            Question(Stage(), "www.site.example", each.kind).step(
                "udp", "192.0.2.53", each.answer, watch, 1
            )
            for each in queries.questions
        ]

    asked = Asked(found, [each.answer for each in queries.questions], steps, listening)
    assert found.steps == []
    asked.abandon()
    assert [step.type for step in found.steps if isinstance(step, Lookup)] == ["A", "AAAA"]
    await asyncio.wait([listening])
    assert listening.cancelled()
    assert len(found.steps) == 2  # each once


@pytest.mark.parametrize("number", [0, 1, 5])
def test_each_of_two_questions_from_one_port_gets_its_own_replies(number: int) -> None:
    queries = UdpQuestions(trace(), "192.0.2.53", "www.site.example", ["A", "AAAA"], 7)
    first, second = queries.questions
    assert first.query.id != second.query.id
    message = dns.message.make_response(second.query)
    message.id = (first.query.id + number) & 0xFFFF
    queries.take(message.to_wire(), 60, 1000, 1.5)
    meant = {0: first, 1: second}.get(number, first)
    assert [len(each.replies) for each in (first, second)] == [meant is first, meant is second]
    fitted = second.answer.failure == Failure.DNS_NO_ANSWER
    assert fitted is (number == 1)
