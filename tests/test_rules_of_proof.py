"""Rules by experiment with a name: each fires, and a near miss does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from reports.verdicts import judge
from storage.records import (
    Arm,
    Exchange,
    Handshake,
    Step,
    Verdict,
)
from tests.cases import (
    DOH,
    NAME,
    NEIGHBOUR,
    TIMEOUT,
    case,
    chain,
    connection,
    essence,
    helper,
    loads,
    lookup,
    measurement,
)
from tests.experiment_cases import (
    ARMS,
    NAMED,
    PLAIN,
    STRANGE,
    clear_loads,
    hellos,
    neutral_site,
    requests,
    round_with,
    strange_loads,
)

# --- requests in clear --------------------------------------------------------------------------


def clear(how: dict[str, object], forged: Sequence[Arm]) -> Verdict:
    record = measurement(clear_loads(**how), url=PLAIN, helpers=[helper(title="News")])
    return judge(case(record, contrast=requests(forged, **how)))


@pytest.mark.parametrize(
    ("how", "technique", "rule"),
    [
        ({"failure": TIMEOUT}, "timeout", "http.name-blocked"),
        ({"failure": "connection_reset"}, "reset", "http.name-blocked"),
        ({"title": "Blocked"}, "block-page", "http.page-forged"),
        ({"status": 302, "location": "http://stop.example/?u=1"}, "redirect", "http.page-forged"),
    ],
)
def test_a_name_in_clear_that_alone_decides_is_confirmed(
    how: dict[str, object], technique: str, rule: str
) -> None:
    verdict = clear(how, NAMED)
    assert essence(verdict) == ("blocked", "http", technique, "confirmed")
    assert verdict.rules[0] == rule


@pytest.mark.parametrize("how", [{"failure": TIMEOUT}, {"title": "Blocked"}])
@pytest.mark.parametrize(
    "forged",
    [
        ["name@site"],
        ["name@site", "name@neutral", "foreign@neutral"],
        ["name@site", "name@neutral", "neutral@site"],
    ],
    ids=["its own page", "every strange name", "the server says so to all"],
)
def test_an_answer_that_others_get_too_proves_nothing(
    how: dict[str, object], forged: list[Arm]
) -> None:
    assert clear(how, forged).certainty != "confirmed"


def test_servers_that_send_every_name_to_its_own_https_are_honest() -> None:
    own = {"status": 301, "location": f"https://{NAME}/"}
    assert clear(own, NAMED).certainty != "confirmed"
    sister = {"status": 301, "location": f"https://www.{NAME}/"}
    assert clear(sister, NAMED).certainty != "confirmed"


def test_two_addresses_of_one_network_of_servers_are_no_experiment() -> None:
    shown = {"title": "Foreign Policy for visitors"}
    arms = [
        msgspec.structs.replace(step, title="Example Domain")
        if isinstance(step, Exchange) and step.arm in ("neutral@neutral", "neutral@site")
        else step
        for step in requests(NAMED, **shown)
    ]
    record = measurement(clear_loads(**shown), url=PLAIN, helpers=[helper(title="News")])
    assert judge(case(record, contrast=arms)).certainty == "suspected"


# --- what is said in the server's place ---------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "technique"), [("ssl_alert_received", "alert"), ("ssl_not_tls", "not-tls")]
)
def test_words_in_the_servers_place_for_one_name_alone_are_confirmed(
    failure: str, technique: str
) -> None:
    record = measurement(loads(3, tls=failure), helpers=[helper()])
    verdict = judge(case(record, contrast=hellos(NAMED, tls=failure, bytes_received=7)))
    assert essence(verdict) == ("blocked", "tls", technique, "confirmed")
    strict = hellos([*NAMED, "foreign@neutral"], tls=failure, bytes_received=7)
    assert judge(case(record, contrast=strict)).certainty == "suspected"


def test_one_authority_for_the_name_at_both_addresses_is_confirmed() -> None:
    record = measurement(strange_loads(), helpers=[helper()])
    verdict = judge(case(record, contrast=hellos(NAMED, **STRANGE)))
    assert essence(verdict) == ("blocked", "tls", "mitm", "confirmed")
    everybody = hellos([arm for arm, _, _ in ARMS], **STRANGE)
    assert judge(case(record, contrast=everybody)).certainty == "suspected"


def test_an_authority_met_at_neutral_sites_too_is_this_machines_or_its_networks() -> None:
    found = case(measurement(strange_loads(), helpers=[helper()]))
    own = msgspec.structs.replace(found, round=round_with(*neutral_site(**STRANGE)))
    verdict = judge(own)
    assert (verdict.status, verdict.certainty) == ("inconclusive", None)
    assert verdict.rules[0] == "machine.interception"
    untouched = msgspec.structs.replace(found, round=round_with(*neutral_site()))
    assert essence(judge(untouched)) == ("inconclusive", "tls", "mitm", "suspected")


@pytest.mark.parametrize(
    ("trusted", "rule", "certainty"),
    [
        (True, "machine.interception", None),
        (None, "machine.interception", None),  # it has no roots of its own to be asked
        (False, "line.interception", "suspected"),
    ],
)
def test_who_opens_up_everything_is_told_by_whether_this_machine_trusts_it(
    trusted: bool | None, rule: str, certainty: str | None
) -> None:
    steps = [
        msgspec.structs.replace(s, valid_by_system=trusted) if isinstance(s, Handshake) else s
        for s in strange_loads()
    ]
    found = case(measurement(steps, helpers=[helper(answered=False)]))
    everywhere = msgspec.structs.replace(found, round=round_with(*neutral_site(**STRANGE)))
    verdict = judge(everywhere)
    assert (verdict.status, verdict.rules[0]) == ("inconclusive", rule)
    assert (verdict.layer, verdict.certainty) == ("tls" if certainty else None, certainty)
    if trusted is not True:
        one = msgspec.structs.replace(found, round=round_with(*neutral_site()))
        assert judge(one).rules[0] not in ("machine.interception", "line.interception")


def test_an_authority_that_this_machine_trusts_is_no_interception_by_others() -> None:
    steps = [
        msgspec.structs.replace(s, valid_by_system=True) if isinstance(s, Handshake) else s
        for s in strange_loads()
    ]
    record = measurement(steps, helpers=[helper()])
    verdict = judge(case(record, contrast=hellos(NAMED, **STRANGE)))
    assert (verdict.status, verdict.rules[0]) == ("inconclusive", "machine.interception")


def test_an_authority_that_the_server_shows_under_every_name_may_be_its_own() -> None:
    record = measurement(strange_loads(), helpers=[helper()])
    server = hellos(["name@site", "neutral@site"], **STRANGE)
    assert judge(case(record, contrast=server)).certainty == "suspected"
    name = hellos(["name@site"], **STRANGE)
    assert judge(case(record, contrast=name)).certainty == "likely"


@pytest.mark.parametrize(("age", "certainty"), [(365, "likely"), (366, "suspected")])
def test_old_roots_cap_an_unknown_authority(age: int, certainty: str) -> None:
    record = measurement(strange_loads(), helpers=[helper()])
    found = case(record, contrast=hellos(["name@site"], **STRANGE))
    aged = msgspec.structs.replace(found, round=round_with(*neutral_site(), age=age))
    assert judge(aged).certainty == certainty


def test_a_forged_page_of_the_true_ones_length_is_still_forged() -> None:
    """A page without a title is compared with a helper's by length alone."""
    how: dict[str, object] = {"title": ""}
    view = helper()
    short = msgspec.structs.replace(view.exchange, body_length=1_000)
    helpers = [msgspec.structs.replace(view, exchange=short)]
    record = measurement(clear_loads(**how), url=PLAIN, helpers=helpers)
    assert judge(case(record)).rules == ["http.agrees"]
    forged = judge(case(record, contrast=requests(NAMED, **how)))
    assert essence(forged) == ("blocked", "http", "block-page", "confirmed")


