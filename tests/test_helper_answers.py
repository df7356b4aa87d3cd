"""What is kept of helpers' words, and whether several say the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from probes.agreement import agreement_of
from probes.clock import SystemClock
from probes.helper_answers import answer_of, read_response
from probes.own import OwnAddresses
from probes.trace import Trace
from storage.records import HelperAgreement, HelperAnswer

ASKED = ["192.0.2.1:443", "192.0.2.1:80"]
START = "2026-11-23T12:00:00.000000Z"
KEY, OTHER_KEY = "a" * 64, "b" * 64
WORKED = {"status": True, "failure": None}
FAILED = {"status": False, "failure": "generic_timeout_error"}
PAGE = {"status_code": 200, "body_length": 900, "title": "News", "headers": {}, "failure": None}
NO_PAGE = {"status_code": -1, "body_length": -1, "title": "", "failure": "dns_lookup_error"}
OURS = {"tool": "sitewatch 0.1.0", "simhash": "00ff00ff00ff00ff", "spki": {ASKED[0]: KEY}}


def said(**changed: Any) -> dict[str, Any]:
    """Return a helper's words: all is well, but for what is changed; None leaves a key out."""
    words: dict[str, Any] = {
        "tcp_connect": {ASKED[0]: WORKED, ASKED[1]: WORKED},
        "tls_handshake": {ASKED[0]: WORKED},
        "http_request": PAGE,
        "dns": {"failure": None, "addrs": ["192.0.2.1"]},
    }
    return {key: value for key, value in (words | changed).items() if value is not None}


def kept(**changed: Any) -> HelperAnswer:
    response = read_response(msgspec.json.encode(said(**changed)))
    assert response is not None
    trace = Trace(SystemClock(), OwnAddresses())
    return answer_of(trace, "https://helper.example/", response, ASKED, START, 1)


def silent() -> HelperAnswer:
    return HelperAnswer(
        helper="h", answered=False, failure="generic_timeout_error", start=START, duration_us=1
    )


def test_the_words_of_our_own_helper_are_kept() -> None:
    answer = kept(x_sitewatch=OURS | {"body_sha256": KEY, "language": "en", "truncated": True})
    assert answer.tool == "sitewatch 0.1.0"
    assert answer.keys == {ASKED[0]: KEY}
    page = answer.exchange
    assert (page.simhash, page.body_sha256) == (OURS["simhash"], KEY)
    assert (page.language, page.truncated) == ("en", True)


def test_other_helpers_do_not_say_them() -> None:
    answer = kept()
    assert (answer.tool, answer.keys) == (None, {})
    assert (answer.exchange.simhash, answer.exchange.truncated) == (None, None)


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        said(dns=None),
        said(http_request=None),
        said(http_request=PAGE | {"status_code": "200"}),
        said(tcp_connect={ASKED[0]: {"status": 1}}),
        said(dns={"addrs": "192.0.2.1"}),
        said(x_sitewatch=OURS | {"spki": [KEY]}),
    ],
    ids=repr,
)
def test_what_is_not_the_protocol_is_no_answer(document: Any) -> None:
    assert read_response(msgspec.json.encode(document)) is None


def test_empty_maps_may_be_null() -> None:
    """Go writes them so."""
    nothing = {"failure": "dns_name_error", "addrs": None}
    document = said(dns=nothing, http_request=NO_PAGE) | {"tcp_connect": None}
    response = read_response(msgspec.json.encode(document))
    assert response is not None
    assert response.tcp_connect is None


@pytest.mark.parametrize(
    "where",
    ["198.51.100.9:443", "192.0.2.1:0", "192.0.2.1:99999", "192.0.2.1:0443", "x", "[::1]:1"],
)
def test_endpoints_that_nobody_asked_for_are_left_out(where: str) -> None:
    answer = kept(tcp_connect={where: WORKED}, x_sitewatch=OURS | {"spki": {where: KEY}})
    assert (answer.connect, answer.keys) == ({}, {})


def test_endpoints_at_addresses_that_the_helper_found_are_kept() -> None:
    found = {"addrs": ["2001:db8::1"]}
    answer = kept(dns=found, tcp_connect={"[2001:db8::1]:8443": WORKED})
    assert list(answer.connect) == ["[2001:db8::1]:8443"]


def test_what_contradicts_itself_is_left_out() -> None:
    both = {"status": True, "failure": "connection_refused_error"}
    assert kept(tcp_connect={ASKED[0]: both, ASKED[1]: FAILED}).connect.keys() == {ASKED[1]}
    page = kept(http_request=PAGE | {"failure": "unknown_error"}).exchange
    assert (page.status, page.title, page.failure) == (None, None, "unknown_error")


def test_failures_are_words_and_hashes_are_hashes() -> None:
    odd = kept(
        http_request=NO_PAGE | {"failure": "\x1b[2J own words"},
        x_sitewatch=OURS | {"simhash": "zz", "spki": {ASKED[0]: "not a hash"}},
    )
    assert odd.exchange.failure == "unknown_error"
    assert (odd.exchange.simhash, odd.keys) == (None, {})


# --- agreement ------------------------------------------------------------------------------------


def test_helpers_that_say_the_same_agree() -> None:
    both = agreement_of([kept(x_sitewatch=OURS), kept(x_sitewatch=OURS)])
    points = dict.fromkeys(["names", "addresses", "connect", "handshake", "keys"], True)
    more = dict.fromkeys(["page", "status", "title", "text"], True)
    assert both == HelperAgreement(asked=2, answered=2, **points, **more)


@pytest.mark.parametrize(
    ("changed", "points"),
    [
        ({"dns": {"addrs": ["192.0.2.9"]}}, {"addresses"}),
        ({"dns": {"failure": "dns_name_error", "addrs": []}}, {"names"}),
        ({"tcp_connect": {ASKED[0]: FAILED}}, {"connect"}),
        ({"tls_handshake": {ASKED[0]: FAILED}}, {"handshake"}),
        ({"http_request": NO_PAGE}, {"page"}),
        ({"http_request": PAGE | {"status_code": 403}}, {"status"}),
        ({"http_request": PAGE | {"title": "Denied"}}, {"title"}),
        ({"x_sitewatch": OURS | {"spki": {ASKED[0]: OTHER_KEY}}}, {"keys"}),
        ({"x_sitewatch": OURS | {"simhash": "ff00ff00ff00ff00"}}, {"text"}),
        ({"x_sitewatch": OURS | {"simhash": "00ff00ff00ff00fe"}}, set()),
    ],
    ids=repr,
)
def test_each_disagreement_is_told_by_its_point(changed: dict[str, Any], points: set[str]) -> None:
    first = kept(x_sitewatch=OURS)
    found = agreement_of([first, first, kept(**{"x_sitewatch": OURS} | changed)])
    assert found is not None
    told = msgspec.structs.asdict(found)
    assert {point for point, same in told.items() if same is False} == points


def test_silence_is_no_disagreement() -> None:
    alone = agreement_of([kept(), silent()])
    assert alone == HelperAgreement(asked=2, answered=1)
    two = agreement_of([kept(), silent(), kept()])
    assert two is not None
    assert (two.asked, two.answered, two.page, two.keys, two.text) == (3, 2, True, None, None)
    assert agreement_of([silent(), silent()]) == HelperAgreement(asked=2, answered=0)


def test_one_helper_cannot_agree() -> None:
    assert agreement_of([kept()]) is None
    assert agreement_of([]) is None
