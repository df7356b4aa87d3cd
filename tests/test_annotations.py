"""Annotations: added, listed, removed, merged, told with their source, and never evidence."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from reports.report import write_report
from sitewatch.cli import group
from storage.annotations import Annotation
from storage.store import Store, StoreError
from tests.month import write_month
from tests.test_migrations import copy_rows, make_first_schema

SITE = "https://foreignpolicy.com/"
SOURCE = "https://news.example/minister?a=1&b=2"
DENIAL = ("--date", "2017-06-20", "--text", "Minister denies blocking", "--source", SOURCE)
EVIL = "<script>alert(1)</script> [x](http://evil.example) | =1+1 \u202e"


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of one network, in which a site becomes blocked."""
    return write_month(
        tmp_path_factory.mktemp("two days") / "x.db",
        first="2017-06-19",
        last="2017-06-20",
        networks=[(64496, "A")],
        sites=["foreignpolicy.com"],
    )


@pytest.fixture
def database(two_days: Path, tmp_path: Path) -> Path:
    """A copy of these two days."""
    return Path(shutil.copy(two_days, tmp_path / "x.db"))


@pytest.fixture
def other(two_days: Path, tmp_path: Path) -> Path:
    """Another copy of them, in another hand."""
    return Path(shutil.copy(two_days, tmp_path / "other.db"))


def annotate(database: Path, *arguments: str) -> Result:
    command = ["annotate", "--database", str(database), *arguments]
    return CliRunner().invoke(group, command, prog_name="sitewatch")


def listed(database: Path) -> list[dict[str, object]]:
    result = annotate(database, "--list", "--json")
    assert result.exit_code == 0, result.output
    return list(json.loads(result.stdout)["annotations"])


def report(database: Path, output: Path, **how: object) -> tuple[str, str]:
    with Store(database) as store:
        write_report(
            store,
            since="2017-06-19",
            until="2017-06-20",
            output=output,
            generated="2017-07-11T00:00:00Z",
            tool="sitewatch 0.1.0",
            **how,  # type: ignore[arg-type]
        )
    return (output / "report.html").read_text("utf-8"), (output / "report.md").read_text("utf-8")


def test_an_annotation_is_added_once_listed_and_told_with_its_source(
    database: Path, tmp_path: Path
) -> None:
    for words in ("1 annotation added", "0 annotations added, 1 known already"):
        result = annotate(database, *DENIAL, "--time", "14:30")
        assert (result.exit_code, words in result.stderr) == (0, True), result.output
    [row] = listed(database)
    assert (row["date"], row["time"], row["source"]) == ("2017-06-20", "14:30", SOURCE)
    assert row["simulated"] is True
    assert "2017-06-20 14:30" in annotate(database, "--list").stdout
    page, text = report(database, tmp_path / "out")
    assert "20 June 2017 14:30 UTC</strong>: Minister denies blocking" in page
    assert 'href="https://news.example/minister?a=1&amp;b=2"' in page
    assert f"Minister denies blocking <{SOURCE}>" in text
    assert "No finding of this report rests on it." in page
    assert "No finding of this report rests on it." in text


def test_annotations_change_nothing_that_is_concluded(database: Path, tmp_path: Path) -> None:
    report(database, tmp_path / "before")
    assert annotate(database, *DENIAL).exit_code == 0
    report(database, tmp_path / "after")
    before, after = (tmp_path / name / "episodes.json" for name in ("before", "after"))
    assert before.read_bytes() == after.read_bytes()


@pytest.mark.parametrize(
    ("about", "how", "told"),
    [
        ({}, {}, True),
        ({"date": "2017-06-18"}, {}, False),
        ({"date": "2017-06-21"}, {}, False),
        ({"date": "2017-06-20", "time": "23:59"}, {}, True),
        ({"country": "KG"}, {}, True),
        ({"country": "KG"}, {"country": "KZ"}, False),
        ({"country": "KZ"}, {"country": "KZ"}, True),
        ({}, {"country": "KZ"}, True),
        ({"target": SITE}, {"urls": [SITE]}, True),
        ({"target": "https://c.example/"}, {"urls": [SITE]}, False),
        ({}, {"urls": [SITE]}, True),
    ],
)
def test_a_report_tells_those_of_its_days_country_and_targets(
    database: Path, tmp_path: Path, about: dict[str, str], how: dict[str, object], told: bool
) -> None:
    fields = {"date": "2017-06-19", "text": "The event", "source": SOURCE, **about}
    with Store(database) as store:
        store.annotate([msgspec.convert(fields, Annotation)])
    for content in report(database, tmp_path / "out", **how):
        assert ("The event" in content) == told


def test_a_hostile_annotation_is_inert(database: Path, tmp_path: Path) -> None:
    assert annotate(database, *DENIAL[:2], "--text", EVIL, *DENIAL[4:]).exit_code == 0
    page, text = report(database, tmp_path / "out")
    assert page.count("<script") == 1  # the page's own
    assert "\u202e" not in page + text + annotate(database, "--list").stdout
    assert "](http:" not in text


CSV = "date,text,source,time,country,target\n"


