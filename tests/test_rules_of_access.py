"""Rules of what is no blocking: each fires, and a near miss does not."""

import msgspec
import pytest

from reports.verdicts import judge
from storage.records import HelperEndpoint, Line, Step
from tests.cases import (
    DOH,
    FORGED,
    NEIGHBOUR,
    RESET,
    SITE,
    TIMEOUT,
    arms,
    case,
    connection,
    essence,
    helper,
    loads,
    lookup,
    measurement,
)

TWO_HELPERS = (helper(), helper(url="https://helper-two.example/"))


# --- the page came ---------------------------------------------------------------------------


def test_a_page_inside_valid_tls_is_accessible() -> None:
    verdict = judge(case(measurement(loads(1))))
    assert essence(verdict) == ("accessible", None, None, None)
    assert verdict.rules == ["site.reached"]


def test_one_failed_load_of_two_does_not_make_a_site_unreachable() -> None:
    steps = [
        lookup(),
        *connection(tls=TIMEOUT),
        lookup(attempt=1),
        *connection(attempt=1, number=2),
    ]
    assert judge(case(measurement(steps))).status == "accessible"


@pytest.mark.parametrize("status", [403, 429, 451])
def test_a_refusal_inside_valid_tls_is_the_servers_own(status: int) -> None:
    verdict = judge(case(measurement(loads(1, status=status), helpers=TWO_HELPERS)))
    assert essence(verdict) == ("restricted", None, None, None)


def test_a_challenge_inside_valid_tls_is_a_restriction() -> None:
    steps = loads(1, status=503, headers=[("Cf-Mitigated", "challenge")])
    assert judge(case(measurement(steps))).status == "restricted"


def test_a_server_error_inside_valid_tls_means_down() -> None:
    assert judge(case(measurement(loads(1, status=502)))).status == "down"


def test_an_address_that_only_other_resolvers_know_is_no_access() -> None:
    steps = [
        lookup([FORGED]),
        lookup([SITE], resolver=DOH),
        *connection(address=FORGED, tls=TIMEOUT),
        *connection(address=SITE, number=2),
    ]
    assert judge(case(measurement(steps))).status == "inconclusive"


def test_another_cdn_address_that_completes_valid_tls_is_good() -> None:
    steps = [lookup([FORGED]), lookup([SITE], resolver=DOH), *connection(address=FORGED)]
    verdict = judge(case(measurement(steps, helpers=TWO_HELPERS)))
    assert essence(verdict) == ("accessible", None, None, None)
    assert verdict.interference == []


def test_plain_http_that_agrees_with_a_helper_is_accessible() -> None:
    steps = [lookup(), *connection(secure=False)]
    record = measurement(steps, url="http://foreignpolicy.com/", helpers=TWO_HELPERS)
    assert judge(case(record)).rules == ["http.agrees"]


def test_plain_http_without_a_helper_is_accessible_when_nothing_looks_wrong() -> None:
    steps = [lookup(), *connection(secure=False)]
    record = measurement(steps, url="http://foreignpolicy.com/", helpers=[helper(answered=False)])
    assert judge(case(record)).rules == ["http.unremarkable"]


def test_plain_http_that_differs_from_every_helper_is_only_suspected() -> None:
    steps = [lookup(), *connection(secure=False, title="This page is blocked", body_bytes=900)]
    record = measurement(steps, url="http://foreignpolicy.com/", helpers=TWO_HELPERS)
    assert essence(judge(case(record))) == ("inconclusive", "http", "altered", "suspected")


def test_a_page_from_a_private_address_is_not_access() -> None:
    steps = [lookup(["10.10.34.34"]), *connection(secure=False, address="10.10.34.34")]
    record = measurement(steps, url="http://foreignpolicy.com/")
    assert judge(case(record)).status == "inconclusive"


def test_a_refusal_over_plain_http_needs_a_helper_that_met_it_too() -> None:
    steps = [lookup(), *connection(secure=False, status=403)]
    alone = measurement(steps, url="http://foreignpolicy.com/")
    shared = measurement(steps, url="http://foreignpolicy.com/", helpers=[helper(status=403)])
    assert judge(case(alone)).status == "inconclusive"
    assert judge(case(shared)).status == "restricted"


