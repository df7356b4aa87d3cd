"""The table of rules; what proves blocking, what makes it likely, and the near misses."""

from pathlib import Path

import pytest

from reports.rules import RULES, table_markdown
from reports.verdicts import judge
from tests.cases import (
    DOH,
    FORGED,
    NEIGHBOUR,
    NEUTRAL,
    REFERENCE,
    RESET,
    SITE,
    TIMEOUT,
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

TWO_HELPERS = (helper(), helper(url="https://helper-two.example/"))


# --- experiments and artefacts ------------------------------------------------------------------


@pytest.mark.parametrize(("failure", "technique"), [(TIMEOUT, "timeout"), (RESET, "reset")])
def test_the_contrast_alone_confirms_that_the_name_is_blocked(failure: str, technique: str) -> None:
    record = measurement(loads(1, tls=failure))
    verdict = judge(case(record, contrast=arms(failure=failure)))
    assert essence(verdict) == ("blocked", "tls", technique, "confirmed")
    assert verdict.rules[0] == "tls.name-blocked"
    assert verdict.blocked_name == "foreignpolicy.com"
    assert verdict.interference == [f"tls.{technique}"]
    assert SITE in verdict.reasons[0]
    assert NEUTRAL in verdict.reasons[0]


@pytest.mark.parametrize(
    "contrast",
    [
        arms(["name@site", "name@neutral", "neutral@site"]),
        arms(["name@site", "name@neutral", "foreign@neutral"]),
        arms(["name@site", "name@neutral", "neutral@neutral"]),
        arms(["name@site"]),
        arms(["name@neutral"]),
        arms([]),
        arms(left_out=["neutral@site"]),
        arms(left_out=["foreign@neutral"]),
        arms(left_out=["name@neutral"]),
        arms(neutral=SITE),
        arms(failure="permission_denied"),
        [*arms(), *arms(["name@neutral"], attempt=1)],
    ],
    ids=[
        "the neutral name fails at the site too",
        "every foreign name fails at the neutral address",
        "the neutral address is dead",
        "the name passes at the neutral address",
        "the name passes at the site",
        "everything passes",
        "the neutral name was not tried at the site",
        "the foreign name was not tried",
        "the name was not tried elsewhere",
        "both addresses are the same",
        "this machine forbade it",
        "the name passed at the second try",
    ],
)
def test_an_incomplete_contrast_confirms_nothing(contrast: list[object]) -> None:
    record = measurement(loads(3, tls=TIMEOUT))
    verdict = judge(case(record, contrast=contrast))  # type: ignore[arg-type]
    assert "tls.name-blocked" not in verdict.rules
    assert essence(verdict) == ("inconclusive", "tls", "timeout", "suspected")


def test_a_neutral_name_that_passes_after_the_penalty_time_completes_the_contrast() -> None:
    first = arms(["name@site", "name@neutral", "neutral@site"])
    record = measurement(loads(1, tls=TIMEOUT))
    assert judge(case(record, contrast=[*first, *arms(attempt=1)])).certainty == "confirmed"


def test_the_contrast_of_another_name_confirms_nothing() -> None:
    record = measurement(loads(3, tls=TIMEOUT))
    verdict = judge(case(record, contrast=arms(name="www.other.com")))
    assert verdict.certainty == "suspected"


def test_the_name_behind_a_redirect_is_the_one_that_is_blocked() -> None:
    name = "www.foreignpolicy.com"
    steps = [
        lookup(),
        *connection(status=301),
        lookup(name=name, hop=1),
        *connection(name=name, hop=1, number=2, tls=TIMEOUT),
    ]
    verdict = judge(case(measurement(steps), contrast=arms(name=name)))
    assert (verdict.status, verdict.blocked_name) == ("blocked", name)


def forged_loads(address: str, **how: object) -> list[object]:
    steps: list[object] = []
    for attempt in range(3):
        number = 10 * attempt
        steps += [
            lookup([address], attempt=attempt),
            lookup([SITE], resolver=DOH, attempt=attempt),
            *connection(address=address, attempt=attempt, number=number + 1, **how),  # type: ignore[arg-type]
            *connection(address=SITE, attempt=attempt, number=number + 2),
        ]
    return steps


def test_a_false_address_while_an_encrypted_answer_works_is_likely_forged() -> None:
    steps = forged_loads(FORGED, tls="ssl_invalid_hostname", certificates=chain("portal.example"))
    verdict = judge(case(measurement(steps, helpers=TWO_HELPERS[:1])))  # type: ignore[arg-type]
    assert essence(verdict) == ("blocked", "dns", "forged-address", "likely")
    assert verdict.rules == ["dns.forged"]


def test_an_unknown_address_that_refuses_is_a_strangers() -> None:
    steps = forged_loads(FORGED, tcp="connection_refused")
    verdict = judge(case(measurement(steps, helpers=TWO_HELPERS[:1])))  # type: ignore[arg-type]
    assert essence(verdict) == ("blocked", "dns", "forged-address", "likely")


@pytest.mark.parametrize("dead", [{"tls": TIMEOUT}, {"tcp": TIMEOUT}])
def test_an_unknown_address_at_which_nobody_answers_may_be_a_dead_edge(
    dead: dict[str, str],
) -> None:
    steps = forged_loads(FORGED, **dead)
    record = measurement(steps, helpers=TWO_HELPERS[:1])  # type: ignore[arg-type]
    assert judge(case(record)).certainty == "suspected"
    twice = [*steps, lookup([FORGED], resolver="udp")]
    record = measurement(twice, helpers=TWO_HELPERS[:1])  # type: ignore[arg-type]
    assert essence(judge(case(record))) == ("blocked", "dns", "forged-address", "likely")


def test_a_reserved_address_from_two_resolvers_is_confirmed() -> None:
    steps = forged_loads("10.10.34.34", tcp=TIMEOUT)
    record = measurement(steps, helpers=TWO_HELPERS[:1])  # type: ignore[arg-type]
    assert judge(case(record)).certainty == "likely"
    steps.append(lookup(["10.10.34.34"], resolver="udp"))
    record = measurement(steps, helpers=TWO_HELPERS[:1])  # type: ignore[arg-type]
    assert essence(judge(case(record))) == ("blocked", "dns", "forged-address", "confirmed")


def test_an_unknown_address_that_answers_as_another_is_only_likely_forged() -> None:
    steps = forged_loads(FORGED, tls="ssl_invalid_hostname", certificates=chain("portal.example"))
    steps.append(lookup([FORGED], resolver="udp"))
    record = measurement(steps, helpers=TWO_HELPERS[:1])  # type: ignore[arg-type]
    assert essence(judge(case(record))) == ("blocked", "dns", "forged-address", "likely")


def test_an_address_that_a_helper_knows_too_is_not_forged() -> None:
    helpers = [helper(dns=[SITE, FORGED])]
    record = measurement(forged_loads(FORGED, tls=TIMEOUT), helpers=helpers)  # type: ignore[arg-type]
    assert judge(case(record)).status == "inconclusive"


def test_a_false_address_without_any_helper_is_only_suspected() -> None:
    record = measurement(forged_loads(FORGED, tls=TIMEOUT))  # type: ignore[arg-type]
    assert judge(case(record)).certainty == "suspected"


def raced_loads(attempts: int) -> list[object]:
    steps: list[object] = []
    for attempt in range(attempts):
        number = 10 * attempt
        steps += [
            lookup([FORGED], replies=[[FORGED], [SITE]], attempt=attempt),
            lookup([SITE], resolver=DOH, attempt=attempt),
            *connection(address=FORGED, tls=TIMEOUT, attempt=attempt, number=number + 1),
            *connection(address=SITE, attempt=attempt, number=number + 2),
        ]
    return steps


def test_a_race_that_the_forger_wins_is_injection() -> None:
    verdict = judge(case(measurement(raced_loads(3))))  # type: ignore[arg-type]
    assert essence(verdict) == ("blocked", "dns", "injected", "likely")


def test_a_race_that_was_seen_once_is_only_suspected() -> None:
    verdict = judge(case(measurement(raced_loads(1))))  # type: ignore[arg-type]
    assert (verdict.status, verdict.certainty) == ("inconclusive", "suspected")


def test_a_race_that_the_true_answer_wins_is_noted_on_an_accessible_site() -> None:
    steps = [lookup([SITE], replies=[[SITE], [FORGED]]), *connection()]
    verdict = judge(case(measurement(steps)))
    assert (verdict.status, verdict.interference) == ("accessible", ["dns.injected"])


def test_a_resolver_that_repeats_itself_is_no_race() -> None:
    steps = [lookup([SITE], replies=[[SITE], [SITE]]), *connection()]
    assert judge(case(measurement(steps))).interference == []


def nxdomain_loads(encrypted: list[str], failure: str | None = None) -> list[object]:
    steps: list[object] = []
    for attempt in range(3):
        steps += [
            lookup([], failure="dns_nxdomain_error", attempt=attempt),
            lookup(encrypted, resolver=DOH, failure=failure, attempt=attempt),
        ]
        if encrypted:
            steps += connection(attempt=attempt, number=attempt + 1)
    return steps


def test_a_denied_name_that_an_encrypted_resolver_proves_is_likely_blocked() -> None:
    record = measurement(nxdomain_loads([SITE]), helpers=TWO_HELPERS[:1])  # type: ignore[arg-type]
    assert essence(judge(case(record))) == ("blocked", "dns", "nxdomain", "likely")


def test_a_denied_name_with_only_the_encrypted_resolver_against_it_is_suspected() -> None:
    record = measurement(nxdomain_loads([SITE]))  # type: ignore[arg-type]
    assert essence(judge(case(record))) == ("inconclusive", "dns", "nxdomain", "suspected")


def test_a_name_that_exists_nowhere_is_down() -> None:
    record = measurement(nxdomain_loads([], "dns_nxdomain_error"))  # type: ignore[arg-type]
    assert judge(case(record)).status == "down"


def test_a_temporary_failure_is_named_after_what_the_server_sent() -> None:
    steps = [lookup([], failure="dns_temporary_failure", rcode=2, attempt=a) for a in range(3)]
    verdict = judge(case(measurement(steps)))
    assert (verdict.layer, verdict.technique) == ("dns", "servfail")


STATE = "C=KZ,O=ISCA,CN=Information Security Certification Authority"


def intercepted(issuer: str, failure: str = "ssl_unknown_authority") -> list[object]:
    certificates = chain("foreignpolicy.com", issuer=issuer)
    return [
        *loads(3, tls=failure, certificates=certificates),
        lookup([SITE], resolver=DOH),
    ]


def test_a_state_authoritys_certificate_is_confirmed_interception() -> None:
    record = measurement(intercepted(STATE), helpers=TWO_HELPERS[:1])  # type: ignore[arg-type]
    verdict = judge(case(record))
    assert essence(verdict) == ("blocked", "tls", "mitm", "confirmed")
    assert "Information Security Certification Authority" in verdict.reasons[0]


def test_an_unknown_authority_needs_an_untouched_neutral_site() -> None:
    record = measurement(intercepted("CN=Who knows"), helpers=TWO_HELPERS)  # type: ignore[arg-type]
    assert judge(case(record)).certainty == "suspected"
    with_neutral = judge(case(record, contrast=arms(["name@site"])))
    assert essence(with_neutral) == ("blocked", "tls", "mitm", "likely")


def test_an_expired_certificate_that_helpers_see_too_is_the_sites_own() -> None:
    failure = "ssl_invalid_certificate"
    record = measurement(
        intercepted("CN=Trusted CA", failure),  # type: ignore[arg-type]
        helpers=[helper(False, layer="tls", failure=failure)],
    )
    assert judge(case(record)).status == "down"


# --- two witnesses -------------------------------------------------------------------------------


def test_helpers_abroad_however_many_do_not_make_silence_blocking() -> None:
    record = measurement(loads(3, tls=TIMEOUT), helpers=TWO_HELPERS)
    assert essence(judge(case(record))) == ("inconclusive", "tls", "timeout", "suspected")


@pytest.mark.parametrize("failure", [TIMEOUT, RESET, "eof_error", "ssl_alert_received"])
def test_a_helper_and_another_network_of_the_country_make_likely(failure: str) -> None:
    record = measurement(loads(3, tls=failure), helpers=TWO_HELPERS[:1])
    witness = measurement(loads(1), vantage=NEIGHBOUR)
    verdict = judge(case(record, witnesses=[witness]))
    assert (verdict.status, verdict.layer, verdict.certainty) == ("blocked", "tls", "likely")


def test_another_network_without_any_view_from_abroad_is_one_witness() -> None:
    record = measurement(loads(3, tls=TIMEOUT), helpers=[helper(answered=False)])
    witness = measurement(loads(1), vantage=NEIGHBOUR)
    assert judge(case(record, witnesses=[witness])).certainty == "suspected"


def test_a_reference_vantage_is_a_view_from_abroad() -> None:
    record = measurement(loads(3, tls=TIMEOUT))
    witnesses = [measurement(loads(1), vantage=REFERENCE), measurement(loads(1), vantage=NEIGHBOUR)]
    assert judge(case(record, witnesses=witnesses)).certainty == "likely"


def test_a_failure_that_did_not_repeat_stays_suspected() -> None:
    record = measurement(loads(1, tls=TIMEOUT), helpers=TWO_HELPERS)
    witness = measurement(loads(1), vantage=NEIGHBOUR)
    assert judge(case(record, witnesses=[witness])).certainty == "suspected"


def test_a_helper_and_the_name_cut_off_elsewhere_make_likely() -> None:
    record = measurement(loads(3, tls=TIMEOUT), helpers=TWO_HELPERS[:1])
    contrast = arms(left_out=["neutral@site"])
    assert essence(judge(case(record, contrast=contrast)))[3] == "likely"


def test_an_address_silent_for_every_name_is_inconclusive() -> None:
    record = measurement(loads(3, tcp=TIMEOUT), helpers=TWO_HELPERS)
    assert essence(judge(case(record))) == ("inconclusive", "tcp", "timeout", "suspected")


def test_a_silent_address_whose_other_port_answers_is_likely_blocked() -> None:
    steps = [*loads(3, tcp=TIMEOUT), *connection(secure=False, number=9)[:1]]
    record = measurement(steps, helpers=TWO_HELPERS[:1])
    assert essence(judge(case(record))) == ("blocked", "tcp", "timeout", "likely")


def test_a_silent_address_that_another_network_reaches_is_likely_blocked() -> None:
    record = measurement(loads(3, tcp=TIMEOUT), helpers=TWO_HELPERS[:1])
    witness = measurement(loads(1), vantage=NEIGHBOUR)
    assert essence(judge(case(record, witnesses=[witness])))[3] == "likely"


# --- the table ------------------------------------------------------------------------------------


def test_rules_have_distinct_ids_and_a_last_one_that_always_decides() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert (RULES[-1].fallback, RULES[-1].status) == (True, "inconclusive")


def test_blocked_always_has_a_certainty_of_likely_or_more() -> None:
    certainties = {rule.certainty for rule in RULES if rule.status == "blocked"}
    assert certainties == {"likely", "confirmed"}


def test_the_documented_table_is_the_table() -> None:
    path = Path(__file__).parent.parent / "docs" / "rules.md"
    assert path.read_text(encoding="utf-8") == table_markdown()
