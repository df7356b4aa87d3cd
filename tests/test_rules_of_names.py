"""Rules about names: filters at home told from resolvers that lie, and injection shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from reports.verdicts import judge
from storage.records import (
    Arm,
    Exchange,
    HelperAnswer,
    HelperEndpoint,
    Line,
    Lookup,
    Reply,
    Step,
    Verdict,
)
from tests.cases import (
    DOH,
    FORGED,
    NAME,
    NEIGHBOUR,
    NEUTRAL,
    RESET,
    SITE,
    TIMEOUT,
    UP,
    arms,
    case,
    chain,
    connection,
    essence,
    helper,
    loads,
    lookup,
    measurement,
)
from tests.experiment_cases import ARMS, NAMED
from tests.name_cases import (
    AT_HOME,
    FOREIGN,
    IN_CLEAR,
    POOL,
    STRANGER,
    at_edge,
    denied,
    led_to,
    questions,
    rotated,
    twice_blocked,
)


def test_a_resolver_at_home_that_alone_denies_a_name_may_be_a_filter_there() -> None:
    record = measurement(denied(AT_HOME), line=AT_HOME, helpers=[helper()])
    verdict = judge(case(record))
    assert essence(verdict) == ("inconclusive", "dns", "nxdomain", "suspected")
    assert verdict.rules[0] == "home.filter"


def test_a_filters_own_page_is_named_after_the_address_that_was_given() -> None:
    steps: list[Step] = [lookup(resolver="udp")]
    for attempt in range(3):
        steps += [lookup([FORGED], attempt=attempt), lookup(resolver=DOH, attempt=attempt)]
        steps += connection(address=FORGED, attempt=attempt, tcp="connection_refused", number=8)
        steps += connection(attempt=attempt, number=9)
    verdict = judge(case(measurement(steps, line=AT_HOME, helpers=[helper()])))
    assert essence(verdict) == ("inconclusive", "dns", "forged-address", "suspected")
    assert verdict.interference == ["dns.forged-address"]


@pytest.mark.parametrize(
    ("line", "certainty"),
    [
        (Line(state="up", ipv4=True, resolver_at_home=False), "likely"),
        (Line(state="up", ipv4=True), "suspected"),
        (Line(state="up", ipv4=True, resolver_at_home=False, tunnelled=True), "suspected"),
    ],
)
def test_a_resolver_that_is_known_to_be_none_of_the_home_is_held_to_its_word(
    line: Line, certainty: str
) -> None:
    record = measurement(denied(line), line=line, helpers=[helper()])
    verdict = judge(case(record))
    assert (verdict.technique, verdict.certainty) == ("nxdomain", certainty)
    assert (verdict.status == "blocked") is (certainty == "likely")


def test_lies_of_public_resolvers_on_the_way_are_no_homes_filter() -> None:
    strange = chain("portal.example")
    shown = connection(address=FORGED, tls="ssl_invalid_hostname", certificates=strange, number=9)
    steps = [*denied(AT_HOME, [FORGED]), *shown]
    record = measurement(steps, line=AT_HOME, helpers=[helper()])
    assert judge(case(record)).status == "blocked"
    diverted = msgspec.structs.replace(AT_HOME, diverted=True)  # by a router at home, perhaps
    record = measurement(steps, line=diverted, helpers=[helper()])
    assert judge(case(record)).certainty == "suspected"


def test_a_public_resolvers_denial_in_clear_is_a_lie_on_the_way() -> None:
    asked = lookup([], resolver="udp", failure="dns_nxdomain_error")
    record = measurement([asked, *denied(AT_HOME)], line=AT_HOME, helpers=[helper()])
    assert judge(case(record)).certainty == "likely"


@pytest.mark.parametrize("dead", [None, TIMEOUT])
def test_an_edge_that_only_a_public_resolver_gives_is_no_lie(dead: str | None) -> None:
    tried = connection(address=FORGED, tcp=dead, number=9) if dead else []
    steps = [*denied(AT_HOME, [FORGED]), *tried]
    record = measurement(steps, line=AT_HOME, helpers=[helper()])
    assert judge(case(record)).certainty == "suspected"


def test_a_second_home_of_the_country_that_meets_the_same_lifts_the_doubt() -> None:
    record = measurement(denied(AT_HOME), line=AT_HOME, helpers=[helper()])
    witness = measurement(denied(AT_HOME), line=AT_HOME, vantage=NEIGHBOUR)
    assert judge(case(record, witnesses=[witness])).certainty == "likely"


def test_a_resolver_that_somebody_chose_may_be_a_filter_of_his() -> None:
    line = Line(state="up", ipv4=True, resolver_at_home=False, resolver_elsewhere=True)
    record = measurement(denied(line), line=line, helpers=[helper()])
    assert judge(case(record)).certainty == "suspected"
    own = msgspec.structs.replace(line, resolver_elsewhere=False)
    assert judge(case(msgspec.structs.replace(record, line=own))).certainty == "likely"


@pytest.mark.parametrize(
    ("why", "certainty"), [(22, "suspected"), (6, "suspected"), (17, "likely"), (None, "likely")]
)
def test_a_resolver_that_blames_the_names_own_servers_is_believed(
    why: int | None, certainty: str
) -> None:
    line = Line(state="up", ipv4=True, resolver_at_home=False)
    steps = [
        msgspec.structs.replace(s, failure="dns_servfail_error", extended_error=why)
        if isinstance(s, Lookup) and s.resolver == "system"
        else s
        for s in denied(line)
    ]
    record = measurement(steps, line=line, helpers=[helper()])
    assert judge(case(record)).certainty == certainty


@pytest.mark.parametrize("rcode", [None, 2])
def test_a_resolver_that_is_silent_or_fails_by_chance_blocks_nothing(rcode: int | None) -> None:
    """On a poor line programs get no answer again and again, while the resolver sends true ones."""
    line = Line(state="up", ipv4=True, resolver_at_home=False)

    def loaded(*replies: Sequence[str]) -> Verdict:
        failed = {"failure": "dns_temporary_failure", "rcode": rcode}
        steps = [lookup([SITE], resolver=DOH), *connection()]
        steps += [
            lookup([], attempt=attempt, replies=[reply] if reply else [], **failed)  # type: ignore[arg-type]
            for attempt, reply in enumerate(replies)
        ]
        return judge(case(measurement(steps, line=line, helpers=[helper()])))

    technique = "servfail" if rcode else "timeout"
    assert essence(loaded([], [], [])) == ("blocked", "dns", technique, "likely")
    assert essence(loaded([], [], [SITE])) == ("inconclusive", "dns", technique, "suspected")
    assert loaded([], [], [FORGED]).status == "blocked", "only the site's own address tells"


def test_a_denial_that_races_the_true_answer_is_injected() -> None:
    line = Line(state="up", ipv4=True, resolver_at_home=False)
    replies = [Reply(after_us=1, rcode=3), Reply(after_us=9, rcode=0, answers=[SITE])]
    raced = msgspec.structs.replace(lookup(resolver="udp"), replies=replies)
    record = measurement([raced, *denied(line)], line=line)
    verdict = judge(case(record))
    assert essence(verdict) == ("blocked", "dns", "injected", "likely")
    assert verdict.rules[0] == "dns.injected"
    late = msgspec.structs.replace(lookup(resolver="udp"), replies=replies[1:])
    assert judge(case(measurement([late, *denied(line)], line=line))).certainty == "suspected"


def test_an_answer_from_where_no_resolver_is_proves_that_somebody_answers() -> None:
    record = measurement(denied(Line(state="up", ipv4=True)), helpers=[helper()])
    verdict = judge(case(record, contrast=questions(["neutral@site", *NAMED])))
    assert essence(verdict) == ("blocked", "dns", "nxdomain", "confirmed")
    assert verdict.rules[0] == "dns.answered-for"
    every = judge(case(record, contrast=questions([arm for arm, _, _ in ARMS])))
    assert (every.technique, every.certainty) == ("nxdomain", "likely")


def test_a_forged_answer_that_changes_nothing_is_remarked_on() -> None:
    record = measurement(loads(1))
    verdict = judge(case(record, contrast=questions(["neutral@site", *NAMED])))
    assert (verdict.status, verdict.interference) == ("accessible", ["dns.forged-address"])


# --- a name that is lied about, and cut off as well ----------------------------------------------


def test_a_name_cut_off_at_its_true_address_is_confirmed_where_the_resolver_lies() -> None:
    verdict = judge(case(twice_blocked(), contrast=arms()))
    assert essence(verdict) == ("blocked", "tls", "timeout", "confirmed")
    assert verdict.rules == ["tls.name-blocked-beside", "dns.lies-too"]
    assert verdict.interference == ["tls.timeout", "dns.forged-address"]


@pytest.mark.parametrize("failing", [["name@site"], [*NAMED, "foreign@neutral"]])
def test_a_name_that_passes_anywhere_else_is_not_cut_off_by_itself(failing: list[Arm]) -> None:
    verdict = judge(case(twice_blocked(), contrast=arms(failing)))
    assert (verdict.status, verdict.certainty) == ("inconclusive", "suspected")


def test_a_filter_at_home_is_no_interference_beside_a_name_that_is_cut_off() -> None:
    verdict = judge(case(twice_blocked(line=AT_HOME), contrast=arms()))
    assert essence(verdict) == ("blocked", "tls", "timeout", "confirmed")
    assert "dns.lies-too" not in verdict.rules


# --- who knows the true address -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "source"),
    [
        ([lookup(resolver="udp")], "a public resolver"),
        ([], "helpers abroad"),
        ([lookup(resolver="udp"), lookup(resolver=DOH)], "an encrypted resolver"),
    ],
)
def test_an_address_proves_itself_whoever_gave_it(known: list[Step], source: str) -> None:
    steps = [*known, *connection(number=9)]
    for attempt in range(3):
        steps += [lookup([], failure="dns_nxdomain_error", attempt=attempt)]
    verdict = judge(case(measurement(steps, helpers=[helper()])))
    assert essence(verdict) == ("blocked", "dns", "nxdomain", "likely")
    assert f"the address from {source} completed valid TLS" in verdict.reasons[0]


def test_an_address_that_nobody_reached_proves_nothing() -> None:
    steps = [lookup(resolver="udp"), *connection(tls="ssl_unknown_authority", number=9)]
    for attempt in range(3):
        steps += [lookup([], failure="dns_nxdomain_error", attempt=attempt)]
    verdict = judge(case(measurement(steps, helpers=[helper()])))
    assert verdict.certainty == "suspected"


def test_an_encrypted_resolver_that_denies_the_name_too_leaves_no_lie() -> None:
    """Some names are told by the asker's place, or kept by one resolver longer than by another."""
    denial = lookup([], resolver=DOH, failure="dns_nxdomain_error", rcode=3)
    steps = [denial, lookup(resolver="udp"), *connection(number=9)]
    for attempt in range(3):
        steps += [lookup([], failure="dns_nxdomain_error", attempt=attempt)]
    assert judge(case(measurement(steps, helpers=[helper()]))).certainty == "suspected"


