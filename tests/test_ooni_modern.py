"""OONI's newer test keys (0.5): the fate of each event, and the verdict that follows."""

from __future__ import annotations

import base64

import pytest

from storage.records import (
    Connect,
    Exchange,
    Handshake,
    Lookup,
)
from tests.ooni_fixtures import (
    OTHER,
    PAGE,
    SITE,
    V6,
    certificate,
    connect,
    control,
    handshake,
    modern,
    query,
    request,
)
from tests.ooni_reading import steps, taken, verdict


def test_a_question_for_both_families_becomes_two_lookups() -> None:
    four, six = steps(Lookup, taken(modern()).measurement)
    assert (four.type, four.answers, four.resolver) == ("A", [SITE], "system")
    assert (six.type, six.answers) == ("AAAA", [V6])
    assert (four.start, four.duration_us) == ("2024-01-23T14:32:07.001000Z", 20000)
    assert four.address is None


def test_other_resolvers_are_told_apart_and_late_replies_kept() -> None:
    raw = base64.b64encode(b"datagram").decode()
    udp = query(
        OTHER,
        engine="udp",
        query_type="A",
        resolver_address="8.8.4.4:53",
        raw_response=raw,
        rcode=0,
        transaction_id=20001,
    )
    late = udp | {"answers": query(SITE)["answers"], "t": 0.061, "raw_response": "bGF0ZQ=="}
    doh = query(
        SITE,
        engine="doh",
        query_type="A",
        resolver_address="https://dns.google/dns-query",
        transaction_id=30001,
    )
    keys = modern(queries=[query(OTHER), udp, doh], x_dns_duplicate_responses=[late])
    found = taken(keys)
    _, over_udp, encrypted = steps(Lookup, found.measurement)
    assert (over_udp.resolver, over_udp.address) == ("udp", "8.8.4.4")
    assert encrypted.resolver == "https://dns.google/dns-query"
    assert [reply.answers for reply in over_udp.replies] == [[OTHER], [SITE]]
    assert [reply.after_us for reply in over_udp.replies] == [20000, 60000]
    assert set(found.blobs.values()) >= {b"datagram", b"late"}


def test_events_of_one_connection_stay_together() -> None:
    record = taken(modern()).measurement
    (opened,), (shaken,), (page,) = (steps(kind, record) for kind in (Connect, Handshake, Exchange))
    assert opened.connection == shaken.connection == page.connection
    assert (shaken.valid, shaken.version, shaken.alpn) == (True, "TLSv1.3", "h2")
    assert shaken.chain[0].names == ["site.org"]
    assert (page.status, page.title, page.body_bytes) == (200, "A page of news", len(PAGE))
    assert page.body is None  # inside valid TLS nothing is odd about it
    assert verdict(modern()).status == "accessible"


def test_certificates_are_kept_as_blobs() -> None:
    assert certificate() in taken(modern()).blobs.values()


@pytest.mark.parametrize(
    ("failure", "technique"),
    [
        ("connection_reset", "reset"),
        ("generic_timeout_error", "timeout"),
        ("eof_error", "closed"),
        ("ssl_unknown_authority", "mitm"),
        ("unknown_failure: tls: first record does not look like a TLS handshake", "not-tls"),
        ("unknown_failure: remote error: tls: unrecognized name", "alert"),
    ],
)
def test_a_broken_handshake_is_suspected_and_never_blocked_alone(
    failure: str, technique: str
) -> None:
    keys = modern(tls_handshakes=[handshake(failure)], requests=[])
    found = verdict(keys)
    assert (found.status, found.certainty) == ("inconclusive", "suspected")
    assert (found.layer, found.technique) == ("tls", technique)


def test_an_alert_keeps_its_number() -> None:
    failure = "unknown_failure: remote error: tls: unrecognized name"
    record = taken(modern(tls_handshakes=[handshake(failure)], requests=[])).measurement
    assert steps(Handshake, record)[0].alert == 112


