"""sitewatch explain: steps in the order of time, the rules, and what else it could have been."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from reports.cases import Case
from reports.explaining import alternatives_of
from reports.fingerprints import own_table
from reports.moments import moments
from reports.verdicts import judge
from sitewatch.cli import group
from storage.records import Exchange, HelperExchange, Line, record_id
from storage.store import Store
from tests.cases import (
    DOH,
    NAME,
    NEIGHBOUR,
    RESET,
    START,
    TIMEOUT,
    arms,
    case,
    chain,
    connection,
    helper,
    later,
    loads,
    lookup,
    measurement,
    walk,
)
from tests.month import write_month

QUESTIONS = 10


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["explain", *arguments])


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    return write_month(folder / "m.db", first="2017-06-19", last="2017-06-19")


def blocked_id(database: Path) -> tuple[str, str]:
    """Return the id of a measurement with a follow-up, and the follow-up's."""
    with Store(database) as store:
        follow = next(m for m in store.measurements() if m.record.follows is not None)
    assert follow.record.follows is not None
    return follow.record.follows, follow.id


def test_everything_that_led_to_a_verdict_is_shown(database: Path, config_folder: Path) -> None:
    main, follow = blocked_id(database)
    result = explain(main, "--database", str(database))
    assert result.exit_code == 0
    assert "blocked tls.timeout (confirmed)" in result.stdout
    assert "SIMULATED" in result.stdout
    assert "tls.name-blocked: Only the name decides" in result.stdout
    assert "[name@neutral]" in result.stdout
    assert "The site was down. Ruled out" in result.stdout
    assert explain(follow, "--database", str(database)).stdout == result.stdout
    short = main.removeprefix("sha256:")
    assert explain(short, "--database", str(database)).stdout == result.stdout


def test_one_document_is_printed_for_programs(database: Path, config_folder: Path) -> None:
    main, _ = blocked_id(database)
    document = json.loads(explain(main, "--json", "--database", str(database)).stdout)
    assert document["id"] == main
    assert document["verdict"]["certainty"] == "confirmed"
    assert len(document["alternatives"]) == QUESTIONS
    times = [step["after_us"] for step in document["steps"]]
    assert times == sorted(times)
    assert times[0] == 0


@pytest.mark.parametrize(
    ("id", "code", "words"),
    [("sha256:" + "0" * 64, 1, "holds no measurement"), ("5f2b", 2, "not sha256: and 64 digits")],
)
def test_what_is_no_measurement_is_told_in_words(
    id: str, code: int, words: str, database: Path, config_folder: Path
) -> None:
    result = explain(id, "--database", str(database))
    assert result.exit_code == code
    assert words in result.stderr


def test_nothing_from_the_network_moves_the_cursor(tmp_path: Path, config_folder: Path) -> None:
    hostile = helper(title="\x1b[2J\u202ehidden")
    path = tmp_path / "h.db"
    with Store(path) as store:
        own = store.own_vantage(country="KZ", asn=64496, network="Altyn Telecom")
        steps = loads(3, tls="ssl_unknown_authority", certificates=chain("a", issuer="CN=\x1b[1m"))
        record = measurement(steps, vantage=own, helpers=[hostile])
        store.add(record, {}).result()
    result = explain(record_id(record), "--database", str(path))
    assert result.exit_code == 0
    assert all(sign.isprintable() for sign in result.stdout.replace("\n", ""))


def answers(found: Case) -> dict[str, str]:
    return {other.question: other.answer for other in alternatives_of(found, own_table())}


def test_steps_of_follow_ups_stand_behind_those_of_the_measurement() -> None:
    found = case(measurement(loads(3, tls=TIMEOUT)), contrast=arms())
    later_steps = [
        msgspec.structs.replace(step, start=later(START, 30))
        for stored in found.follow_ups
        for step in stored.record.steps
    ]
    follow_up = msgspec.structs.replace(found.follow_ups[0].record, steps=later_steps)
    moved = msgspec.structs.replace(
        found, follow_ups=(msgspec.structs.replace(found.follow_ups[0], record=follow_up),)
    )
    shown = moments(moved)
    assert next(m.after_us for m in shown if m.group == "contrast") == 30_000_000
    assert shown[0].group == "load"


