"""Reading OONI's measurements: each event's fate, the verdict that follows, and hostile input."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probes.certificates import describe
from reports.cases import Case, gather
from reports.verdicts import judge
from sitewatch.ooni_files import import_ooni
from storage import ooni_import
from storage.errors import RefusedError
from storage.failures import Failure
from storage.intake import accept_made, referred_blobs
from storage.ooni_document import BrokenError, NotOursError, Tools, read_document
from storage.ooni_failures import ours, theirs
from storage.ooni_import import Taken, vantage_for
from storage.ooni_own import EXPRESSED
from storage.reading import Stored
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    Lookup,
    Measurement,
    Verdict,
    canonical,
)
from storage.store import Store
from tests.ooni_fixtures import (
    OTHER,
    PAGE,
    SITE,
    V6,
    certificate,
    connect,
    control,
    handshake,
    legacy,
    line,
    measurement,
    modern,
    query,
    request,
    untied,
)

SAMPLES = Path(__file__).parents[2] / "shared" / "samples" / "ooni"
TOOLS = Tools(lambda url: _http(url), describe)


def _http(url: str) -> str:
    if not url.startswith("http"):
        raise ValueError("not a URL that starts with http:// or https://")
    return url


def take(data: bytes) -> Taken:
    document = read_document(data, TOOLS)
    vantage = msgspec.structs.replace(vantage_for(document), id="0" * 32)
    return ooni_import.take(document, TOOLS, vantage)


def taken(test_keys: dict[str, Any], **changes: Any) -> Taken:
    found = take(line(measurement(test_keys, **changes)))
    accept_made(found.round)  # what is read may always be stored
    accept_made(found.measurement)
    assert found.blobs.keys() <= referred_blobs(found.measurement)
    return found


def verdict(test_keys: dict[str, Any], **changes: Any) -> Verdict:
    return judge(Case(id="sha256:" + "0" * 64, measurement=taken(test_keys, **changes).measurement))


def steps(kind: type, record: Measurement) -> list[Any]:
    return [step for step in record.steps if isinstance(step, kind)]


# --- around the events -----------------------------------------------------------------------


def test_the_record_says_whose_measurement_it_is() -> None:
    found = taken(modern())
    record, round = found.measurement, found.round
    assert record.tool == round.tool == "miniooni 3.21.0"
    assert record.source_id == "20240123143207.000001_KZ_webconnectivity_0123456789abcdef"
    assert round.source_id == "20240123T143157Z_webconnectivity_KZ_9198_n1_AAAAAAAAAAAAAAAA"
    assert record.time == "2024-01-23T14:32:07.000000Z"
    assert round.time == "2024-01-23T14:31:57.000000Z"
    assert (record.vantage.country, record.vantage.asn) == ("KZ", 9198)
    assert record.vantage.source == "ooni"
    assert record.line.resolver_asn == 9198
    assert record.simulated is False


def test_the_measurements_of_one_report_share_their_round() -> None:
    first = taken(modern())
    second = taken(modern(), measurement_start_time="2024-01-23 14:33:00", input="http://b.org/")
    assert first.measurement.round == second.measurement.round
    assert taken(modern(), report_id="another").measurement.round != first.measurement.round


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"probe_asn": "AS0"}, ("KZ", None)),
        ({"probe_asn": "AS99999999999"}, ("KZ", None)),
        ({"probe_cc": "ZZ"}, (None, 9198)),
        ({"probe_cc": "kz; DROP", "probe_asn": 9198}, (None, None)),
    ],
)
def test_a_network_that_is_not_told_is_not_known(
    changes: dict[str, Any], expected: tuple[str | None, int | None]
) -> None:
    seen = taken(modern(), **changes).measurement.vantage
    assert (seen.country, seen.asn) == expected


def test_the_volunteers_own_address_of_old_files_is_not_kept() -> None:
    page = f"{PAGE} for 198.51.100.7 only, not 198.51.100.70"
    keys = modern(
        requests=[request("http://site.org/", body=page, headers=[["X-For", "198.51.100.7"]])]
    )
    found = taken(keys, probe_ip="198.51.100.7", input="http://site.org/")
    kept = canonical(found.measurement) + b"".join(found.blobs.values())
    assert not re.search(rb"198\.51\.100\.7(?!0)", kept)
    assert b"[scrubbed] only, not 198.51.100.70" in kept
    assert b"192.0.2.53" not in kept  # nor its resolver's


def test_a_line_on_which_nothing_answered_was_not_up() -> None:
    dead = query(failure="generic_timeout_error", t=4.0)
    keys = modern(
        queries=[dead],
        tcp_connect=[],
        tls_handshakes=[],
        requests=[],
        control=None,
        control_failure="unknown_failure: network is down",
    )
    assert verdict(keys).status == "offline"
    refused = keys | {"queries": [query(failure="dns_nxdomain_error")]}
    assert verdict(refused).status == "inconclusive"


# --- the newer test keys ---------------------------------------------------------------------


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


# --- the older test keys ---------------------------------------------------------------------


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


def redirected() -> dict[str, Any]:
    return legacy(
        tcp_connect=[untied(connect, port=80)],
        tls_handshakes=None,
        requests=[
            untied(request, "https://site.org/"),
            untied(
                request,
                "http://site.org/",
                301,
                body="",
                headers=[["Location", "https://site.org/"]],
            ),
        ],
    )


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


# --- evidence of several measurements --------------------------------------------------------


def test_a_neighbouring_network_makes_a_repeated_failure_a_block(tmp_path: Path) -> None:
    blocked = legacy(
        tls_handshakes=[untied(handshake, "connection_reset")],
        requests=[untied(request, failure="connection_reset", response=None)],
        x_status=1024,
    )
    file = tmp_path / "two.jsonl"
    elsewhere = {"probe_asn": "AS29555", "report_id": "other", "measurement_uid": "other"}
    later = {"measurement_start_time": "2024-01-23 15:00:00"}
    file.write_bytes(line(measurement(blocked)) + line(measurement(modern(), **elsewhere, **later)))
    with Store(tmp_path / "s.db") as store:
        import_ooni(store, file)
        verdicts = {c.measurement.vantage.asn: judge(c) for c in gather(store.measurements())}
    assert (verdicts[9198].status, verdicts[9198].certainty) == ("blocked", "likely")
    assert verdicts[9198].rules == ["two-witnesses"]
    assert verdicts[29555].status == "accessible"


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs_", "ours_"),
    [
        (None, None),
        (False, None),
        (True, "unknown_failure"),
        ("connection_reset", "connection_reset"),
        ("tcp_timed_out_error", "timed_out"),
        ("android_dns_cache_no_data", "dns_no_answer"),
        ("unknown_failure: stopped after 10 redirects", "http_too_many_redirects"),
        ("unknown_failure: something new", "unknown_failure"),
        (17, "unknown_failure"),
    ],
)
def test_every_failure_has_a_word_of_ours(theirs_: object, ours_: str | None) -> None:
    assert ours(theirs_) == ours_


def test_every_failure_of_ours_survives_their_format() -> None:
    for failure in Failure:
        word = theirs(failure)
        assert word is not None
        assert ours(word) == failure


def test_every_field_of_a_step_is_either_theirs_or_stands_beside() -> None:
    for kind, expressed in EXPRESSED.items():
        assert expressed <= set(kind.__struct_fields__)


# --- hostile and broken ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "not a measurement in JSON"),
        (b"[]", "not a measurement in JSON"),
        (b'{"test_name":"web_connectivity","test_keys":' + b"[" * 1_000_000, "not a measurement"),
        (b'{"x":' + b'{"x":' * 1_000_000, "not a measurement"),
        (line(measurement([])), "not a measurement in JSON"),  # type: ignore[arg-type]
        (line(measurement(modern(), input=None)), "no input URL"),
        (line(measurement(modern(), input=["a"])), "no input URL"),
        (line(measurement(modern(), input="ftp://a/")), "not a URL"),
        (line(measurement(modern(), measurement_start_time="today")), "no start time"),
        (line(measurement(modern(), measurement_start_time="0001-01-01 00:00:00")), "no start"),
        (line(measurement({"queries": 5})), "no event that can be read"),
        (line(measurement(modern(), software_name="sitewatch")), "x_sitewatch"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",  # certificates differ in each worker
)
def test_what_is_no_measurement_is_refused_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(BrokenError, match=why):
        take(data)


def test_another_test_is_named() -> None:
    with pytest.raises(NotOursError) as caught:
        take(line(measurement({}, test_name="ndt")))
    assert caught.value.test == "ndt"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(place for key, one in inside for place in places(one, (*path, key)))]


OWN = modern(x_sitewatch={"line": {"state": "up"}, "steps": [], "helpers": [], "tier": None})
OWN["tcp_connect"][0]["x_sitewatch"] = {"attempt": 1, "arm": "name@site", "connection": 7}
OWN["queries"][0]["x_sitewatch"] = {"replies": [{"after_us": 3, "answers": [SITE]}]}
GROUND = [
    measurement(OWN, software_name="sitewatch"),
    measurement(modern(x_dns_duplicate_responses=[query(SITE)])),
    measurement(legacy()),
    measurement(redirected()),
]
PLACES = [
    (number, place) for number, document in enumerate(GROUND) for place in places(document)[1:]
]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.just("9" * 400),
    st.just([[]]),
    st.just({"format": "base64", "data": "%%%"}),
    st.just({"a": {"b": None}}),
    st.lists(st.integers(), max_size=3),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), JUNK)
def test_no_odd_value_anywhere_does_more_than_spoil_its_line(
    place: tuple[int, tuple[Any, ...]], junk: Any
) -> None:
    document = json.loads(json.dumps(GROUND[place[0]]))
    target = document
    for key in place[1][:-1]:
        target = target[key]
    target[place[1][-1]] = junk
    try:
        found = take(line(document))
        accept_made(found.measurement)
    except (BrokenError, NotOursError):
        return
    except RefusedError:
        assert place[0] == 0  # what we say beside OONI's keys is checked on storing
        return
    judge(gather([Stored("sha256:" + "0" * 64, found.measurement)])[0])


# --- real ones -------------------------------------------------------------------------------

# Ten years of real measurements: our verdict beside OONI's (blocking, accessible).
REAL = {
    # The page was reached inside TLS.
    "01202003026e2b60ffaa8e1b2bc7865d0bc26659": ("accessible", None, (False, True)),
    "20221110100919.165568_US_webconnectivity_782abf479bf32868": (
        "accessible",
        None,
        (False, True),
    ),
    "issue-2456": ("accessible", None, (False, True)),
    # It led over plain HTTP to another site, whose page is the one that the helper got as well.
    "firefoxcom": ("accessible", None, (False, True)),
    # A redirect to a block page of another host: OONI took shared header names for agreement.
    "20250527233111.802678_ID_webconnectivity_5a37ec909dbf14e3": (
        "inconclusive",
        "http.redirect",
        (False, True),
    ),
    # Port 80 is dead for the helper too: OONI leaves such measurements without a verdict.
    "dnsgoogle80": ("down", None, (None, None)),
    # The helper failed as well, but with "unknown_error", which is not provably the same way.
    "20201029043459.005820_RU_webconnectivity_604f1cb2579d144d": (
        "inconclusive",
        None,
        (False, False),
    ),
    # A forged private address: without an encrypted resolver only suspected.
    "web_connectivity_ir_fp": ("blocked", "dns.forged-address", ("dns", False)),
    # A network's login page at a private address.
    "web_connectivity_b64_hdr": ("inconclusive", None, ("http-failure", False)),
    # A name that does not exist abroad either; the network shows a search page instead.
    "web_connectivity_odd_hdr": ("inconclusive", None, ("dns", False)),
}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real measurements are not here")
def test_all_real_measurements_are_read_and_judged_soberly(tmp_path: Path) -> None:
    seen = {}
    for path in sorted(SAMPLES.glob("*.json")):
        with Store(tmp_path / f"{path.stem}.db") as store:
            done = import_ooni(store, path)
            assert (done.new, done.broken) == (1, 0), done
            (case,) = gather(store.measurements())
            assert store.check() == []
        found = judge(case)
        keys = json.loads(path.read_bytes())["test_keys"]
        technique = f"{found.layer}.{found.technique}" if found.layer else None
        seen[path.stem] = (found.status, technique, (keys["blocking"], keys["accessible"]))
    assert seen == REAL
