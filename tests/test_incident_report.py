"""A report on one incident: found by any of its ids, about nothing else, ready to be cited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reports import dossier_verify
from sitewatch.cli import group
from storage.announcements import Announcement, AnnouncementLog
from storage.store import Store
from tests.month import SITES, write_month

SPAN = {"first": "2017-06-18", "last": "2017-06-20"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("days")
    return write_month(folder / "x.db", sites=SITES[:2], **SPAN)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def incident(database: Path) -> str:
    result = CliRunner().invoke(group, ["episodes", "--database", str(database), "--json"])
    return str(json.loads(result.stdout)["episodes"][0]["incident"])


def report(database: Path, output: Path, *arguments: str) -> Result:
    command = ["report", "--database", str(database), "--output", str(output), *arguments]
    return CliRunner().invoke(group, command, prog_name="sitewatch")


@pytest.mark.parametrize("form", ["{0}", "{1}", "{2}", "urn:sitewatch:incident:{1}"])
def test_an_incident_is_found_by_any_form_of_its_id(
    database: Path, incident: str, tmp_path: Path, form: str
) -> None:
    digits = incident.removeprefix("sha256:")
    wanted = form.format(incident, digits, digits[:8].upper())
    result = report(database, tmp_path, "--incident", wanted)
    assert result.exit_code == 0, result.output
    for name in ("report.html", "evidence.html", "report.md"):
        text = (tmp_path / name).read_text("utf-8")
        assert "How to cite: Sitewatch, “foreignpolicy.com is blocked on 2 of 3" in text
        assert incident in text
        assert "All sites in the same time" not in text
    document = json.loads((tmp_path / "episodes.json").read_bytes())
    assert {episode["incident"] for episode in document["episodes"]} == {incident}


def test_its_page_leaves_the_steps_to_the_file_beside_it(
    database: Path, incident: str, tmp_path: Path
) -> None:
    assert report(database, tmp_path, "--incident", incident).exit_code == 0
    page, whole = ((tmp_path / n).read_text("utf-8") for n in ("report.html", "evidence.html"))
    assert '<a href="evidence.html">' in page
    for title in ("Key facts", "What we do not know", "What else it could have been"):
        assert title in page
    for title in ("The measurement, step by step", "Method", "Annex: records"):
        assert f">{title}</h" in whole
        assert f">{title}</h" not in page


def test_its_dossier_verifies(
    database: Path, incident: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = report(database, tmp_path, "--incident", incident, "--dossier", "--exact")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("dossier.zip\n")
    assert "SHA-256" in result.stderr
    assert dossier_verify.main([str(tmp_path / "dossier.zip")]) == 0
    assert "2 intact: episode" in capsys.readouterr().out


def test_an_earlier_id_still_leads_to_it(database: Path, tmp_path: Path) -> None:
    said = {"host": "foreignpolicy.com", "country": "KZ", "onset_latest": 1497787200.0 + 86400}
    with Store(database) as store:
        log = AnnouncementLog(store)
        noted = Announcement(
            subject="s",
            turn=1,
            kind="opened",
            noticed="2017-06-21T00:00:00.000000Z",
            episode=json.dumps({**said, "onset_latest": 1498003200.0}),
        )
        log.note([(noted, [])])
    assert report(database, tmp_path, "--incident", "f" * 64).exit_code == 1
    document = tmp_path / "episodes.json"
    report(database, tmp_path, "--from", SPAN["first"], "--to", SPAN["last"])
    [alias] = json.loads(document.read_bytes())["episodes"][0]["incident_aliases"]
    assert report(database, tmp_path, "--incident", alias).exit_code == 0


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("deadbeef", "there is {}"),
        ("abc", "there is {}"),
        ("", "there is {}"),
        ("\x1b[31m", "there is {}"),
    ],
)
def test_an_unknown_id_is_one_line_that_names_near_ones(
    database: Path, incident: str, tmp_path: Path, wanted: str, words: str
) -> None:
    result = report(database, tmp_path / "out", "--incident", wanted)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert words.format(incident[7:19]) in result.stderr
    assert "foreignpolicy.com KZ 2017-06-19" in result.stderr
    assert "\x1b" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_without_any_incident_that_is_said(database: Path, tmp_path: Path) -> None:
    days = ("--from", "2017-06-18", "--to", "2017-06-18")
    result = report(database, tmp_path / "out", "--incident", "abcdef", *days)
    assert result.exit_code == 1
    assert "there is no incident in these days" in result.stderr


def test_an_empty_database_has_no_days(tmp_path: Path) -> None:
    Store(tmp_path / "x.db").close()
    result = report(tmp_path / "x.db", tmp_path / "out", "--incident", "abcdef")
    assert (result.exit_code, "holds no measurements yet" in result.stderr) == (1, True)


@pytest.mark.parametrize("arguments", [[], ["--from", "2017-06-18"], ["--to", "2017-06-18"]])
def test_a_report_without_days_is_a_wrong_command_line(
    database: Path, tmp_path: Path, arguments: list[str]
) -> None:
    result = report(database, tmp_path, *arguments)
    assert (result.exit_code, "a report needs --" in result.stderr) == (2, True)


def test_an_unknown_target_is_one_line_that_names_near_ones(database: Path, tmp_path: Path) -> None:
    days = ("--from", SPAN["first"], "--to", SPAN["last"])
    result = report(database, tmp_path / "x", *days, "--target", "https://foreign-policy.com/")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "was never measured; there are https://foreignpolicy.com/" in result.stderr


def test_a_target_that_was_not_measured_in_these_days_is_not_called_open(
    database: Path, tmp_path: Path
) -> None:
    other = write_month(
        tmp_path / "other.db", sites=["x.example"], first="2017-06-12", last="2017-06-12"
    )
    with Store(database) as store:
        store.import_database(other)
    days = ("--from", "2017-06-18", "--to", "2017-06-18")
    result = report(database, tmp_path, *days, "--target", "https://x.example/")
    assert result.exit_code == 0
    assert "Other sites were measured in this time, and this one was not." in result.stdout
