"""Experiments and the line in the lab: each fact is recorded where it is, and absent elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lab.network import World
from lab.scenario import load_scenario
from tests.lab_worlds import require_lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.xdist_group("experiments")]

HEAD = """
country = "KZ"
targets = ["{url}"]
[[networks]]
name = "home"
asn = 64496
[[sites]]
host = "watched.example"
http = "serve"
http3 = {http3}
size = 200000
[[sites]]
host = "www.example.com"
http3 = true
[sitewatch.safety]
tier = "probing"
[sitewatch.limits]
dns_timeout = 1.5
tls_timeout = 1.5
http_timeout = 2.0
"""
CENSOR = '[[censors]]\nkind = "{}"\nnames = ["watched.example"]\n{}\n'
WORLDS = {
    "plain": ("https://watched.example/", ""),
    "http-drop": ("http://watched.example/", CENSOR.format("http-drop", "")),
    "dns-race": (
        "https://watched.example/",
        CENSOR.format("dns-race", 'answers = ["93.184.216.34"]'),
    ),
    "freeze": ("https://watched.example/", CENSOR.format("freeze", "bytes = 16384")),
    "path": ("http://watched.example/banned", CENSOR.format("http-drop", 'paths = ["/banned"]')),
    "word": (
        "http://watched.example/",
        '[[censors]]\nkind = "http-reset"\nwords = ["You are reading"]\nports = [80]\n',
    ),
    "plain-freeze": ("http://watched.example/", CENSOR.format("freeze", "bytes = 16384")),
    "throttle": ("https://watched.example/", CENSOR.format("throttle", "kbit = 100")),
    "quic": ("https://watched.example/", ""),
    "quic-drop": ("https://watched.example/", CENSOR.format("quic-drop", "")),
    "dns-divert": ("https://watched.example/", '[[censors]]\nkind = "dns-divert"\n'),
}

Steps = list[dict[str, Any]]


def measure(name: str, folder: Path) -> list[dict[str, Any]]:
    """Return the records of a hasty round in a world, with a table that knows its networks."""
    url, censor = WORLDS[name]
    path = folder / f"{name}.toml"
    path.write_text(HEAD.format(url=url, http3=str(name.startswith("quic")).lower()) + censor)
    with World(load_scenario(path), seed=3) as world:
        process = world.popen(
            world.clients[0],
            [sys.executable, "-m", "tests.measurer", url],
            stdout=subprocess.PIPE,
        )
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found: list[dict[str, Any]] = json.loads(output)
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    require_lab()
    folder = tmp_path_factory.mktemp("experiments")
    with ThreadPoolExecutor(len(WORLDS)) as pool:
        return dict(zip(WORLDS, pool.map(lambda name: measure(name, folder), WORLDS), strict=True))


def arms(records: list[dict[str, Any]], kind: str) -> dict[str, Steps]:
    """Return the steps of a kind by the arm that they belong to."""
    found: dict[str, Steps] = {}
    for record in records:
        for step in record["steps"]:
            if step["kind"] == kind and step["arm"] is not None and step["purpose"] == "contrast":
                found.setdefault(step["arm"], []).append(step)
    return found


def test_a_healthy_site_calls_for_no_experiment(runs: dict[str, list[dict[str, Any]]]) -> None:
    assert [record["format"] for record in runs["plain"]] == [
        "sitewatch-round/1",
        "sitewatch-measurement/1",
    ]


def test_a_blocked_host_fails_at_both_addresses_and_others_pass(
    runs: dict[str, list[dict[str, Any]]],
) -> None:
    requests = arms(runs["http-drop"], "exchange")
    for arm in ("neutral@site", "none@site", "foreign@neutral", "neutral@neutral"):
        assert all(step["status"] for step in requests[arm]), arm
    for arm in ("name@site", "name@neutral"):
        assert not any(step["status"] for step in requests[arm]), arm
        assert all(step["url"] == "http://watched.example/" for step in requests[arm])
    [first, *_] = requests["name@neutral"]
    assert first["address"] == requests["neutral@neutral"][0]["address"]
    assert not arms(runs["http-drop"], "handshake")


def test_only_the_name_is_answered_at_an_address_that_runs_no_resolver(
    runs: dict[str, list[dict[str, Any]]],
) -> None:
    questions = arms(runs["dns-race"], "lookup")
    assert [step["answers"] for step in questions["name@neutral"]] == [["93.184.216.34"]]
    assert not any(step["replies"] for step in questions["neutral@neutral"])
    assert not any(step["replies"] for step in questions["foreign@neutral"])
    assert all(step["answers"] for step in questions["neutral@site"])
    assert not arms(runs["plain"], "lookup")


def test_a_freeze_is_seen_beside_a_neutral_name_and_its_bytes_are_kept(
    runs: dict[str, list[dict[str, Any]]],
) -> None:
    downloads = arms(runs["freeze"], "exchange")
    named, other = downloads["name@site"], downloads["neutral@site"]
    assert {step["failure"] for step in named} == {"generic_timeout_error"}
    assert all(2_000 < step["wire_bytes"] < 20_000 for step in named)
    assert {step["failure"] for step in other} == {None}
    assert all(step["received_bytes"] > 90_000 for step in other)
    assert 2 <= len(named) <= 6  # enough to know, and no more


def test_every_arm_asks_for_the_path_and_the_front_page_is_asked_for_beside(
    runs: dict[str, list[dict[str, Any]]],
) -> None:
    requests = arms(runs["path"], "exchange")
    named = requests.pop("name@site")
    assert {step["url"].partition("/banned")[1] for arm in requests.values() for step in arm} == {
        "/banned"
    }
    assert {step["status"] for step in named if step["url"].endswith("/banned")} == {None}
    assert [step["status"] for step in named if step["url"] == "http://watched.example/"] == [200]


def test_the_head_of_a_page_comes_that_is_cut_off_for_a_word(
    runs: dict[str, list[dict[str, Any]]],
) -> None:
    named = arms(runs["word"], "exchange")["name@site"]
    heads = [step for step in named if step["method"] == "HEAD"]
    assert [(step["status"], step["declared_bytes"]) for step in heads] == [(200, 200_000)] * 2
    pages = [step for step in named if step["method"] is None]
    assert {step["failure"] for step in pages} == {"connection_reset"}
    short = [s for s in arms(runs["word"], "connect")["name@site"] if s["max_segment"] == 536]
    assert len(short) == 2


def test_long_transfers_stop_for_the_name_alone(runs: dict[str, list[dict[str, Any]]]) -> None:
    transfers = arms(runs["plain-freeze"], "exchange")
    for arm in ("neutral@site", "foreign@neutral"):
        assert len(transfers[arm]) == 2, arm  # before the name and after it
        assert all(step["requests"] > 1 for step in transfers[arm]), arm
        assert all(step["wire_bytes"] >= 32_768 for step in transfers[arm]), arm
    for step in [*transfers["name@neutral"], *transfers["name@site"]]:
        assert (step["failure"], step["wire_bytes"] < 20_000) == ("generic_timeout_error", True)


def test_a_throttled_name_is_slow_beside_a_neutral_one(
    runs: dict[str, list[dict[str, Any]]],
) -> None:
    downloads = arms(runs["throttle"], "exchange")
    named, other = downloads["name@site"], downloads["neutral@site"]

    def rate(step: dict[str, Any]) -> float:
        return float(step["wire_bytes"] / step["duration_us"])

    assert len(named) == len(other)
    assert max(map(rate, named)) * 3 < min(map(rate, other))
    assert not arms(runs["plain"], "exchange")


def quic(records: list[dict[str, Any]]) -> list[tuple[str | None, str | None]]:
    return [(s["arm"], s["failure"]) for r in records for s in r["steps"] if s["kind"] == "quic"]


def test_quic_is_tried_once_where_it_is_offered_and_beside_a_neutral_name_on_silence(
    runs: dict[str, list[dict[str, Any]]],
) -> None:
    assert quic(runs["plain"]) == []
    assert quic(runs["quic"]) == [(None, None)]
    silence = "generic_timeout_error"
    pair = [("neutral@site", None), ("name@site", silence)]
    assert quic(runs["quic-drop"]) == [(None, silence), *pair, *pair]


def test_diverted_questions_are_noticed(runs: dict[str, list[dict[str, Any]]]) -> None:
    assert runs["dns-divert"][0]["line"]["diverted"] is True
    assert runs["plain"][0]["line"]["diverted"] is False


def test_the_round_tells_of_its_instrument_and_line(runs: dict[str, list[dict[str, Any]]]) -> None:
    [first, *_] = runs["plain"]
    assert "tcp-info" in first["instrument"]["features"]
    assert first["line"]["intercepted"] is False
    assert first["line"]["nat64"] is False
