"""One OONI web_connectivity measurement as records of ours: the round of its report and itself.

What is alleged there (`blocking`, `accessible`, flags) is not taken: the facts are judged anew.
docs/ooni.md says what becomes of each key.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import msgspec

from storage.failures import Failure
from storage.intake import referred_blobs
from storage.ooni_document import BrokenError, Document, Tools
from storage.ooni_failures import helpers as helpers_word
from storage.ooni_legacy import legacy_steps
from storage.ooni_modern import is_modern, modern_steps
from storage.ooni_own import own_helpers, own_state, own_steps
from storage.ooni_steps import Gathered
from storage.ooni_values import address, integer, mapping, text
from storage.records import (
    Connect,
    HelperAnswer,
    HelperEndpoint,
    HelperExchange,
    Line,
    Lookup,
    Measurement,
    Round,
    Step,
    Vantage,
    record_id,
    utc_text,
)

SOURCE = "ooni"
_MOST_ENDPOINTS = 200
# A resolver that says one of these has answered, so the line carried something.
_DNS_WORDS = frozenset(
    {Failure.DNS_NXDOMAIN, Failure.DNS_NO_ANSWER, Failure.DNS_REFUSED, Failure.DNS_SERVFAIL}
)
_REFUSALS = frozenset({Failure.CONNECTION_REFUSED, Failure.CONNECTION_RESET})


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What one line became."""

    round: Round
    measurement: Measurement
    blobs: Mapping[str, bytes]


def vantage_for(document: Document) -> Vantage:
    """Return the vantage of a measurement, its id still empty."""
    return Vantage(
        id="",
        country=document.country,
        asn=document.asn,
        network=document.network,
        source=SOURCE,
    )


def take(document: Document, tools: Tools, vantage: Vantage) -> Taken:
    """Return the records for one measurement, made in the name of `vantage`.

    Raises BrokenError where there is nothing in it that can be read.
    """
    gathered = Gathered(document, tools)
    steps = (
        own_steps(gathered)
        if document.is_ours
        else (modern_steps if is_modern(document) else legacy_steps)(gathered)
    )
    if not steps and not document.is_ours:
        raise BrokenError("its test keys hold no event that can be read")
    round = Round(
        simulated=document.simulated,
        tool=document.tool,
        time=utc_text(document.report_start),
        vantage=vantage,
        line=Line(state="up", resolver_asn=document.resolver_asn),
        targets=0,  # reports do not say how many they set out to measure
        source_id=document.report,
    )
    answers = own_helpers(document) if document.is_ours else _helpers(document)
    measurement = Measurement(
        simulated=document.simulated,
        tool=document.tool,
        url=document.url,
        time=utc_text(document.start),
        round=record_id(round),
        vantage=vantage,
        line=_line(document, steps, answers),
        steps=steps,
        helpers=answers,
        source_id=document.source_id,
    )
    if document.is_ours:
        measurement = own_state(document, measurement)
    named = referred_blobs(measurement)
    blobs = {id: content for id, content in gathered.blobs.items() if id in named}
    return Taken(round=round, measurement=measurement, blobs=blobs)


def _line(document: Document, steps: list[Step], answers: list[HelperAnswer]) -> Line:
    """Return the line's state as far as the measurement itself shows it.

    It was up if anything answered, be it with a refusal. IPv6 counts only where it worked.
    """
    answered = any(answer.answered for answer in answers) or any(map(_shows_line, steps))
    opened = [step for step in steps if isinstance(step, Connect) and step.failure is None]
    return Line(
        state="up" if answered else "down",
        ipv6=True if any(_is_v6(step.address) for step in opened) else None,
        resolver_asn=document.resolver_asn,
    )


def _shows_line(step: Step) -> bool:
    if isinstance(step, Lookup):
        return bool(step.answers or step.replies) or step.failure in _DNS_WORDS
    if isinstance(step, Connect):
        return step.failure is None or step.failure in _REFUSALS
    return step.failure is None


def _is_v6(where: str) -> bool:
    return bool(where) and ip_address(where).version == 6


def _helpers(document: Document) -> list[HelperAnswer]:
    """Return what the test helper saw; nothing where it was never asked."""
    control = mapping(document.keys.control)
    failure = document.keys.control_failure
    page, dns = mapping(control.get("http_request")), mapping(control.get("dns"))
    answered = bool(page or dns or control.get("tcp_connect")) and not failure
    if not answered and not failure:
        return []
    runtime = integer(document.keys.x_th_runtime, 0, 10**12) or 0
    answer = HelperAnswer(
        helper=document.helper,
        answered=answered,
        failure=None if answered else helpers_word(failure) or Failure.UNKNOWN,
        start=utc_text(document.start),
        duration_us=runtime // 1000,
    )
    if not answered:
        return [answer]
    listed = dns.get("addrs")
    named = [address(one) for one in listed[:_MOST_ENDPOINTS]] if isinstance(listed, list) else []
    return [
        msgspec.structs.replace(
            answer,
            dns=[one for one in named if one is not None],
            dns_failure=helpers_word(dns.get("failure")),
            connect=_endpoints(control.get("tcp_connect")),
            handshake=_endpoints(control.get("tls_handshake")),
            exchange=_helper_page(page),
        )
    ]


def _endpoints(value: object) -> dict[str, HelperEndpoint]:
    return {
        where: HelperEndpoint(
            status=entry.get("status") is True, failure=helpers_word(entry.get("failure"))
        )
        for where, entry in list(mapping(value).items())[:_MOST_ENDPOINTS]
        if isinstance(entry, dict) and where.isascii() and len(where) < 64
    }


def _helper_page(page: dict[str, Any]) -> HelperExchange:
    received = mapping(page.get("headers"))
    return HelperExchange(
        status=integer(page.get("status_code"), 100, 999),
        body_length=integer(page.get("body_length"), 0, 2**53 - 1),
        title=text(page.get("title")),
        headers={
            name[:512]: text(value) or ""
            for name, value in list(received.items())[:50]
            if name.isascii() and name.lower() != "set-cookie"
        },
        failure=helpers_word(page.get("failure")),
    )
