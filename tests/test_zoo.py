"""The zoo: its scenarios are complete and honest, its record counts rightly, and it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lab.expected import Expect, Outcome
from lab.scenario import Scenario, ScenarioError, load_scenario
from lab.symptoms import Symptom
from lab.zoo import main, zoo_scenarios
from lab.zoo_items import ITEMS
from lab.zoo_record import (
    Circumstances,
    Result,
    Verdict,
    as_json,
    as_markdown,
    as_summary,
    with_summary,
)
from tests.lab_worlds import require_lab

SCENARIOS = {name: load_scenario(path) for name, path in zoo_scenarios().items()}
LEAST, LEAST_INNOCENT = 150, 65


def expected(scenario: Scenario) -> Expect:
    assert scenario.expect is not None
    return scenario.expect


# --- the scenarios --------------------------------------------------------------------------------


def test_there_is_a_scenario_for_every_item_and_no_unknown_item() -> None:
    covered = {item for scenario in SCENARIOS.values() for item in expected(scenario).covers}
    assert covered - set(ITEMS) == set()
    assert set(ITEMS) - covered == set()


def test_there_are_enough_scenarios_and_enough_innocent_ones() -> None:
    innocent = [one for one in SCENARIOS.values() if expected(one).truth == "innocent"]
    assert len(SCENARIOS) >= LEAST
    assert len(innocent) >= LEAST_INNOCENT


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_says_its_truth_its_symptoms_and_what_it_is_there_for(name: str) -> None:
    scenario = SCENARIOS[name]
    expect = expected(scenario)
    assert scenario.title
    assert scenario.symptoms
    assert scenario.targets
    assert expect.truth
    assert expect.covers
    if expect.truth == "innocent":
        assert {expect.status, *expect.or_status} & {"blocked"} == set()


def test_few_censored_scenarios_are_excused_and_each_says_why() -> None:
    censored = [one for one in SCENARIOS.values() if expected(one).truth == "censored"]
    excused = [one for one in censored if expected(one).status == "inconclusive"]
    assert len(excused) * 10 <= len(censored)
    assert all(expected(one).why.count(".") >= 2 for one in excused)


def spoilt_by_haste() -> Iterator[Scenario]:
    """Yield the scenarios in which latency, loss or residual blocking is the point."""
    for scenario in SCENARIOS.values():
        items = expected(scenario).covers
        line = any(one.startswith(("innocent/line-lossy", "innocent/line-high")) for one in items)
        late = any(one.startswith(("residual/", "transfer/loss", "transfer/thr")) for one in items)
        if line or late:
            yield scenario


def test_time_outs_are_not_shortened_where_time_is_the_point() -> None:
    assert [one.name for one in spoilt_by_haste() if "limits" in one.sitewatch] == []


# --- a scenario's own mistakes --------------------------------------------------------------------

MINIMAL = 'country = "KZ"\n[[networks]]\nname = "isp"\nasn = 64496\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            '[symptoms]\n"sing watched.example" = "ok"\n',
            'line 6, key symptoms."sing watched',
        ),
        ('[expect]\nstatus = "blocked"\n', "key expect.technique: a blocked target needs"),
        ('[expect]\nstatus = "down"\ncertainty = "sure"\n', "key expect.certainty: it is none"),
        (
            '[expect]\nstatus = "inconclusive"\ntruth = "censored"\nwhy = "Who knows."\n',
            "key expect.why: two sentences",
        ),
        ('[expect]\nstatus = "down"\nalso = ["timeout"]\n', "key expect: 'timeout' is not like"),
        ('[expect]\nstatus = "fine"\n', "key expect.status"),
    ],
)
def test_a_mistake_in_what_is_expected_names_its_key(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL + text)
    with pytest.raises(ScenarioError) as raised:
        load_scenario(path)
    assert complaint in str(raised.value)


# --- the record -----------------------------------------------------------------------------------

BLOCKED = Expect(
    status="blocked",
    layer="tls",
    technique="timeout",
    certainty="likely",
    also=("tls.reset",),
    truth="censored",
    browser_like=Outcome(status="inconclusive"),
)
OPEN = Expect(status="accessible", truth="innocent")
SLOWED = Expect(status="accessible", truth="censored", interference=("*.throttled",))


def result(
    expect: Expect,
    verdict: Verdict | None,
    tier: str = "probing",
    symptoms: tuple[tuple[str, str, str], ...] = (("tls a", "ok", "ok"),),
) -> Result:
    return Result("one", "Title", tier, expect, verdict, "", list(symptoms), 1.0)


def blocked(technique: str = "timeout", certainty: str = "likely", layer: str = "tls") -> Verdict:
    return Verdict("blocked", layer, technique, certainty)


@pytest.mark.parametrize(
    ("expect", "verdict", "tier", "right"),
    [
        (BLOCKED, blocked(), "probing", True),
        (BLOCKED, blocked(certainty="confirmed"), "probing", True),
        (BLOCKED, blocked("reset"), "probing", True),
        (BLOCKED, blocked("alert"), "probing", False),
        (BLOCKED, blocked(layer="tcp"), "probing", False),
        (BLOCKED, blocked(certainty="suspected"), "probing", False),
        (BLOCKED, Verdict("inconclusive", "tls", "timeout", "suspected"), "probing", False),
        (BLOCKED, Verdict("inconclusive", "tls", "timeout", "suspected"), "browser-like", True),
        (BLOCKED, blocked(), "browser-like", False),
        (BLOCKED, None, "probing", False),
        (OPEN, Verdict("accessible"), "probing", True),
        (OPEN, Verdict("down"), "probing", False),
        (SLOWED, Verdict("accessible", interference=("http.throttled",)), "probing", True),
        (SLOWED, Verdict("accessible"), "probing", False),
    ],
)
def test_a_verdict_is_right_where_the_scenario_accepts_it(
    expect: Expect, verdict: Verdict | None, tier: str, right: bool
) -> None:
    assert result(expect, verdict, tier).is_right is right


def test_false_alarms_and_misses_are_told_apart() -> None:
    alarm, missed = result(OPEN, blocked()), result(BLOCKED, Verdict("accessible"))
    unseen = result(SLOWED, Verdict("accessible"))
    assert (alarm.is_false_alarm, alarm.is_miss) == (True, False)
    assert (missed.is_false_alarm, missed.is_miss) == (False, True)
    assert (unseen.is_false_alarm, unseen.is_miss) == (False, True)
    assert not result(BLOCKED, blocked()).is_miss
    assert not result(OPEN, Verdict("inconclusive", certainty="suspected")).is_false_alarm


@pytest.mark.parametrize(
    ("wanted", "got", "holds"),
    [
        ("ok", "ok", True),
        ("ok", "timeout", False),
        ("closed | reset", "reset", True),
        ("200 *", "200 Welcome", True),
        ("200 *", "403 Sorry", False),
    ],
)
def test_a_symptom_holds_where_what_came_is_wanted(wanted: str, got: str, holds: bool) -> None:
    assert Symptom("tls a.example", wanted, got).holds is holds


A_RUN = [Circumstances(4, 12.0, worlds_at_once=4, cores=2, load=1.6, day="2026-11-28")]


def test_the_record_counts_what_it_shows() -> None:
    results = [
        result(BLOCKED, blocked()),
        result(BLOCKED, Verdict("accessible"), symptoms=(("tls a", "ok", "timeout"),)),
        result(OPEN, blocked()),
        result(OPEN, Verdict("accessible")),
    ]
    document = json.loads(as_json(results, A_RUN))
    assert document["tiers"]["probing"] == {
        "scenarios": 1,
        "worlds": 4,
        "innocent": 2,
        "censored": 2,
        "right": 2,
        "false_alarms": 1,
        "misses": 1,
        "misses_allowed": 0,
        "symptoms_wrong": 1,
    }
    text = as_markdown(results, A_RUN)
    assert "2 of 4 worlds are judged right" in text
    assert "on 2 cores; load in the last 15 minutes 2." in text
    assert "| tls.timeout | 2 | 1 | 0 | 1 |" in text
    assert "| innocent, accessible | 1 | 1 |" in text
    assert "| censored, blocked | 1 | 1 |" in text
    assert "symptoms wrong" in text


def test_a_miss_that_a_scenario_accepts_is_counted_as_such() -> None:
    sometimes = msgspec.structs.replace(BLOCKED, or_status=("accessible",))
    results = [result(sometimes, Verdict("accessible")), result(BLOCKED, Verdict("accessible"))]
    assert "Misses: 2 of\n2 censored ones, 1 of them where" in as_markdown(results, A_RUN)


def test_worlds_of_one_scenario_stand_together_where_the_same_was_said_of_them() -> None:
    said = [blocked(), blocked(), Verdict("accessible"), blocked()]
    results = [
        msgspec.structs.replace(result(BLOCKED, verdict), seed=seed)
        for seed, verdict in enumerate(said)
    ]
    text = as_markdown(results, A_RUN)
    assert "3 of 4 worlds are judged right; they are of\n1 scenarios and 4 seeds." in text
    assert "| right, 3 times | 1 |" in text
    assert text.count("| **wrong** | 1 |") == 1
    assert [one["seed"] for one in json.loads(as_json(results, A_RUN))["scenarios"]] == [0, 1, 2, 3]


def test_the_page_about_accuracy_has_a_place_for_the_confusion_matrices() -> None:
    page = Path("docs/accuracy.md").read_text("utf-8")
    summary = as_summary([result(OPEN, blocked()), result(BLOCKED, blocked())], A_RUN)
    renewed = with_summary(page, summary)
    assert "| innocent, accessible | 1 |" in renewed  # and called blocked
    assert with_summary(renewed, summary) == renewed
    assert renewed.endswith(page[-500:])
    with pytest.raises(ValueError, match="lacks"):
        with_summary("# Accuracy\n", summary)


def test_the_shown_record_is_of_the_zoo_as_it_is() -> None:
    page = Path("docs/zoo.md").read_text("utf-8")
    assert [name for name in SCENARIOS if f"| {name} |" not in page] == []


# --- running it -----------------------------------------------------------------------------------


@pytest.mark.lab
@pytest.mark.xdist_group("censors")
def test_the_zoo_runs_and_writes_its_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_lab()
    options = ["--tier", "browser-like", "--output", str(tmp_path), "--into", f"{tmp_path}/kept"]
    assert main(["geo-451", *options]) == 0
    assert main(["geo-451", *options, "--seeds", "2"]) == 0  # the second world alone
    document = json.loads((tmp_path / "zoo.json").read_text())
    assert [(one["name"], one["seed"]) for one in document["scenarios"]] == [
        ("geo-451", 3),
        ("geo-451", 4),
    ]
    assert [one["verdict"]["status"] for one in document["scenarios"]] == ["restricted"] * 2
    assert all(one["right"] for one in document["scenarios"])
    assert all(
        msgspec.convert(list(one.values()), Symptom).holds
        for scenario in document["scenarios"]
        for one in scenario["symptoms"]
    )
    assert [run["worlds"] for run in document["runs"]] == [1, 1]
    assert "geo-451" in (tmp_path / "zoo.md").read_text()
    assert "2 of 2 right" in capsys.readouterr().out
    (tmp_path / "kept").write_text("{}\n")
    assert main(["geo-451", *options]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path}/kept, line 1: ")


def test_an_unknown_scenario_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["utopia-*"]) == 1
    assert capsys.readouterr().err == "no scenario of the zoo is called utopia-*\n"
