"""The report's tables and feed: true to the episodes, inert everywhere, whole or not at all."""

from __future__ import annotations

import csv
import errno
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from reports.announced import as_announced
from reports.episodes import find_episodes
from reports.errors import ReportError
from reports.folder import write_together
from reports.incidents import Incident, incident_id, incidents_of
from reports.readings import Reading
from reports.spreadsheets import OUR_COLUMNS, STOP_COLUMNS
from reports.text import cell
from sitewatch.alert_changes import Said
from storage.annotations import Annotation
from storage.announcements import Announcement
from storage.records import LineState, utc_seconds
from storage.store import Store
from tests.histories import history
from tests.month import NETWORKS, SITES, write_month
from tests.test_report import EVIL, report

ATOM = {"a": "http://www.w3.org/2005/Atom"}
SOURCE = "https://news.example/minister"


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on the month, with a denial annotated."""
    folder = tmp_path_factory.mktemp("month")
    path = write_month(folder / "month.db", sites=SITES[:3])
    with Store(path) as store:
        store.annotate([Annotation(date="2017-06-20", text="Minister denies", source=SOURCE)])
    report(path, folder, "2017-06-12", "2017-07-10", exact=True)
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    networks = [(64496, f"=1+1;=2+2 {EVIL}"), (64497, "@SUM(1)")]
    path = write_month(folder / "x.db", first="2017-06-19", last="2017-06-20", networks=networks)
    report(path, folder, "2017-06-19", "2017-06-20")
    return folder


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def entries(folder: Path) -> list[ElementTree.Element]:
    return ElementTree.parse(folder / "incidents.atom").getroot().findall("a:entry", ATOM)


def text_of(element: ElementTree.Element, path: str) -> str:
    return element.findtext(path, "", ATOM)


def test_each_episode_is_a_row(month: Path) -> None:
    document = msgspec.json.decode((month / "episodes.json").read_bytes())["episodes"]
    table = rows(month, "episodes.csv")
    assert len(table) == len(document) == 2
    for row, episode in zip(table, document, strict=True):
        for name in ("id", "incident", "url", "onset_latest", "end_earliest", "last_blocked"):
            assert row[name] == episode[name]
        assert (row["failed"], row["measurements"]) == (
            str(episode["blocked"]),
            str(episode["measurements"]),
        )
        assert row["simulated"] == "true"


def test_the_order_of_records_does_not_tell_when_they_were_made(month: Path) -> None:
    page = (month / "report.html").read_text("utf-8")
    ids = re.findall(r"<li>([0-9a-f]{64})</li>", page)
    assert len(ids) > 100
    assert ids == sorted(ids)


def test_an_incident_is_a_row_in_the_columns_of_stop(month: Path) -> None:
    [row] = rows(month, "stop.csv")
    assert tuple(row) == STOP_COLUMNS + OUR_COLUMNS
    assert {name: row[name] for name in STOP_COLUMNS if row[name]} == {
        "start_date": "2017/06/19",
        "end_date": "2017/07/05",
        "duration": "16",
        "country": "Kazakhstan",
        "info_source_link": SOURCE,
    }
    assert row["sitewatch_site"] == "foreignpolicy.com"
    assert row["sitewatch_networks_blocked"] == (
        "Altyn Telecom (AS64496); Saryarka Online (AS64497)"
    )
    assert row["sitewatch_networks_not_blocked"] == "Ulytau Mobile (AS64498)"
    assert row["sitewatch_simulated"] == "true"


@pytest.mark.parametrize(
    ("state", "networks", "count"),
    [("down", NETWORKS[:1], 0), ("down", NETWORKS, 1), ("foreign-cut", NETWORKS[:1], 1)],
)
def test_a_cut_line_is_a_row_too_and_one_dead_line_is_not(
    tmp_path: Path, state: LineState, networks: list[tuple[int, str]], count: int
) -> None:
    path = write_month(
        tmp_path / "x.db",
        first="2017-06-12",
        last="2017-06-12",
        networks=networks,
        states=[state] * 4,
    )
    report(path, tmp_path, "2017-06-12", "2017-06-12")
    found = rows(tmp_path, "stop.csv")
    assert [row["sitewatch_technique"] for row in found] == [state] * count
    assert all(row["end_date"] == "" for row in found)  # not up again as far as anybody saw


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(1)", " =1", "\t=1", "\r=1", "＝1+1", "a;=1+1", "a, =1", "a|=cmd"],
)
def test_no_cell_is_a_formula_whatever_the_separator(text: str) -> None:
    result = cell(text)
    for separator in ",;\t|":
        for part in result.split(separator):
            assert part.strip()[:1] not in {"=", "+", "-", "@", "＝"}


def test_hostile_networks_write_no_formula(hostile: Path) -> None:
    for name in ("episodes.csv", "stop.csv"):
        found = rows(hostile, name)
        assert found
        for row in found:
            for value in row.values():
                for part in value.replace(";", ",").split(","):
                    assert part.strip()[:1] not in {"=", "+", "-", "@"}
    assert any("'=1+1" in row["network"] for row in rows(hostile, "episodes.csv"))


def test_the_feed_is_atom_with_an_entry_for_each_incident(month: Path) -> None:
    root = ElementTree.parse(month / "incidents.atom").getroot()
    assert root.tag == "{http://www.w3.org/2005/Atom}feed"
    for part in ("id", "title", "updated", "author/a:name"):
        assert text_of(root, f"a:{part}")
    [entry] = entries(month)
    episode = msgspec.json.decode((month / "episodes.json").read_bytes())["episodes"][0]
    assert text_of(entry, "a:id") == f"urn:sitewatch:incident:{episode['incident'][7:]}"
    assert text_of(entry, "a:title").startswith("SIMULATED: foreignpolicy.com was blocked on 2 of")
    assert "2017-07-05T" in text_of(entry, "a:updated")
    assert f"Incident {episode['incident']}" in text_of(entry, "a:content")
    terms = [each.get("term") for each in entry.findall("a:category", ATOM)]
    assert terms == ["KZ", "ended", "confirmed"]


def test_an_entry_stays_the_same_one_while_days_are_added(month: Path, tmp_path: Path) -> None:
    for last in ("2017-06-25", "2017-06-26"):
        report(month / "month.db", tmp_path / last, "2017-06-12", last, exact=True)
    [first], [second], [whole] = (
        entries(tmp_path / "2017-06-25"),
        entries(tmp_path / "2017-06-26"),
        entries(month),
    )
    ids = {text_of(entry, "a:id") for entry in (first, second, whole)}
    updated = [text_of(entry, "a:updated") for entry in (first, second, whole)]
    assert len(ids) == 1
    assert sorted(set(updated)) == updated


def test_hostile_text_in_the_feed_stays_text(hostile: Path) -> None:
    [entry] = entries(hostile)
    assert "<script>alert(1)</script>" in text_of(entry, "a:content")
    assert [child.tag for child in entry.iter() if "script" in child.tag] == []


def blocked_from(day: int) -> tuple[list[Reading], Incident]:
    readings = history("o" * day + "b" * 6 + "o" * 4)
    [incident] = incidents_of(find_episodes(readings), readings)
    return readings, incident


def announcement(incident: Incident, kind: str, turn: int, **changes: Any) -> Announcement:
    said = msgspec.structs.replace(Said.of(incident.episodes[0]), **changes)
    return Announcement(
        subject=incident.episodes[0].id,
        turn=turn,
        kind=kind,
        noticed="2017-07-01T00:03:00.000000Z",
        episode=msgspec.json.encode(said).decode(),
    )


def test_earlier_ids_of_an_incident_stay_known() -> None:
    _, incident = blocked_from(4)
    moved = incident.onset_latest - 2 * 86400
    noted = [
        announcement(incident, "opened", 1, onset_latest=moved, onset_earliest=moved - 60),
        announcement(incident, "corrected", 2),
    ]
    [known] = as_announced([incident], noted)
    assert known.aliases == (incident_id(incident.host, incident.country, moved),)
    assert known.announced == utc_seconds("2017-07-01T00:10:00.000000Z")


@pytest.mark.parametrize(
    "changes", [{"host": "other.example"}, {"country": "KG"}, {"onset_latest": 9e9}]
)
def test_what_was_announced_of_another_incident_changes_nothing(changes: dict[str, Any]) -> None:
    _, incident = blocked_from(4)
    far = {"onset_earliest": 9e9, "end_latest": None} if "onset_latest" in changes else {}
    noted = [announcement(incident, "opened", 1, **changes, **far)]
    assert as_announced([incident], noted) == [incident]


def test_a_full_disk_half_way_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    write_together(folder, {"a": b"old", "b": b"old"})
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("reports.folder.os.fsync", full)
    with pytest.raises(ReportError, match=r"out: No space left on device$"):
        write_together(folder, {"a": b"new", "b": b"new", "c": b"new"})
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "a": b"old",
        "b": b"old",
    }


def test_a_folder_made_for_nothing_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "reports.folder.os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "broken"))
    )
    with pytest.raises(ReportError, match="broken"):
        write_together(tmp_path / "new" / "out", {"a": b"x"})
    assert list(tmp_path.iterdir()) == []
