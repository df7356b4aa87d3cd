"""OONI's older test keys (0.4): handshakes and loads that are tied by what is known."""

from __future__ import annotations

import pytest

from storage.records import (
    Connect,
    Exchange,
    Handshake,
    Lookup,
)
from tests.ooni_fixtures import (
    OTHER,
    SITE,
    V6,
    connect,
    handshake,
    legacy,
    modern,
    query,
    redirected,
    request,
    untied,
)
from tests.ooni_reading import steps, taken, verdict


def test_older_handshakes_are_tied_to_the_open_connections_in_order() -> None:
    keys = legacy(
        queries=[untied(query, SITE, OTHER)],
        tcp_connect=[
            untied(connect, V6, "network_unreachable"),
            untied(connect, OTHER),
            untied(connect, SITE),
        ],
        tls_handshakes=[
            untied(handshake, "connection_reset"),
            untied(handshake),
        ],
    )
    record = taken(keys).measurement
    assert [(h.address, h.failure) for h in steps(Handshake, record)] == [
        (OTHER, "connection_reset"),
        (SITE, None),
    ]
    assert verdict(keys).status == "accessible"


def test_handshakes_that_cannot_be_tied_are_left_out() -> None:
    keys = legacy(tls_handshakes=[untied(handshake), untied(handshake)], requests=[])
    assert steps(Handshake, taken(keys).measurement) == []


def test_an_older_load_that_fails_as_the_address_did_is_a_second_attempt() -> None:
    keys = legacy(
        tcp_connect=[untied(connect, SITE, "generic_timeout_error")],
        tls_handshakes=None,
        requests=[untied(request, failure="generic_timeout_error", response=None)],
        x_status=4096 + 128,
    )
    record = taken(keys).measurement
    assert [(c.attempt, c.purpose, c.address) for c in steps(Connect, record)] == [
        (0, "main", SITE),
        (1, "repeat", SITE),
    ]
    found = verdict(keys)
    assert (found.status, found.layer, found.technique) == ("inconclusive", "tcp", "timeout")


def test_an_older_load_that_fails_after_good_tries_is_the_first_attempt() -> None:
    failed = untied(request, failure="connection_reset", response=None)
    found = verdict(legacy(requests=[failed], x_status=8192 + 256))
    assert (found.layer, found.technique) == ("http", "reset")
    shaken = legacy(tls_handshakes=[untied(handshake)], requests=[failed], x_status=1024)
    assert (verdict(shaken).layer, verdict(shaken).technique) == ("tls", "reset")


def test_requests_for_one_url_without_a_redirect_are_attempts() -> None:
    failed = untied(request, "http://site.org/", failure="response_never_received", response=None)
    keys = legacy(
        tcp_connect=[untied(connect, port=80)], tls_handshakes=None, requests=[failed] * 3
    )
    record = taken(keys, input="http://site.org/").measurement
    assert [(e.attempt, e.purpose) for e in steps(Exchange, record)] == [
        (0, "main"),
        (1, "repeat"),
        (2, "repeat"),
    ]
    assert verdict(keys, input="http://site.org/").technique == "closed"


def test_an_older_page_over_https_came_inside_tls_that_the_probe_had_checked() -> None:
    found = verdict(redirected(), input="http://site.org/")
    assert (found.status, found.rules) == ("accessible", ["site.reached"])


def test_an_older_page_behind_a_redirect_to_an_unseen_address_is_compared_like_any_other() -> None:
    there = untied(request, "http://www.site.org/")
    here = untied(
        request, "http://site.org/", 302, body="", headers=[["Location", "http://www.site.org/"]]
    )
    keys = legacy(
        tcp_connect=[untied(connect, port=80)], tls_handshakes=None, requests=[there, here]
    )
    assert verdict(keys, input="http://site.org/").rules == ["http.agrees"]
    there["response"]["body"] = "<title>No entry</title>"
    assert verdict(keys, input="http://site.org/").rules == ["http.differs"]


def test_a_question_of_another_kind_stays_one() -> None:
    https = query(SITE, V6, engine="udp", query_type="HTTPS", resolver_address="8.8.8.8:53")
    _, _, other = steps(Lookup, taken(modern(queries=[query(SITE, V6), https])).measurement)
    assert (other.type, other.answers) == ("HTTPS", [SITE, V6])


def test_the_oldest_probe_checked_no_certificates_so_its_page_proves_nothing() -> None:
    plain = {"annotations": {"platform": "linux"}, "software_name": "ooniprobe"}
    found = verdict(redirected(), input="http://site.org/", **plain)
    assert found.status == "inconclusive"
    assert found.certainty is None


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ("ssl_unknown_authority", ("tls", "mitm")),
        ("dns_nxdomain_error", ("dns", "nxdomain")),
        ("connection_refused", ("tcp", "refused")),
    ],
)
def test_where_an_older_redirect_ended_is_told_by_its_failure(
    failure: str, expected: tuple[str, str]
) -> None:
    keys = redirected()
    keys["requests"][0] |= {"failure": failure, "response": None}
    found = verdict(keys, input="http://site.org/")
    assert (found.layer, found.technique) == expected
    assert found.certainty == "suspected"


def test_an_older_redirect_that_ended_nobody_knows_where_was_not_answered() -> None:
    keys = redirected()
    keys["requests"][0] |= {"failure": "generic_timeout_error", "response": None}
    found = verdict(keys | {"x_status": None}, input="http://site.org/")
    assert (found.layer, found.technique, found.certainty) == ("http", "timeout", "suspected")


def test_a_forged_private_address_is_seen_as_such() -> None:
    keys = legacy(
        queries=[untied(query, "10.10.34.36", failure="dns_bogon_error")],
        tcp_connect=[],
        tls_handshakes=None,
        requests=[],
    )
    found = verdict(keys)
    assert (found.layer, found.technique) == ("dns", "forged-address")