def test_what_a_page_over_plain_http_is_compared_with_is_the_helpers() -> None:
    aside = ["depth=0", "fetch_body=false"]
    keys = modern(
        tcp_connect=[connect(port=80), connect(tags=aside, transaction_id=50002)],
        tls_handshakes=[handshake("connection_reset", tags=aside, transaction_id=50002)],
        requests=[request("http://site.org/", address=f"{SITE}:80")],
    )
    record = taken(keys, input="http://site.org/").measurement
    assert [step.purpose for step in steps(Connect, record)] == ["main", "contrast"]
    assert verdict(keys, input="http://site.org/").rules == ["http.agrees"]
    other = [request("http://site.org/", address=f"{SITE}:80", body="<title>No entry</title>")]
    differs = verdict(keys | {"requests": other}, input="http://site.org/")
    assert (differs.rules[0], differs.technique) == ("http.differs", "altered")


def test_redirects_are_hops_with_steps_of_their_own() -> None:
    hop = ["depth=1", "fetch_body=true"]
    keys = modern(
        queries=[query(SITE), query(OTHER, hostname="www.site.org", tags=["depth=1"])],
        tcp_connect=[connect(), connect(OTHER, tags=hop, transaction_id=50009)],
        tls_handshakes=[
            handshake(),
            handshake(
                address=f"{OTHER}:443", server_name="www.site.org", tags=hop, transaction_id=50009
            ),
        ],
        requests=[
            request(
                "https://www.site.org/", address=f"{OTHER}:443", tags=hop, transaction_id=50009
            ),
            request(code=301, body="", headers=[["Location", "https://www.site.org/"]]),
        ],
    )
    record = taken(keys).measurement
    assert [step.hop for step in steps(Exchange, record)] == [0, 1]
    found = verdict(keys)
    assert found.status == "accessible"
    assert "www.site.org" in found.reasons[0]


def test_headers_are_latin_1_and_cookies_are_not_kept() -> None:
    odd = {"format": "base64", "data": base64.b64encode(b"caf\xe9").decode()}
    listed = [["Set-Cookie", "id=7"], ["X-Odd", odd], ["X-Text", "é"], ["broken"], "nonsense"]
    (page,) = steps(Exchange, taken(modern(requests=[request(headers=listed)])).measurement)
    assert page.headers == [
        ("Set-Cookie", "[not kept]"),
        ("X-Odd", "café"),
        ("X-Text", "Ã©"),
    ]


def test_a_body_in_base64_over_plain_http_is_kept_as_it_was() -> None:
    body = b"\xff\xfe<title>caf\xc3\xa9</title>"
    packed = {"format": "base64", "data": base64.b64encode(body).decode()}
    keys = modern(requests=[request("http://site.org/", body=packed, address=f"{SITE}:80")])
    found = taken(keys, input="http://site.org/")
    (page,) = steps(Exchange, found.measurement)
    assert found.blobs[page.body] == body
    assert page.title == "café"


def test_the_helpers_words_become_ours() -> None:
    dead = control(
        tcp_connect={f"{SITE}:443": {"status": False, "failure": "connection_refused_error"}},
        tls_handshake={},
        http_request={
            "body_length": -1,
            "status_code": -1,
            "title": "",
            "headers": {},
            "failure": "unknown_error",
        },
        dns={"failure": "dns_name_error", "addrs": []},
    )
    (answer,) = taken(modern(control=dead)).measurement.helpers
    assert answer.helper == "https://2.th.ooni.org"
    assert answer.dns_failure == "dns_nxdomain_error"
    assert answer.connect[f"{SITE}:443"].failure == "connection_refused"
    assert (answer.exchange.status, answer.exchange.body_length) == (None, None)


def test_a_helper_that_was_not_reached_is_no_witness() -> None:
    keys = modern(control=None, control_failure="connection_reset")
    (answer,) = taken(keys).measurement.helpers
    assert (answer.answered, answer.failure) == (False, "connection_reset")
    (answer,) = taken(modern()).measurement.helpers
    assert answer.dns == [SITE]
    assert "Set-Cookie" not in answer.exchange.headers


def test_a_name_that_nobody_knows_is_down_and_not_accessible() -> None:
    nowhere = control(
        tcp_connect={},
        tls_handshake={},
        http_request={"failure": "dns_lookup_error", "status_code": -1, "body_length": -1},
        dns={"failure": "dns_name_error", "addrs": []},
    )
    keys = modern(
        queries=[query(failure="dns_nxdomain_error")],
        tcp_connect=[],
        tls_handshakes=[],
        requests=[],
        control=nowhere,
    )
    assert verdict(keys).status == "down"