# --- a state's authority, whatever the other loads met ------------------------------------------

STATE: dict[str, Any] = {
    **STRANGE,
    "certificates": chain(
        NAME, issuer="C=KZ,O=ISCA,CN=Information Security Certification Authority"
    ),
}


def once(*others: dict[str, Any]) -> list[Step]:
    """Return loads of which the first is intercepted by a state's authority."""
    steps = [lookup(resolver=DOH), lookup(), *connection(**STATE)]
    for attempt, how in enumerate(others, start=1):
        steps += [lookup(attempt=attempt)]
        steps += connection(attempt=attempt, number=attempt + 1, **how)
    return steps


def test_a_states_authority_tells_though_the_other_loads_were_cut_off() -> None:
    cut = measurement(once({"tls": TIMEOUT}, {"tls": TIMEOUT}), helpers=[helper()])
    verdict = judge(case(cut))
    assert essence(verdict) == ("blocked", "tls", "mitm", "confirmed")
    assert verdict.rules[0] == "tls.state-interception"


def test_a_states_authority_is_remarked_on_where_the_page_came_after_all() -> None:
    seen = judge(case(measurement(once({}), helpers=[helper()])))
    assert (seen.status, seen.interference) == ("accessible", ["tls.mitm"])


def test_a_states_authority_needs_the_site_elsewhere_at_the_same_time() -> None:
    steps = once(STATE, STATE)
    alone = judge(case(measurement(steps)))
    assert alone.certainty == "suspected"
    inside = judge(case(measurement(steps), witnesses=[measurement(loads(1), vantage=NEIGHBOUR)]))
    assert essence(inside) == ("blocked", "tls", "mitm", "confirmed")
    assert "reached from another network of the country" in inside.reasons[0]


def test_an_unknown_authority_that_honest_helpers_meet_too_is_no_interception() -> None:
    views = [
        helper(False, layer="tls", failure="ssl_unknown_authority"),
        helper(url="https://liar.example/"),
    ]
    steps = [*strange_loads()]
    contrast = hellos(["name@site"], **STRANGE)
    assert judge(case(measurement(steps, helpers=[helper()]), contrast=contrast)).certainty == (
        "likely"
    )
    assert judge(case(measurement(steps, helpers=views), contrast=contrast)).status != "blocked"


# --- two addresses of one network of servers ----------------------------------------------------


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ({"tls": "ssl_alert_received", "bytes_received": 7}, "ssl_alert_received"),
        ({"tls": "eof_error", "bytes_received": 0}, "eof_error"),
    ],
)
def test_servers_that_have_nothing_for_a_name_refuse_it_everywhere(
    how: dict[str, Any], failure: str
) -> None:
    """A network of servers knows the neutral name at the site's address, too."""
    views = [helper(False, layer="tls", failure=failure)]
    contrast = hellos(NAMED, **how)
    apart = judge(case(measurement(loads(3, **how), helpers=[helper()]), contrast=contrast))
    assert essence(apart)[0::3] == ("blocked", "confirmed")
    shared = [
        msgspec.structs.replace(step, valid=True, failure=None)
        if isinstance(step, Handshake) and step.arm == "neutral@site"
        else step
        for step in contrast
    ]
    assert (
        judge(case(measurement(loads(3, **how), helpers=views), contrast=shared)).status == "down"
    )
    here = judge(case(measurement(loads(3, **how), helpers=[helper()]), contrast=shared))
    assert essence(here)[0::3] == ("blocked", "confirmed")  # abroad they do not refuse it