@pytest.mark.parametrize(("asked", "certainty"), [("9.9.9.9", "suspected"), ("8.8.8.8", "likely")])
@pytest.mark.parametrize(
    "line", [AT_HOME, Line(state="up", ipv4=True, resolver_at_home=False, resolver_elsewhere=True)]
)
def test_a_public_resolver_that_filters_by_itself_is_no_witness_against_a_chosen_filter(
    line: Line, asked: str, certainty: str
) -> None:
    steps = denied(line)
    denial = lookup([], resolver="udp", failure="dns_nxdomain_error")
    steps.append(msgspec.structs.replace(denial, address=asked))
    verdict = judge(case(measurement(steps, line=line, helpers=[helper()])))
    assert verdict.certainty == certainty


@pytest.mark.parametrize(
    ("technique", "certainty"),
    [
        ("dns_nxdomain_error", "likely"),
        ("dns_temporary_failure", "suspected"),  # a question that was lost
        ("dns_refused_error", "suspected"),  # another trouble than here
    ],
)
def test_another_vantage_lifts_the_doubt_about_a_filter_only_where_it_meets_the_same(
    technique: str, certainty: str
) -> None:
    there = [lookup([], failure=technique, attempt=attempt) for attempt in range(3)]
    witness = measurement(there, vantage=NEIGHBOUR)
    record = measurement(denied(AT_HOME), line=AT_HOME, helpers=[helper()])
    assert judge(case(record, witnesses=[witness])).certainty == certainty