def test_an_experiment_rules_out_what_a_lone_failure_cannot() -> None:
    alone = answers(case(measurement(loads(3, tls=RESET))))
    proved = answers(case(measurement(loads(3, tls=RESET)), contrast=arms(failure=RESET)))
    refusal = "The site itself refused this visitor."
    assert (alone[refusal], proved[refusal]) == ("not ruled out", "ruled out")
    assert alone["The site was down."] == "not ruled out"
    assert proved["The site was down."] == "unlikely"
    assert proved["The volunteer's own line was broken."] == "ruled out"


def test_another_network_makes_a_refusal_unlikely_and_a_dead_site_impossible() -> None:
    witness = measurement(loads(1), vantage=NEIGHBOUR)
    found = answers(case(measurement(loads(3, tls=RESET)), witnesses=[witness]))
    assert found["The site itself refused this visitor."] == "unlikely"
    assert found["The site was down."] == "ruled out"


@pytest.mark.parametrize(
    ("at_home", "answer"), [(True, "not ruled out"), (False, "unlikely"), (None, "not ruled out")]
)
def test_a_filter_at_home_is_ruled_on_by_where_the_resolver_stands(
    at_home: bool | None, answer: str
) -> None:
    line = Line(state="up", ipv4=True, resolver_at_home=at_home)
    steps = [
        step
        for attempt in range(3)
        for step in (
            lookup([], failure="dns_nxdomain_error", attempt=attempt),
            lookup(resolver=DOH, attempt=attempt),
        )
    ]
    found = answers(case(measurement(steps, line=line)))
    assert found["A filter on the volunteer's own resolver, router or tunnel."] == answer


def test_programs_on_the_machine_and_the_clock_are_judged_by_the_chain() -> None:
    strange = case(
        measurement(loads(3, tls="ssl_unknown_authority", certificates=chain("a", issuer="CN=?")))
    )
    dated = case(
        measurement(loads(3, tls="ssl_invalid_certificate", certificates=chain("a", issuer="CN=?")))
    )
    program = "A program on this machine (a virus scanner, a firewall) interfered."
    clock = "The machine's clock was wrong."
    assert answers(strange)[program] == "not ruled out"
    assert answers(strange)[clock] == "ruled out"
    assert answers(dated)[clock] == "not ruled out"


def test_helpers_that_disagree_are_not_trusted_blindly() -> None:
    record = measurement(loads(3, tls=TIMEOUT), helpers=[helper(), helper(False)])
    assert answers(case(record))["A helper was wrong."] == "not ruled out"
    same = measurement(loads(3, tls=TIMEOUT), helpers=[helper(), helper()])
    assert answers(case(same))["A helper was wrong."] == "unlikely"


# --- what rules out what -------------------------------------------------------------------------

REFUSAL = "The site itself refused this visitor."
DOWN = "The site was down."
FILTER = "A filter on the volunteer's own resolver, router or tunnel."
PROGRAM = "A program on this machine (a virus scanner, a firewall) interfered."


def test_what_cuts_a_name_off_may_stand_at_home_until_a_walk_tells() -> None:
    cut = measurement(loads(3, tls=TIMEOUT), helpers=[helper()])
    somewhere = answers(case(cut, contrast=arms()))
    assert (somewhere[FILTER], somewhere[PROGRAM]) == ("not ruled out", "not ruled out")
    shown = {"arm": "name@site", "method": "many-hellos", "name": NAME, "purpose": "ttl-walk"}
    control = walk(**{**shown, "arm": "neutral@site"}, answered_at=9, answer="data", last_router=8)
    outside = walk(**shown, last_router=4, public_from=2)
    found = answers(case(cut, contrast=[*arms(), control, outside]))
    assert (found[FILTER], found[PROGRAM]) == ("ruled out", "ruled out")
    at_home = walk(**shown, last_router=0, public_from=2)
    found = answers(case(cut, contrast=[*arms(), control, at_home]))
    assert (found[FILTER], found[PROGRAM]) == ("not ruled out", "not ruled out")


