"""Merged vantages: several on one site strengthen the evidence, and never multiply it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sitewatch.cli import group
from storage.records import record_id, utc_text
from storage.store import Store
from tests.bundles import bundle_of, merge
from tests.cases import NAME, helper, loads, measurement
from tests.month import NETWORKS, round_times, write_month
from tests.month import _round as round_of

pytestmark = pytest.mark.xdist_group("merged vantages")  # they share what takes long to write
DAYS = {"first": "2017-06-18", "last": "2017-06-20"}
SITES = (NAME, "aral-notes.example")


@pytest.fixture(scope="module")
def volunteers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Bundles of three volunteers on one network: two meet the block, the third never does."""
    folder = tmp_path_factory.mktemp("volunteers")
    meeting = [
        write_month(folder / f"{name}.db", networks=NETWORKS[:1], sites=SITES, **DAYS)  # type: ignore[arg-type]
        for name in ("aigul", "timur")
    ]
    return bundle_of(meeting[0]), bundle_of(meeting[1]), bundle_of(untouched(folder / "dana.db"))


def untouched(path: Path) -> Path:
    """Write the history of a volunteer on the same network who reaches every site."""
    with Store(path) as store:
        vantage = store.own_vantage(country="KZ", asn=NETWORKS[0][0], network=NETWORKS[0][1])
        for moment in round_times(**DAYS):
            head, *_ = round_of(vantage, moment, SITES, "Foreign Policy", None)
            store.add(head)
            for position, host in enumerate(SITES):
                reached = measurement(
                    loads(1, name=host, status=200, title="Foreign Policy"),
                    url=f"https://{host}/",
                    time=utc_text(moment + 5 * position + 90),
                    vantage=vantage,
                    helpers=[helper(title="Foreign Policy")],
                    round=record_id(head),
                )
                store.add(reached)
    return path


def episodes(database: Path) -> list[dict[str, Any]]:
    result = CliRunner().invoke(
        group,
        ["episodes", "--database", str(database), "--json", "--exact"],
        prog_name="sitewatch",
    )
    assert result.exit_code == 0, result.output
    return list(json.loads(result.stdout)["episodes"])


def test_two_vantages_that_meet_the_same_make_one_episode_with_both_in_it(
    tmp_path: Path, volunteers: tuple[Path, Path, Path]
) -> None:
    merge(tmp_path / "one.db", volunteers[0])
    merge(tmp_path / "two.db", *volunteers[:2])
    (alone,) = episodes(tmp_path / "one.db")
    (both,) = episodes(tmp_path / "two.db")
    assert (alone["vantages"], both["vantages"]) == (1, 2)
    assert both["measurements"] == 2 * alone["measurements"]
    assert both["blocked"] == 2 * alone["blocked"]
    same = ("url", "country", "asn", "status", "certainty", "onset_earliest", "onset_latest")
    assert {key: both[key] for key in same} == {key: alone[key] for key in same}


def test_one_that_disagrees_with_the_others_is_shown_as_such(
    tmp_path: Path, volunteers: tuple[Path, Path, Path]
) -> None:
    merge(tmp_path / "three.db", *volunteers)
    found = episodes(tmp_path / "three.db")
    assert {episode["asn"] for episode in found} == {NETWORKS[0][0]}
    assert any("disagreed" in reason for episode in found for reason in episode["reasons"])
    reached = sum(episode["measurements"] - episode["blocked"] for episode in found)
    assert reached > 0


def test_the_same_volunteer_twice_counts_once(
    tmp_path: Path, volunteers: tuple[Path, Path, Path]
) -> None:
    merge(tmp_path / "x.db", volunteers[0])
    once = episodes(tmp_path / "x.db")
    merge(tmp_path / "x.db", volunteers[0], volunteers[0].with_suffix(".db"))
    assert episodes(tmp_path / "x.db") == once
