"""Suspicion: which facts call for a second look, and which do not."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from probes.sequential import Decision, Sequential
from probes.suspicion import (
    Endpoint,
    doubted_lookup,
    failed_beside,
    failed_handshake,
    no_name_passed,
    silent_for_all,
    slow_exchange,
    stalled_exchange,
    unknown_addresses,
    unopened_endpoint,
)
from storage.records import Arm, Connect, Exchange, HelperAnswer, Step
from tests.cases import (
    DOH,
    FORGED,
    NAME,
    NEUTRAL,
    SITE,
    TIMEOUT,
    arms,
    chain,
    connection,
    helper,
    loads,
    lookup,
)


def page(**changes: object) -> list[Step]:
    """Return a connection inside valid TLS whose page came as `changes` say."""
    return [
        msgspec.structs.replace(step, **changes) if isinstance(step, Exchange) else step
        for step in connection()
    ]


@pytest.mark.parametrize(
    ("received", "seconds", "beside", "suspected"),
    [
        (32_768, 2.0, None, True),  # 16 KB/s, as throttling was measured
        (32_768, 1.0, None, False),  # 32 KB/s
        (9_000, 2.0, None, False),  # too short to tell
        (32_768, 2.0, 30_000.0, False),  # others come hardly faster on this line
        (32_768, 2.0, 90_000.0, True),
    ],
)
def test_a_page_is_slow_by_itself_and_beside_others(
    received: int, seconds: float, beside: float | None, suspected: bool
) -> None:
    steps = page(received_bytes=received, last_byte_us=round(seconds * 1e6))
    found = slow_exchange(steps, 0, beside)
    assert (found is not None) is suspected
    if found is not None:
        assert (found.name, found.address, found.port) == (NAME, SITE, 443)


@pytest.mark.parametrize(
    ("how", "stopped"),
    [
        ({"failure": TIMEOUT, "status": 200}, True),
        ({"failure": TIMEOUT, "status": None, "wire_bytes": 14_480}, True),  # inside a TLS record
        ({"failure": TIMEOUT, "status": None, "wire_bytes": 500}, False),  # only tickets came
        ({"failure": "connection_reset", "status": 200}, False),
        ({}, False),
    ],
)
def test_a_page_stops_where_it_had_begun(how: dict[str, object], stopped: bool) -> None:
    assert (stalled_exchange(page(**how), 0) is not None) is stopped


@pytest.mark.parametrize(
    ("failed", "passed", "decision"),
    [(2, 0, None), (3, 0, "fails"), (0, 1, "passes"), (1, 1, None), (3, 1, None), (4, 1, "fails")],
)
def test_a_slow_page_costs_one_fair_pair_and_is_told_by_three_slow_ones(
    failed: int, passed: int, decision: Decision | None
) -> None:
    test = Sequential(by_chance=0.1, for_cause=0.9, miss=0.12)
    assert test.decide(failed, passed) == decision


# --- what is shut, and since when ----------------------------------------------------------------


def shut_after_the_first(**later: object) -> list[Step]:
    """Return a load whose handshake is cut off, and two that come to less."""
    steps = loads(1, tls=TIMEOUT)
    for attempt in (1, 2):
        steps += [lookup(attempt=attempt), *connection(attempt=attempt, number=9, **later)]  # type: ignore[arg-type]
    return steps


def test_a_name_is_still_suspected_where_its_address_has_been_shut_since() -> None:
    suspect = failed_handshake(shut_after_the_first(tcp=TIMEOUT), 2)
    assert suspect is not None
    assert (suspect.name, suspect.address, suspect.port) == (NAME, SITE, 443)


def test_a_name_is_no_more_suspected_where_its_address_opened_since() -> None:
    assert failed_handshake(shut_after_the_first(http=TIMEOUT), 2) is None
    elsewhere = [
        step
        for step in shut_after_the_first(tcp=TIMEOUT)
        if not (isinstance(step, Connect) and step.attempt)
    ]
    assert failed_handshake(elsewhere, 2) is None


@pytest.mark.parametrize(("times", "suspected"), [(2, True), (1, False)])
@pytest.mark.parametrize("last", [{"http": TIMEOUT}, {"http": "connection_reset"}, {}])
def test_a_name_cut_off_twice_is_suspected_whatever_passed_since(
    times: int, suspected: bool, last: dict[str, object]
) -> None:
    steps = loads(times, tls=TIMEOUT)
    steps += [lookup(attempt=times), *connection(attempt=times, number=9, **last)]  # type: ignore[arg-type]
    assert (failed_handshake(steps, times) is not None) is suspected


# --- where the resolver leads astray -------------------------------------------------------------

ASTRAY: list[Step] = [lookup([FORGED]), lookup(resolver=DOH), *connection(tls=TIMEOUT, number=2)]


def test_a_name_cut_off_where_only_others_led_is_suspected_there() -> None:
    suspect = failed_beside([*ASTRAY, *connection(address=FORGED, tcp=TIMEOUT)])
    assert suspect is not None
    assert (suspect.name, suspect.address, suspect.port) == (NAME, SITE, 443)
    stranger = connection(address=FORGED, tls="ssl_unknown_authority", certificates=chain("x.y"))
    assert failed_beside([*ASTRAY, *stranger]) == suspect


def test_a_name_cut_off_at_the_systems_own_address_is_suspected_there() -> None:
    assert failed_beside([*ASTRAY, *connection(address=FORGED, tls=TIMEOUT)]) is None
    assert failed_beside([*ASTRAY, *connection(address=FORGED)]) is None  # and nowhere if it works
    assert failed_beside(loads(1, tls=TIMEOUT)) is None


def unresolved(*helpers: Sequence[str]) -> tuple[list[Step], list[HelperAnswer]]:
    """Return what is met where no encrypted resolver answers, and helpers that know addresses."""
    steps: list[Step] = [lookup([FORGED]), lookup([], resolver=DOH, failure=TIMEOUT)]
    return steps, [helper(dns=known) for known in helpers]


@pytest.mark.parametrize(
    ("known", "tried"),
    [
        ([[SITE], [SITE, NEUTRAL]], [SITE]),
        ([[SITE]], []),  # one helper alone could lead anywhere
        ([[SITE], [NEUTRAL]], []),
        ([[FORGED], [FORGED]], []),  # nothing new
        ([[SITE, SITE]], []),
        ([["192.168.1.1", "::1"], ["192.168.1.1", "::1"]], []),  # the volunteer's own network
        ([["224.0.0.1", "fd00::1"], ["224.0.0.1", "fd00::1"]], []),
    ],
)
def test_only_what_two_helpers_know_is_tried(known: list[list[str]], tried: list[str]) -> None:
    assert unknown_addresses(*unresolved(*known)) == tried


def test_helpers_are_not_needed_where_an_encrypted_resolver_answers_or_tls_completes() -> None:
    steps, helpers = unresolved([SITE], [SITE])
    answered = lookup([], resolver=DOH, failure="dns_nxdomain_error", rcode=3)
    assert unknown_addresses([*steps, answered], helpers) == []
    assert unknown_addresses([*steps, *connection(address=FORGED)], helpers) == []


def test_a_lookup_is_doubted_by_what_helpers_agree_on_where_no_resolver_is_trusted() -> None:
    steps, helpers = unresolved([SITE], [SITE])
    asked = msgspec.structs.replace(lookup([FORGED], resolver="udp"), address="8.8.8.8")
    suspect = doubted_lookup([*steps, asked], helpers)
    assert suspect is not None
    assert (suspect.name, suspect.address) == (NAME, "8.8.8.8")
    assert doubted_lookup([*steps, asked], helpers[:1]) is None
    same = [lookup(), lookup([], resolver=DOH, failure=TIMEOUT)]
    truthful = msgspec.structs.replace(lookup(resolver="udp"), address="8.8.8.8")
    assert doubted_lookup([*same, truthful], helpers) is None


def test_an_address_that_never_opens_is_looked_at_where_a_helper_opens_it() -> None:
    shut = loads(3, tcp=TIMEOUT)
    assert unopened_endpoint(shut, [helper()], 2) == Endpoint(SITE, 443)
    assert unopened_endpoint(shut, [helper(reached=False)], 2) is None
    assert unopened_endpoint(shut, [helper(answered=False)], 2) is None
    assert unopened_endpoint(shut_after_the_first(tcp=TIMEOUT), [helper()], 2) is None
    assert unopened_endpoint(loads(3), [helper()], 2) is None


def test_one_open_address_of_two_is_enough() -> None:
    both: list[Step] = [lookup([SITE, NEUTRAL])]
    both += [*connection(tcp=TIMEOUT), *connection(address=NEUTRAL, tls=TIMEOUT, number=2)]
    assert unopened_endpoint(both, [helper()], 0) is None


def test_no_name_passed_where_every_arm_at_the_address_was_left_without_a_word() -> None:
    place = Endpoint(SITE, 443)
    at_site: list[Arm] = ["name@site", "neutral@site", "none@site"]
    assert no_name_passed(arms(at_site), place)
    assert not no_name_passed(arms(at_site[:1]), place)
    assert not no_name_passed([], place)


# --- what needs no second look -------------------------------------------------------------------


ONE = "https://helper-one.example/"
OTHER = "https://helper-two.example/"
SILENT = helper(reached=False, url=ONE)


@pytest.mark.parametrize(
    ("helpers", "told"),
    [
        ([SILENT, helper(reached=False, url=OTHER)], True),
        ([SILENT, helper(reached=False, url=OTHER), helper(answered=False)], True),
        ([SILENT], False),  # it may lie, or have failed by chance as we did
        ([SILENT, SILENT], False),
        ([SILENT, helper(answered=False, url=OTHER)], False),
        ([SILENT, helper(url=OTHER)], False),  # the site is up
        ([SILENT, helper(reached=False, url=OTHER, layer="tls")], False),  # its address is
        ([SILENT, helper(reached=False, url=OTHER, failure="connection_refused")], False),
        ([SILENT, helper(reached=False, url=OTHER, layer="dns")], False),
        ([], False),
    ],
)
def test_a_silence_that_two_helpers_met_too_needs_no_second_look(
    helpers: list[HelperAnswer], told: bool
) -> None:
    assert silent_for_all(loads(1, tcp=TIMEOUT), helpers) is told


@pytest.mark.parametrize("how", [{"tcp": "connection_refused"}, {"tls": TIMEOUT}, {}])
def test_whatever_else_went_wrong_does(how: dict[str, object]) -> None:
    both = [SILENT, helper(reached=False, url=OTHER)]
    assert not silent_for_all(loads(1, **how), both)
    assert not silent_for_all([lookup([])], both)


def test_every_address_was_silent_for_the_helpers_as_well() -> None:
    both: list[Step] = [lookup([SITE, NEUTRAL])]
    both += [*connection(tcp=TIMEOUT), *connection(address=NEUTRAL, tcp=TIMEOUT, number=2)]
    assert not silent_for_all(both, [SILENT, helper(reached=False, url=OTHER)])  # asked of one only
