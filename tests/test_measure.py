"""sitewatch measure inside the lab: each scenario's facts, verdict and JSON, and stopping it."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from lab.network import World
from lab.scenario import load_scenario
from storage.records import Lookup, digest
from storage.store import Store
from tests.lab_worlds import require_lab
from tests.measured_scenarios import SCENARIOS, Measured, every_scenario, measure

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("measure")]

CERTAINTIES = [None, "suspected", "likely", "confirmed"]
SCHEMA = json.loads(Path("docs/measurement.schema.json").read_text())


@pytest.fixture(scope="module")
def runs() -> dict[str, Measured]:
    require_lab()
    return every_scenario()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_verdict_is_what_the_scenario_expects(runs: dict[str, Measured], name: str) -> None:
    expected, verdict = runs[name].scenario.expect, runs[name].main["verdict"]
    assert expected is not None
    assert verdict["status"] == expected.status, verdict
    if expected.status == "blocked":
        assert (verdict["layer"], verdict["technique"]) == (expected.layer, expected.technique)
        reached = CERTAINTIES.index(verdict["certainty"])
        assert reached >= CERTAINTIES.index(expected.certainty), verdict
    else:
        assert verdict["certainty"] in {None, "suspected"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_line_keeps_the_contract(runs: dict[str, Measured], name: str) -> None:
    for line in runs[name].lines:
        jsonschema.validate(line, SCHEMA)
        assert line["simulated"] is True
        if line["id"] is None:
            assert line["verdict"]["status"] == "offline"
            continue
        hashed = {key: value for key, value in line.items() if key not in {"id", "verdict"}}
        with Store(runs[name].database, create=False) as store:
            kept = store.canonical_bytes(line["id"])
        assert kept is not None
        assert json.loads(kept) == hashed
        assert digest(kept) == line["id"]
        assert (line["verdict"] is None) == (line["follows"] is not None)


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_was_kept_is_intact(runs: dict[str, Measured], name: str) -> None:
    with Store(runs[name].database, create=False) as store:
        assert store.check() == []
        assert len(list(store.rounds())) == 1


def test_both_answers_of_a_race_are_kept_with_their_ttl(runs: dict[str, Measured]) -> None:
    races = [
        step["replies"]
        for step in runs["dns-forged-race"].steps("lookup", type="A", resolver="udp")
        if len(step["replies"]) > 1
    ]
    assert races
    for replies in races:
        assert len({tuple(reply["answers"]) for reply in replies}) == 2
        assert all(reply["ip_ttl"] for reply in replies)
        assert replies[0]["after_us"] <= replies[1]["after_us"]
    plain = runs["plain"].steps("lookup", type="A")
    assert plain
    assert all(len(step["replies"]) <= 1 for step in plain)


def test_the_system_three_resolvers_and_both_families_are_asked(runs: dict[str, Measured]) -> None:
    asked = {(step["resolver"], step["type"]) for step in runs["plain"].steps("lookup")}
    doh = next(resolver for resolver, _ in asked if resolver.startswith("https:"))
    both = {(each, kind) for each in ("system", "udp", doh) for kind in ("A", "AAAA")}
    assert asked == both | {(doh, "HTTPS")}
    addresses = {step["address"] for step in runs["plain"].steps("lookup", resolver="udp")}
    assert addresses == {"8.8.8.8", "9.9.9.9"}


def test_a_swallowed_hello_is_told_from_a_reset(runs: dict[str, Measured]) -> None:
    [swallowed, *_] = runs["tls-drop"].steps("handshake", purpose="main")
    assert swallowed["failure"] == "generic_timeout_error"
    assert swallowed["acknowledged"] is False
    [reset, *_] = runs["tls-reset"].steps("handshake", purpose="main")
    assert reset["failure"] == "connection_reset"


def test_wrong_facts_are_looked_at_twice_more(runs: dict[str, Measured]) -> None:
    attempts = {step["attempt"] for step in runs["tls-drop"].steps("handshake", purpose="repeat")}
    assert attempts == {1, 2}
    assert not runs["plain"].steps("handshake", purpose="repeat")
    assert not runs["geo-block"].steps("handshake", purpose="repeat")


def test_the_contrasts_follow_with_all_arms_the_neutral_ones_first(
    runs: dict[str, Measured],
) -> None:
    main, follow_up, *_ = runs["tls-drop"].lines
    assert follow_up["follows"] == main["id"]
    arms = [step["arm"] for step in follow_up["steps"] if step["kind"] == "handshake"]
    assert sorted(arms[:4]) == ["foreign@neutral", "neutral@neutral", "neutral@site", "none@site"]
    # As often as it takes to be clear; at the site's address the visit itself has failed before.
    assert sorted(arms[4:]) == ["name@neutral", "name@neutral", "name@site"]
    assert [step["arm"] for step in runs["plain"].steps("connect", purpose="contrast")] == []


def test_helpers_say_what_they_saw_and_dead_ones_say_nothing(runs: dict[str, Measured]) -> None:
    assert [helper["answered"] for helper in runs["plain"].main["helpers"]] == [True, True]
    for helper in runs["plain"].main["helpers"]:
        assert helper["exchange"]["status"] == 200
        assert helper["dns"]
    assert not any(helper["answered"] for helper in runs["helper-dead"].main["helpers"])
    assert all(helper["failure"] for helper in runs["helper-dead"].main["helpers"])


def test_without_a_line_nothing_is_measured_and_the_demo_is_named(
    runs: dict[str, Measured],
) -> None:
    assert runs["offline"].main["id"] is None
    assert runs["offline"].main["line"]["state"] == "down"
    assert "make demo" in runs["offline"].errors


# --- worlds of their own -------------------------------------------------------------------------

ECHO = """
country = "KZ"
targets = ["http://mirror.example/", "https://mirror.example/"]
[[networks]]
name = "home"
asn = 64496
[[sites]]
host = "mirror.example"
http = "serve"
echo = true
[sitewatch.limits]
dns_timeout = 1.0
"""


def test_the_own_address_echoed_by_a_page_is_kept_nowhere(tmp_path: Path) -> None:
    require_lab()
    (tmp_path / "echo.toml").write_text(ECHO)
    scenario = load_scenario(tmp_path / "echo.toml")
    measured = measure(scenario, tmp_path, list(scenario.targets))
    with World(scenario, seed=3) as world:
        own = world.plan.networks["home"].client
    bodies = [step["body"] for step in measured.steps("exchange") if step["body"]]
    with Store(measured.database, create=False) as store:
        texts = [store.blob(body) or b"" for body in bodies]
    assert any(b"[scrubbed]" in text for text in texts)
    with sqlite3.connect(measured.database) as database:
        dump = "\n".join(database.iterdump())
    database.close()
    assert own not in dump
    assert not any(own.encode() in text for text in texts)
    assert all(own not in json.dumps(line) for line in measured.lines)


@pytest.fixture
def blocked_world() -> Iterator[World]:
    require_lab()
    with World(load_scenario("tls-drop")) as world:
        yield world


def test_ctrl_c_stops_within_two_seconds_and_keeps_what_was_measured(
    blocked_world: World, tmp_path: Path
) -> None:
    database = tmp_path / "stopped.db"
    argv = [sys.executable, "-m", "sitewatch", "measure", "--json", "--database", str(database)]
    urls = ["https://watched.example/", *blocked_world.scenario.neutral.abroad]
    process = blocked_world.popen(
        blocked_world.clients[0], [*argv, *urls], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    # Two seconds are promised and some more allowed to a busy machine; the rest of this
    # measurement, its reloads and contrasts, would take twenty.
    _, errors = process.communicate(timeout=6)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert b"never retrieved" not in errors
    with Store(database, create=False) as store:
        assert store.check() == []
        kept = {stored.id: stored.record for stored in store.measurements()}
    assert kept[first["id"]].complete
    [unfinished] = [each for each in kept.values() if each.url == "https://watched.example/"]
    assert not unfinished.complete
    lookups = [step for step in unfinished.steps if isinstance(step, Lookup)]
    assert {step.resolver for step in lookups} >= {"system", "udp"}


@pytest.mark.parametrize(("name", "answer"), [("tls-drop", "silence"), ("tls-reset", "reset")])
def test_the_walk_with_the_name_meets_the_censor_where_it_stands(
    runs: dict[str, Measured], name: str, answer: str
) -> None:
    walks = runs[name].steps("walk")
    assert {walk["purpose"] for walk in walks} == {"ttl-walk"}
    [control] = [walk for walk in walks if walk["arm"] == "neutral@site"]
    [named] = [walk for walk in walks if walk["arm"] == "name@site"]
    assert control["answer"] == "data"
    reacts_at = named["answered_at"] if answer == "reset" else named["silent_from"]
    assert named["answer"] == (None if answer == "silence" else answer)
    with World(runs[name].scenario, seed=3) as world:
        route = world.plan.route(world.clients[0], named["address"])
    assert reacts_at == route.censor
    assert control["answered_at"] == len(route.routers) + 1
    assert all(hop["ttl"] > 2 for walk in walks for hop in walk["hops"])
    assert runs["plain"].steps("walk") == []