# --- whose address it is -------------------------------------------------------------------------


EXPIRED = connection(
    address=FORGED, tls="ssl_invalid_certificate", certificates=chain(f"*.{NAME}", NAME), number=8
)
OTHERS_EXPIRED = connection(
    address=FORGED, tls="ssl_invalid_certificate", certificates=chain("other.example"), number=8
)
BROKEN_OFF = connection(address=FORGED, tls=RESET, bytes_received=1400, number=8)


@pytest.mark.parametrize(
    ("edge", "certainty"),
    [
        (STRANGER, "likely"),
        (OTHERS_EXPIRED, "likely"),
        (EXPIRED, "suspected"),
        (BROKEN_OFF, "suspected"),
    ],
)
def test_an_edge_in_trouble_is_no_stranger(edge: list[Step], certainty: str) -> None:
    verdict = judge(case(measurement(at_edge(*edge), helpers=[helper()])))
    assert verdict.certainty == certainty


def test_a_server_in_clear_that_leads_to_the_sites_own_https_is_no_stranger() -> None:
    def judged(location: str) -> str | None:
        sent = connection(address=FORGED, secure=False, status=301, number=7)
        sent = [
            msgspec.structs.replace(step, headers=[("Location", location)])
            if isinstance(step, Exchange)
            else step
            for step in sent
        ]
        steps = at_edge(*sent, *connection(address=FORGED, tcp=TIMEOUT, number=8))
        return judge(case(measurement(steps, helpers=[helper()]))).certainty

    assert judged(f"https://{NAME}/") == "suspected"
    assert judged("https://stop.example/") == "likely"