def test_an_error_over_plain_http_needs_a_helper_that_met_it_too() -> None:
    steps = [lookup(), *connection(secure=False, status=502)]
    alone = measurement(steps, url="http://foreignpolicy.com/")
    shared = measurement(steps, url="http://foreignpolicy.com/", helpers=[helper(status=502)])
    assert judge(case(alone)).status == "inconclusive"
    assert judge(case(shared)).status == "down"


def test_being_sent_from_plain_http_to_a_stranger_is_not_access() -> None:
    steps = [
        lookup(),
        *connection(secure=False, status=302),
        lookup([FORGED], name="warning.example.net", hop=1),
        *connection(address=FORGED, name="warning.example.net", hop=1, number=2, title="Blocked"),
    ]
    record = measurement(steps, url="http://foreignpolicy.com/", helpers=TWO_HELPERS)
    assert essence(judge(case(record))) == ("inconclusive", "http", "redirect", "suspected")


def test_being_sent_from_plain_http_to_ones_own_www_is_access() -> None:
    name = "www.foreignpolicy.com"
    steps = [
        lookup(),
        *connection(secure=False, status=301),
        lookup(name=name, hop=1),
        *connection(name=name, hop=1, number=2),
    ]
    assert judge(case(measurement(steps, url="http://foreignpolicy.com/"))).status == "accessible"


# --- trouble that is no blocking ---------------------------------------------------------------


def test_a_site_that_a_helper_cannot_reach_either_is_down() -> None:
    record = measurement(loads(3, tcp=TIMEOUT), helpers=[helper(False)])
    verdict = judge(case(record))
    assert essence(verdict) == ("down", None, None, None)
    assert verdict.rules[0] == "site.down"


@pytest.mark.parametrize(
    ("here", "abroad"),
    [
        ("connection_refused", "connection_refused_error"),
        ("host_unreachable", "connect_error"),
        ("network_unreachable", "connect_error"),
        ("connection_reset", "connect_error"),
        ("timed_out", "generic_timeout_error"),
    ],
)
def test_a_helpers_own_word_for_the_same_failure_means_down(here: str, abroad: str) -> None:
    record = measurement(loads(3, tcp=here), helpers=[helper(False, failure=abroad)])
    assert judge(case(record)).rules[0] == "site.down"


@pytest.mark.parametrize(
    ("here", "abroad"),
    [
        ("connection_refused", "connect_error"),
        ("connection_refused", "generic_timeout_error"),
        ("host_unreachable", "connection_refused_error"),
        ("generic_timeout_error", "connect_error"),
        ("host_unreachable", "unknown_error"),
    ],
)
def test_a_helpers_word_for_another_failure_leaves_it_open(here: str, abroad: str) -> None:
    record = measurement(loads(3, tcp=here), helpers=[helper(False, failure=abroad)])
    assert judge(case(record)).rules == ["site.trouble"]


def test_a_site_whose_secure_port_alone_is_closed_to_all_is_down() -> None:
    """The other port that a helper tried, and opened, is not what was asked for."""
    seen = helper(False, failure="connection_refused_error")
    both = seen.connect | {f"{SITE}:80": HelperEndpoint(status=True)}
    view = msgspec.structs.replace(seen, connect=both)
    record = measurement(loads(3, tcp="connection_refused"), helpers=[view])
    assert judge(case(record)).status == "down"
    opened = msgspec.structs.replace(helper(), connect=both)
    near = measurement(loads(3, tcp="connection_refused"), helpers=[opened])
    assert judge(case(near)).status != "down"


def test_a_site_that_one_of_two_helpers_reaches_is_not_down() -> None:
    helpers = [helper(False), helper(url="https://helper-two.example/")]
    record = measurement(loads(3, tcp=TIMEOUT), helpers=helpers)
    assert judge(case(record)).certainty == "suspected"


def test_a_helper_that_fails_otherwise_leaves_it_open() -> None:
    record = measurement(loads(3, tls=RESET), helpers=[helper(False)])
    verdict = judge(case(record))
    assert essence(verdict) == ("inconclusive", None, None, None)
    assert verdict.rules == ["site.trouble"]


def after_a_lost_question(*reloads: dict[str, str]) -> list[Step]:
    """Return a first load whose question was never answered, and reloads that went so."""
    steps: list[Step] = [lookup([], failure=TIMEOUT)]
    for attempt, how in enumerate(reloads, start=1):
        steps += [lookup(attempt=attempt), *connection(attempt=attempt, number=attempt, **how)]  # type: ignore[arg-type]
    return steps


