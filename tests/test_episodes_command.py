"""sitewatch episodes: from a CSV of another tool, and from a database without any rounds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sitewatch.cli import group
from storage.store import Store

HEADER = "time,url,country,asn,status,layer,technique"
START = datetime(2017, 6, 12, tzinfo=UTC)


def history(blocked_days: range, asn: int = 64496, url: str = "https://foreignpolicy.com/") -> str:
    rows = [HEADER]
    for half_day in range(56):
        when = START + timedelta(hours=12 * half_day)
        blocked = half_day // 2 in blocked_days
        how = "blocked,tls,timeout" if blocked else "accessible,,"
        rows.append(f"{when.isoformat()},{url},KZ,{asn},{how}")
    return "\n".join(rows) + "\n"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["episodes", *arguments])


def test_a_series_of_another_tool_gives_its_episode(tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    file.write_text(history(range(7, 20)))
    result = run("--from-verdicts", str(file), "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    [episode] = document["episodes"]
    assert episode["onset_earliest"] == "2017-06-18T12:00:00Z"
    assert episode["onset_latest"] == "2017-06-19T00:00:00Z"
    assert episode["end_earliest"] == "2017-07-01T12:00:00Z"
    assert (episode["blocked"], episode["techniques"]) == (26, {"tls.timeout": 26})
    assert document["format"] == "sitewatch-episodes/1"


def test_the_table_shows_the_same(tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    file.write_text(history(range(7, 20)))
    result = run("--from-verdicts", str(file))
    assert "26 of 26" in result.stdout
    assert "AS64496" in result.stdout


@pytest.mark.parametrize("option", [["--country", "KG"], ["--target", "https://other.example/"]])
def test_filters_leave_out_what_is_not_wanted(tmp_path: Path, option: list[str]) -> None:
    file = tmp_path / "readings.csv"
    file.write_text(history(range(7, 20)))
    assert run("--from-verdicts", str(file), *option).stdout == "No episodes.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--from-verdicts", "missing.csv"], 1, "missing.csv"),
        (["--country", "Kazakhstan"], 2, "two letters"),
        (["--target", "ftp://x"], 2, "ftp://x"),
        (["--database", "missing.db"], 1, "missing.db"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], code: int, words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_an_empty_database_is_said_to_be_empty(tmp_path: Path) -> None:
    with Store(tmp_path / "empty.db"):
        pass
    result = run("--database", str(tmp_path / "empty.db"))
    assert result.exit_code == 1
    assert "no measurements yet" in result.stderr