def test_an_address_at_which_a_helper_completes_tls_is_the_sites() -> None:
    view, there = helper(), f"{FORGED}:443"
    refused = at_edge(*connection(address=FORGED, tcp="connection_refused", number=8))
    assert judge(case(measurement(refused, helpers=[view]))).certainty == "likely"
    vouched = msgspec.structs.replace(
        view, handshake={**view.handshake, there: HelperEndpoint(status=True)}
    )
    assert judge(case(measurement(refused, helpers=[vouched]))).certainty == "suspected"


# --- in clear, where no TLS proves an address ----------------------------------------------------

DENIED: dict[str, object] = {"answers": [], "failure": "dns_nxdomain_error"}
RESERVED: dict[str, object] = {"answers": ["10.10.34.35"]}


def lied_to(
    how: dict[str, object], *, known: Sequence[str] = (SITE,), said: Sequence[str] = (SITE,)
) -> Verdict:
    steps: list[Step] = [lookup(known, resolver=DOH, rcode=0)]
    steps += connection(secure=False, number=9)
    steps += [lookup(**how, attempt=attempt) for attempt in range(3)]  # type: ignore[arg-type]
    return judge(case(measurement(steps, url=IN_CLEAR, helpers=[helper(dns=said)])))


@pytest.mark.parametrize(("how", "technique"), [(DENIED, "nxdomain"), (RESERVED, "forged-address")])
def test_a_lie_in_clear_is_told_by_what_two_authenticated_answers_agree_on(
    how: dict[str, object], technique: str
) -> None:
    verdict = lied_to(how)
    assert essence(verdict) == ("blocked", "dns", technique, "likely")
    assert verdict.rules[0] == "dns.lies-in-clear"


@pytest.mark.parametrize(
    ("how", "known", "said"),
    [
        (DENIED, [SITE], [NEUTRAL]),  # they know different addresses
        (DENIED, [], [SITE]),
        (RESERVED, ["10.10.34.35"], ["10.10.34.35"]),  # the site's own mistake
        ({"answers": [], "failure": "dns_temporary_failure"}, [SITE], [SITE]),
    ],
)
def test_a_lie_in_clear_stays_suspected_where_the_answers_do_not_agree(
    how: dict[str, object], known: list[str], said: list[str]
) -> None:
    assert lied_to(how, known=known, said=said).certainty == "suspected"


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (connection(address=FORGED, **FOREIGN), "dns.forged-address"),
        (connection(address=FORGED, tcp=TIMEOUT), None),  # a silent edge is nobody's
    ],
)
def test_a_stranger_at_a_false_address_is_named_beside_a_name_that_is_cut_off(
    answer: list[Step], seen: str | None
) -> None:
    steps: list[Step] = [lookup(resolver=DOH), *connection(tls=TIMEOUT, number=9)]
    for attempt in range(3):
        steps += [lookup([FORGED], attempt=attempt)]
        steps += [msgspec.structs.replace(step, attempt=attempt) for step in answer]
    verdict = judge(case(measurement(steps, helpers=[helper()]), contrast=arms()))
    assert essence(verdict) == ("blocked", "tls", "timeout", "confirmed")
    assert verdict.interference == ["tls.timeout", *([seen] if seen else [])]