def test_a_csv_enters_whole(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    file.write_text(
        f"{CSV}2017-06-19,Spokesman attacks the site,{SOURCE},,kz,HTTPS://B.example\n"
        f'2017-06-20,"Minister, asked, denies",{SOURCE},09:05,,\n'
    )
    assert "2 annotations added" in annotate(database, "--csv", str(file)).stderr
    first, second = listed(database)
    assert (first["country"], first["target"]) == ("KZ", "https://b.example/")
    assert (second["text"], second["time"]) == ("Minister, asked, denies", "09:05")


@pytest.mark.parametrize(
    ("row", "where"),
    [
        (f"2017-06-31,x,{SOURCE},,,", "line 3, column date: '2017-06-31' is no day"),
        (f"20.6.2017,x,{SOURCE},,,", "line 3, column date"),
        (f"2017-06-20,,{SOURCE},,,", "line 3, column text: nothing is said"),
        (f'2017-06-20,"a\nb",{SOURCE},,,', "line 3, column text: a line end"),
        ("2017-06-20,x,minister,,,", "line 3, column source"),
        ("2017-06-20,x,javascript:alert(1),,,", "line 3, column source"),
        ("2017-06-20,x,https://a.example@evil.example/,,,", "line 3, column source"),
        ('2017-06-20,x,"https://a.example/""><b>",,,', "line 3, column source"),
        (f"2017-06-20,x,{SOURCE},24:00,,", "line 3, column time"),
        (f"2017-06-20,x,{SOURCE},,Kazakhstan,", "line 3, column country"),
        (f"2017-06-20,x,{SOURCE},,,b.example", "line 3, column target"),
        (f"2017-06-20,x,{SOURCE}", "line 3: 6 columns were expected"),
    ],
)
def test_a_csv_with_a_wrong_row_enters_not_at_all(
    database: Path, tmp_path: Path, row: str, where: str
) -> None:
    file = tmp_path / "notes.csv"
    file.write_text(f"{CSV}2017-06-19,fine,{SOURCE},,,\n{row}\n", newline="")
    result = annotate(database, "--csv", str(file))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"{file}, {where}" in result.stderr
    assert listed(database) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("date,text\n2017-06-20,x\n", "line 1: the column source is missing"),
        ("date,text,source,contry\n2017-06-20,x,https://a.example/,KZ\n", "column 'contry'"),
        ("date,text,source\n", "there is no annotation in it"),
        ("", "the column date is missing"),
    ],
)
def test_a_csv_of_another_shape_is_one_line(
    database: Path, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "notes.csv"
    file.write_text(text)
    result = annotate(database, "--csv", str(file))
    assert result.exit_code == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--date", "yesterday", *DENIAL[2:]], "--date"),
        ([*DENIAL, "--target", "b.example"], "--target"),
        ([*DENIAL, "--country", "KAZ"], "--country"),
        (DENIAL[:4], "needs --source"),
        ([], "needs --date"),
        ([*DENIAL, "--list"], "goes by itself"),
        (["--remove", "ab", "--list"], "goes by itself"),
        ([*DENIAL, "--json"], "--json goes with --list"),
    ],
)
def test_a_wrong_command_line_is_told(database: Path, arguments: list[str], words: str) -> None:
    result = annotate(database, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_removed_one_leaves_no_text_and_no_import_brings_it_back(
    database: Path, other: Path
) -> None:
    for each in (database, other):
        assert annotate(each, *DENIAL).exit_code == 0
    id = str(listed(database)[0]["id"])
    for missing in ("ffffff", "", "%"):
        assert "no annotations have an id" in annotate(database, "--remove", missing).stderr
    assert "removed sha256:" in annotate(database, "--remove", id[7:15]).stderr
    assert listed(database) == []
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT * FROM annotations").fetchall() == [(id, None)]
    with Store(database) as store:
        assert store.import_database(other).annotations_new == 0
    assert listed(database) == []
    assert "1 annotation added" in annotate(database, *DENIAL).stderr
    assert listed(database)[0]["id"] == id


def test_importing_a_database_takes_its_annotations_over_once(database: Path, other: Path) -> None:
    assert annotate(other, *DENIAL).exit_code == 0
    with Store(database) as store:
        assert [store.import_database(other).annotations_new for _ in range(2)] == [1, 0]
        assert store.check() == []
    assert listed(database) == listed(other)


def test_altered_annotations_stay_out_and_are_named(database: Path, other: Path) -> None:
    assert annotate(other, *DENIAL).exit_code == 0
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("UPDATE annotations SET content = replace(content, 'denies', 'orders')")
        connection.execute("INSERT INTO annotations VALUES ('sha256:00', '{}')")
        connection.commit()
    with Store(other) as store:
        assert [line[:17] for line in store.check()] == ["annotation sha256"] * 2
    with Store(database) as store:
        done = store.import_database(other)
    assert done.annotations_new == 0
    assert [line.rpartition(": ")[2] for line in done.refused] == [
        "its content has another hash"
    ] * 2


def test_a_database_of_an_older_version_has_none(
    database: Path, other: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.db"
    make_first_schema(old)
    copy_rows(other, old)
    with Store(database) as store:
        assert store.import_database(old).annotations_new == 0
    assert listed(old) == []  # brought up to date


def test_where_nothing_was_measured_there_is_nothing_to_annotate(tmp_path: Path) -> None:
    Store(tmp_path / "empty.db").close()
    result = annotate(tmp_path / "empty.db", *DENIAL)
    assert result.exit_code == 1
    assert "holds no measurements yet" in result.stderr


def test_all_or_none_enter_the_store(database: Path) -> None:
    fine = Annotation(date="2017-06-19", text="x", source=SOURCE)
    wrong = Annotation(date="2017-06-19", text="\x1b[31m", source=SOURCE)
    with Store(database) as store:
        with pytest.raises(StoreError, match="control character"):
            store.annotate([fine, wrong])
        assert store.annotations() == []
