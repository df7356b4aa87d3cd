"""sitewatch judge: what is judged anew, what is left, and what is said about it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reports.added import folder_of
from reports.rules import RULES_VERSION
from sitewatch.cli import group
from sitewatch.retaining import retain
from storage.store import Store
from tests.test_retention import DAY, NOW, START, At, blocked, config, fine


def judge(database: Path, *arguments: str) -> Result:
    return CliRunner().invoke(group, ["judge", "--database", str(database), *arguments])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Three days, never judged: fine, blocked, fine."""
    path = tmp_path / "x.db"
    with Store(path) as store:
        fine(store, START)
        blocked(store, START + DAY)
        fine(store, START + 2 * DAY)
    return path


def test_what_was_never_judged_is_judged_and_listed(database: Path) -> None:
    result = judge(database)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "2017-06-20T00:00:00Z  https://foreignpolicy.com/  not judged -> accessible",
        "2017-06-21T00:00:00Z  https://foreignpolicy.com/  not judged -> "
        "blocked tls.timeout confirmed",
        "2017-06-22T00:00:00Z  https://foreignpolicy.com/  not judged -> accessible",
    ]
    assert f"3 measurements judged by the rules {RULES_VERSION}, 3 differently" in result.stderr
    assert judge(database, "--all").stdout == ""


def test_changes_are_one_json_document(database: Path) -> None:
    document = json.loads(judge(database, "--json").stdout)
    assert (document["format"], document["judged"], document["left"]) == (
        "sitewatch-judged/1",
        3,
        0,
    )
    after = [change["after"]["status"] for change in document["changed"]]
    assert after == ["accessible", "blocked", "accessible"]
    assert all(change["before"] is None for change in document["changed"])
    assert json.loads(judge(database, "--all", "--json").stdout)["changed"] == []


def test_only_all_replaces_what_these_rules_are_said_to_have_judged(database: Path) -> None:
    judge(database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "UPDATE verdicts SET status = 'down', "
            "verdict = replace(verdict, '\"accessible\"', '\"down\"') WHERE status = 'accessible'"
        )
        connection.commit()
    assert judge(database).stdout == ""
    changed = judge(database, "--all").stdout.splitlines()
    assert [line.partition("  ")[2].split("  ")[1] for line in changed] == [
        "down -> accessible"
    ] * 2


def test_rules_of_another_version_are_replaced_without_being_asked(database: Path) -> None:
    judge(database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE verdicts SET rules_version = 'old', status = 'down'")
        connection.commit()
    judge(database)
    with closing(sqlite3.connect(database)) as connection:
        versions = connection.execute("SELECT DISTINCT rules_version FROM verdicts").fetchall()
    assert versions == [(RULES_VERSION,)]


def test_thinned_records_keep_their_verdict_and_are_counted(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        fine(store, START)
        fine(store, NOW - DAY)
        assert retain(store, config(tmp_path, days=30), At()).records == 1
    result = judge(tmp_path / "x.db", "--all", "--json")
    document = json.loads(result.stdout)
    assert (document["judged"], document["left"], document["changed"]) == (1, 1, [])
    assert "1 kept the verdict they had" in judge(tmp_path / "x.db").stderr


def test_without_a_database_it_is_one_line(tmp_path: Path) -> None:
    result = judge(tmp_path / "none.db")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert not (tmp_path / "none.db").exists()


def test_added_fingerprints_stand_in_the_version_that_is_told(database: Path) -> None:
    folder = folder_of(str(database))
    folder.mkdir()
    columns = "name,scope,location_found,pattern_type,pattern,confidence_no_fp\n"
    (folder / "mine.csv").write_text(f"{columns}x,nat,dns,full,192.0.2.1,5\n")
    told = json.loads(judge(database, "--all", "--json").stdout)["rules_version"]
    assert told.startswith(f"{RULES_VERSION}+")
    assert f"3 measurements judged by the rules {told}," in judge(database, "--all").stderr