# --- lies that are drawn from a pool, and lies with a page --------------------------------------


def test_false_addresses_that_fail_each_in_its_own_way_are_one_lie() -> None:
    record = measurement(rotated(POOL), helpers=[helper()])
    assert essence(judge(case(record))) == ("blocked", "dns", "injected", "likely")
    proved = judge(case(record, contrast=questions(["neutral@site", *NAMED])))
    assert essence(proved) == ("blocked", "dns", "injected", "confirmed")


def test_other_edges_that_fail_each_in_its_own_way_are_no_lie() -> None:
    views = [helper(dns=[SITE, *POOL])]
    quiet = measurement(rotated(POOL, racing=False), helpers=[helper()])
    assert judge(case(quiet)).certainty == "suspected"  # nothing raced, nothing was injected
    assert judge(case(measurement(rotated(POOL), helpers=views))).certainty == "suspected"


def served(address: str, *, line: Line = UP, **how: Any) -> Verdict:
    return judge(case(msgspec.structs.replace(led_to(address, **how), line=line)))


def test_a_page_from_a_known_false_address_is_an_artefact_in_its_country() -> None:
    verdict = served("10.10.34.36", country="IR")
    assert essence(verdict) == ("blocked", "dns", "forged-address", "confirmed")
    assert verdict.rules[0] == "dns.page-at-known-address"
    assert served("10.10.34.36", country="IR", title="Foreign Policy").status != "blocked"
    nobody = msgspec.structs.replace(led_to("195.175.254.2", country="TR"), helpers=[])
    assert judge(case(nobody)).certainty == "confirmed"
    elsewhere = msgspec.structs.replace(led_to("195.175.254.2", country="SE"), helpers=[])
    assert judge(case(elsewhere)).status == "accessible"  # nobody can say what else came


def test_a_page_from_a_reserved_address_is_a_lie_where_others_agree_on_another() -> None:
    verdict = served("10.99.1.1")
    assert essence(verdict) == ("blocked", "dns", "forged-address", "likely")
    assert verdict.rules[0] == "dns.page-at-reserved"
    assert served("10.99.1.1", known=[]).certainty == "suspected"
    assert served("10.99.1.1", line=AT_HOME).certainty == "suspected"
    assert served(FORGED).certainty == "suspected"  # it may be a country's own edge


@pytest.mark.parametrize(
    ("answers", "certainty"),
    [(["0.0.0.0"], "suspected"), (["10.10.34.36"], "confirmed"), (["127.0.0.1"], "confirmed")],
)
def test_what_no_filter_says_was_said_in_a_filtering_resolvers_place(
    answers: list[str], certainty: str
) -> None:
    steps: list[Step] = [
        msgspec.structs.replace(lookup(answers, resolver="udp"), address="9.9.9.9")
    ]
    for attempt in range(3):
        steps += [lookup(answers, attempt=attempt), lookup(resolver=DOH, attempt=attempt)]
        steps += connection(address=answers[0], tcp=TIMEOUT, attempt=attempt, number=8)
        steps += connection(attempt=attempt, number=9)
    verdict = judge(case(measurement(steps, line=AT_HOME, helpers=[helper()])))
    assert verdict.certainty == certainty


def test_one_helper_that_contradicts_two_clears_no_false_address() -> None:
    there = f"{FORGED}:443"

    def view(reached: bool) -> HelperAnswer:
        one = helper()
        shaken = {**one.handshake, there: HelperEndpoint(status=reached)}
        return msgspec.structs.replace(one, handshake=shaken)

    steps = at_edge(*STRANGER)
    liar = measurement(steps, helpers=[view(False), view(False), view(True)])
    assert judge(case(liar)).certainty == "likely"
    tie = measurement(steps, helpers=[view(False), view(True)])
    assert judge(case(tie)).certainty == "suspected"


def test_a_name_cut_off_at_an_address_of_a_pool_is_confirmed_though_others_were_silent() -> None:
    steps = [each for each in rotated([*POOL[:2], SITE]) if each not in connection(number=9)]
    record = measurement(steps, helpers=[helper()])
    assert judge(case(record)).certainty == "suspected"
    verdict = judge(case(record, contrast=arms(failure=RESET)))
    assert essence(verdict) == ("blocked", "tls", "reset", "confirmed")
    assert "which the system's resolver gave" in verdict.reasons[0]
