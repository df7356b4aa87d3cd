"""The benchmark of false alarms, without its worlds: what it sums up and what it holds back for."""

import random
from pathlib import Path

import msgspec
import pytest

from bench.false_alarms import folders_of, interval, judged_anew, size
from bench.innocents import KINDS, counted, line_of, scenario
from bench.machine import Machine
from lab.scenario import load_scenario
from storage.records import Verdict, record_id
from storage.store import Store
from tests.cases import helper, loads, measurement

# Of tables of the Poisson distribution, which the binomial is like for so rare events.
TABLED = {0: (0.0, 3.689), 1: (0.0253, 5.572), 2: (0.2422, 7.225)}


@pytest.mark.parametrize("events", TABLED)
def test_interval_is_that_of_the_tables(events: int) -> None:
    low, high = interval(events, 20_000)
    assert low * 20_000 == pytest.approx(TABLED[events][0], abs=0.001)
    assert high * 20_000 == pytest.approx(TABLED[events][1], abs=0.002)


def test_worlds_hold_every_kind_and_no_censor(tmp_path: Path) -> None:
    chance = random.Random(1)
    path = tmp_path / "world.toml"
    path.write_text(scenario(line_of(chance), 3, chance))
    world = load_scenario(path)
    assert not world.censors
    assert not world.outages
    assert len(world.targets) == 3 * len(KINDS) == len(world.sites)
    assert world.sitewatch == {}, "the program is measured as it comes"


def test_machine_tells_what_share_a_program_is_given() -> None:
    with Machine() as machine:
        assert 0.0 < machine.share() <= 1.0
        assert 0.0 < machine.share(since=0.0) <= 1.0


def test_kept_worlds_are_judged_anew(tmp_path: Path) -> None:
    into = tmp_path / "alarms.jsonl"
    databases = folders_of(into)
    assert databases is not None
    databases.mkdir()
    url = "https://healthy-0.example/"
    wrong = Verdict(rules_version="old", status="blocked", certainty="likely", rules=["old"])
    with Store(databases / "1-0.db") as store:
        own = store.own_vantage(country="KZ", asn=64496, network="isp")
        record = measurement(loads(1), url=url, vantage=own, helpers=[helper()])
        store.add(record).result()
        store.put_verdicts([(record_id(record), "sha256:" + "0" * 64, wrong)])
    known = {"world": "1-0", "loss": 0.01, **counted({url: msgspec.to_builtins(wrong)})}
    gone = {"world": "1-1", "loss": 0.02, **counted({url: msgspec.to_builtins(wrong)})}
    assert known["alarms"][0]["url"] == url

    anew, unchanged = judged_anew([known, gone], databases)
    assert anew["loss"] == 0.01
    assert anew["alarms"] == []
    assert size(anew) == 1
    assert anew["statuses"]["healthy"] == {"accessible": 1}
    assert unchanged == gone, "without its database a world stays as it was"