def test_another_vantage_that_meets_the_same_makes_a_filter_at_home_unlikely() -> None:
    cut = measurement(loads(3, tls=TIMEOUT))
    same = measurement(loads(3, tls=TIMEOUT), vantage=NEIGHBOUR)
    other = measurement(loads(3, tls=RESET), vantage=NEIGHBOUR)
    assert answers(case(cut, witnesses=[same]))[FILTER] == "unlikely"
    assert answers(case(cut, witnesses=[other]))[FILTER] == "not ruled out"


def test_a_refusal_is_ruled_on_by_whether_the_site_was_asked() -> None:
    denied = [lookup([], failure="dns_nxdomain_error", attempt=attempt) for attempt in range(3)]
    known = lookup(resolver=DOH)
    assert answers(case(measurement(denied)))[REFUSAL] == "unlikely"  # nothing was sent to it
    proven = measurement([*denied, known, *connection(number=9)])
    assert answers(case(proven))[REFUSAL] == "ruled out"
    silent = measurement([*denied, known, *connection(tls=TIMEOUT, number=9)])
    assert answers(case(silent))[REFUSAL] == "not ruled out"


@pytest.mark.parametrize(
    ("status", "down", "refused"),
    [
        (200, "ruled out", "ruled out"),
        (403, "ruled out", "not ruled out"),
        (503, "not ruled out", "unlikely"),
    ],
)
def test_a_page_of_the_sites_own_says_which_it_was(status: int, down: str, refused: str) -> None:
    found = answers(case(measurement(loads(1, status=status))))
    assert (found[DOWN], found[REFUSAL]) == (down, refused)


def test_a_helper_that_only_shook_hands_did_not_reach_a_page_that_stalls() -> None:
    view = helper()
    stalled = msgspec.structs.replace(view, exchange=HelperExchange(failure=TIMEOUT))
    record = measurement(loads(3, http=TIMEOUT), helpers=[stalled])
    begun = [
        msgspec.structs.replace(step, status=200) if isinstance(step, Exchange) else step
        for step in record.steps
    ]
    assert judge(case(msgspec.structs.replace(record, steps=begun))).status == "down"
    assert answers(case(record))[DOWN] == "not ruled out"
    assert judge(case(record)).status == "down"
    in_tls = measurement(loads(3, tls=TIMEOUT), helpers=[stalled])
    assert answers(case(in_tls))[DOWN] == "ruled out"
    [told] = [moment.text for moment in moments(case(record)) if moment.group == "helper"]
    assert told.endswith(f"failed: {TIMEOUT}; TLS was completed")


def test_a_helper_without_the_name_still_tells_of_the_addresses_it_was_given() -> None:
    view = helper(False, failure="ssl_unknown_authority", layer="tls", dns=[])
    lost = msgspec.structs.replace(view, dns_failure="dns_name_error")
    strange = {"tls": "ssl_unknown_authority", "certificates": chain("a", issuer="CN=New Roots")}
    record = measurement(loads(3, **strange), helpers=[lost])
    assert judge(case(record)).status == "down"
    assert answers(case(record))[DOWN] == "not ruled out"


def test_a_reserved_address_is_no_edge_of_a_content_network() -> None:
    steps = [lookup(["10.10.34.35"], attempt=attempt) for attempt in range(3)]
    others = alternatives_of(case(measurement(steps)), own_table())
    [told] = [each.because for each in others if "content network" in each.question]
    assert told == "10.10.34.35 can belong to no public site."


def test_neutral_sites_that_somebody_opened_up_did_not_pass_inside_valid_tls() -> None:
    login = "A login page of the local network answered."
    opened = Line(state="up", ipv4=True, intercepted=True)
    assert answers(case(measurement(loads(3, tls=RESET))))[login] == "ruled out"
    assert answers(case(measurement(loads(3, tls=RESET), line=opened)))[login] == "unlikely"