def test_a_question_lost_by_chance_hides_no_outage() -> None:
    helpers = [helper(False, failure="connection_refused_error")]
    refused = {"tcp": "connection_refused"}
    record = measurement(after_a_lost_question(refused, refused), helpers=helpers)
    assert judge(case(record)).rules[0] == "site.down"
    near = measurement(after_a_lost_question(refused, {"tcp": TIMEOUT}), helpers=helpers)
    assert judge(case(near)).rules == ["site.trouble"], "nothing was met twice"


def test_a_question_lost_by_chance_hides_no_blocking() -> None:
    silent = {"tls": TIMEOUT}
    record = measurement(after_a_lost_question(silent, silent), helpers=TWO_HELPERS)
    verdict = judge(case(record, contrast=arms()))
    assert essence(verdict) == ("blocked", "tls", "timeout", "confirmed")
    own = judge(case(record, contrast=arms(failing=["name@site"])))
    assert essence(own)[0] == "inconclusive", "the server may do that by itself"


def test_a_dead_helper_reads_neither_like_agreement_nor_like_disagreement() -> None:
    record = measurement(loads(3, tcp=TIMEOUT), helpers=[helper(answered=False)])
    assert judge(case(record)).rules == ["failure.unexplained"]


def test_a_failure_of_our_own_machine_alleges_nothing() -> None:
    record = measurement(loads(3, tcp="permission_denied"))
    assert essence(judge(case(record))) == ("inconclusive", None, None, None)


def test_a_failure_over_ipv6_on_a_line_without_ipv6_alleges_nothing() -> None:
    address = "2606:2800:220:1::1"
    steps = [lookup([address], type="AAAA"), *connection(address=address, tcp=TIMEOUT)]
    assert judge(case(measurement(steps))).certainty is None


def test_an_unfinished_measurement_is_inconclusive_without_certainty() -> None:
    record = measurement(loads(3, tls=TIMEOUT), complete=False)
    verdict = judge(case(record, contrast=arms()))
    assert (verdict.status, verdict.certainty) == ("inconclusive", None)


def test_a_measurement_on_a_line_that_is_not_up_is_offline() -> None:
    record = measurement(loads(1, tcp=TIMEOUT), line=Line(state="captive"))
    assert judge(case(record)).status == "offline"


def test_a_measurement_without_steps_is_inconclusive() -> None:
    assert judge(case(measurement())).rules[0] == "record.empty"


# --- reached somewhere, though not from abroad ---------------------------------------------------


@pytest.mark.parametrize("how", [{"tcp": TIMEOUT}, {"tls": RESET}])
def test_a_site_that_another_network_here_reached_is_not_down(how: dict[str, str]) -> None:
    """Sites that turn all foreigners away are silent for every helper."""
    record = measurement(loads(3, **how), helpers=[helper(reached=False)])
    assert judge(case(record)).rules[0] in ("site.down", "site.trouble")
    verdict = judge(case(record, witnesses=[measurement(loads(1), vantage=NEIGHBOUR)]))
    assert verdict.rules[0] == "failure.unexplained"
    assert (verdict.status, verdict.certainty) == ("inconclusive", "suspected")


def test_a_site_that_was_reached_at_another_address_is_not_down() -> None:
    steps: list[Step] = [lookup(resolver=DOH), *connection(number=9)]
    for attempt in range(3):
        steps += [lookup([FORGED], attempt=attempt)]
        steps += connection(address=FORGED, tcp=TIMEOUT, attempt=attempt)
    verdict = judge(case(measurement(steps, helpers=[helper(reached=False)])))
    assert (verdict.status, verdict.certainty) == ("inconclusive", "suspected")


def test_a_name_that_is_cut_off_on_some_connections_is_remarked_on() -> None:
    steps = [lookup(), *connection(tls=TIMEOUT)]
    steps += [lookup(attempt=1), *connection(attempt=1, number=2)]
    verdict = judge(case(measurement(steps, helpers=[helper()]), contrast=arms()))
    assert (verdict.status, verdict.interference) == ("accessible", ["tls.timeout"])
    assert "tls.some-connections" in verdict.rules
    passed = judge(case(measurement(steps, helpers=[helper()]), contrast=arms(["name@site"])))
    assert (passed.status, passed.interference) == ("accessible", [])
