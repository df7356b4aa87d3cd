"""Adding Citizen Lab's test lists: old codes, duplicates, dead forms, and nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from probes.targets import CATEGORIES, load_targets
from sitewatch.cli import group
from sitewatch.config import default_targets_path
from sitewatch.test_lists import OLD_CODES, ListError, convert

HEADER = "url,category_code,category_description,date_added,source,notes\n"
PRESENT = "https://one.com/,NEWS,News Media,2026-11-23,sitewatch,A reason\n"
LISTS = Path(__file__).parents[2] / "shared" / "samples" / "test-lists"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, ["targets", *map(str, arguments)], prog_name="sitewatch")


def written(folder: Path, name: str, *rows: str) -> Path:
    path = folder / name
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def targets(tmp_path: Path) -> Path:
    path = tmp_path / "targets.csv"
    path.write_text(HEADER + PRESENT, "utf-8")
    return path


def test_new_rows_follow_the_present_ones_byte_for_byte(tmp_path: Path, targets: Path) -> None:
    before = targets.read_bytes()
    new = written(tmp_path, "kz.csv", 'http://Two.com,NEWS,News Media,2014-04-15,citizenlab,"a, b"')
    result = run("add", new, "--to", targets)
    assert result.exit_code == 0, result.output
    assert targets.read_bytes().startswith(before)
    added = load_targets(targets)[-1]
    assert (added.url, added.source, added.notes) == ("http://two.com/", "citizenlab", "a, b")
    assert "1 targets added, 0 rows left out" in result.output
    assert "CC BY-NC-SA 4.0" in result.output


def test_every_old_code_becomes_one_of_the_present_ones(tmp_path: Path, targets: Path) -> None:
    rows = [f"http://{code}.com/,{code},An old word,2014-04-15,citizenlab," for code in OLD_CODES]
    result = run("add", written(tmp_path, "old.csv", *rows), "--to", targets)
    assert result.exit_code == 0, result.output
    added = {target.host: target for target in load_targets(targets)}
    for old, new in OLD_CODES.items():
        target = added[f"{old.lower()}.com"]
        assert (target.category, target.description) == (new, CATEGORIES[new])
        assert f"1 rows of the old category {old} are now {new}" in result.output


def test_duplicates_are_left_out_and_named_in_any_spelling(tmp_path: Path, targets: Path) -> None:
    list_ = written(
        tmp_path,
        "list.csv",
        "HTTPS://ONE.com,NEWS,News Media,2014-04-15,citizenlab,",
        "http://one.com/,NEWS,News Media,2014-04-15,citizenlab,",
        "http://one.com:80,NEWS,News Media,2014-04-15,citizenlab,",
    )
    result = run("add", list_, "--to", targets)
    assert [target.url for target in load_targets(targets)] == [
        "https://one.com/",
        "http://one.com/",
    ]
    assert "line 2: HTTPS://ONE.com left out: in the targets file already" in result.output
    assert "line 4: http://one.com:80 left out: the same as in line 3" in result.output


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("one.com", "not a URL that starts with http"),
        ("ftp://one.com/", "not a URL that starts with http"),
        ("http://facebookcorewwwi.onion/", "no public name ends in .onion"),
        ("http://old.yu/", ".yu was taken out of the root"),
        ("http://192.168.1.1/", "an address that is no public site's"),
        ("http://intranet/", "a host without a domain"),
        ("http://user@one.com/", "a user name or password"),
    ],
)
def test_dead_forms_are_left_out_and_named(
    tmp_path: Path, targets: Path, url: str, reason: str
) -> None:
    before = targets.read_bytes()
    list_ = written(tmp_path, "list.csv", f"{url},NEWS,News Media,2014-04-15,citizenlab,")
    result = run("add", list_, "--to", targets)
    assert result.exit_code == 0
    assert reason in result.output
    assert targets.read_bytes() == before


def test_only_the_asked_categories_are_taken(tmp_path: Path, targets: Path) -> None:
    list_ = written(
        tmp_path,
        "list.csv",
        "http://a.com/,FEXP,Old words,2014-04-15,citizenlab,",
        "http://b.com/,GMB,Gambling,2014-04-15,citizenlab,",
        "http://c.com/,XYZ,Nothing,2014-04-15,citizenlab,",
    )
    result = run("add", list_, "--category", "news", "--to", targets)
    assert [t.host for t in load_targets(targets)] == ["one.com", "a.com"]
    assert "1 targets added, 1 rows left out, 1 of other categories" in result.output
    assert "unknown category 'XYZ'" in result.output
    assert run("add", list_, "--category", "XYZ", "--to", targets).exit_code == 2


def test_foreign_text_can_neither_break_the_file_nor_start_a_formula(
    tmp_path: Path, targets: Path
) -> None:
    row = 'http://a.com/,NEWS,x,15/04/2014,"=cmd|x","two\nlines\x1b[2J"'
    result = run("add", written(tmp_path, "list.csv", row), "--to", targets)
    assert result.exit_code == 0, result.output
    added = load_targets(targets)[-1]
    assert (added.source, added.notes) == ("'=cmd|x", "two lines [2J")
    assert "1 rows without a proper date got today's" in result.output


def test_notes_in_json_between_single_quotes_are_read(tmp_path: Path) -> None:
    row = """http://a.com/,NEWS,News Media,2024-01-01,citizenlab,'{"notes": "first, second"}'"""
    done = convert(written(tmp_path, "l.csv", row), categories=(), known=(), today="2026-11-23")
    assert done.targets[0].notes == "first, second"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"name,code\nx,y\n", "line 1: no column url"),
        (b"url,category_code\nhttp://\xff.com/,NEWS\n", "line 2: not UTF-8"),
    ],
)
def test_what_is_no_list_is_one_line_and_changes_nothing(
    tmp_path: Path, targets: Path, content: bytes, problem: str
) -> None:
    before = targets.read_bytes()
    (tmp_path / "list.csv").write_bytes(content)
    result = run("add", tmp_path / "list.csv", "--to", targets)
    assert result.exit_code == 1
    assert problem in result.output
    assert len(result.output.splitlines()) == 1
    assert targets.read_bytes() == before


def test_a_missing_list_is_one_line() -> None:
    with pytest.raises(ListError, match="cannot be read"):
        convert(Path("nowhere.csv"), categories=(), known=(), today="2026-11-23")


def test_a_damaged_targets_file_is_not_added_to(tmp_path: Path, targets: Path) -> None:
    targets.write_text(HEADER + "nonsense\n", "utf-8")
    list_ = written(tmp_path, "list.csv", "http://a.com/,NEWS,News Media,2014-04-15,citizenlab,")
    result = run("add", list_, "--to", targets)
    assert result.exit_code == 1
    assert targets.read_text("utf-8") == HEADER + "nonsense\n"


def test_the_configured_file_is_the_one_that_grows(tmp_path: Path, config_folder: Path) -> None:
    config = config_folder / "sitewatch.toml"
    config.write_text('[targets]\nfile = "mine.csv"\n', "utf-8")
    (config_folder / "mine.csv").write_text(HEADER + PRESENT, "utf-8")
    list_ = written(tmp_path, "list.csv", "http://a.com/,NEWS,News Media,2014-04-15,citizenlab,")
    assert run("add", list_, "--config", config).exit_code == 0
    assert len(load_targets(config_folder / "mine.csv")) == 2
    listed = run("list", "--json", "--config", config)
    assert [row["url"] for row in json.loads(listed.output)["targets"]] == [
        "https://one.com/",
        "http://a.com/",
    ]
    assert "2 targets on 2 hosts" in run("check", "--config", config).output


def test_our_own_list_passes_its_check() -> None:
    result = run("check", default_targets_path())
    assert result.exit_code == 0, result.output


def test_a_bad_row_fails_the_check_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "bad.csv", "ftp://a.com/,NEWS,News Media,2014-04-15,citizenlab,")
    result = run("check", path)
    assert result.exit_code == 1
    assert "line 2, column url" in result.output


@pytest.mark.parametrize(
    ("name", "rows", "left_out"), [("kz.csv", 553, 1), ("global.csv", 1721, 0)]
)
def test_the_real_lists_are_converted_whole(
    tmp_path: Path, name: str, rows: int, left_out: int
) -> None:
    if not LISTS.is_dir():
        pytest.skip("the real test lists are not here")
    targets = tmp_path / "targets.csv"
    result = run("add", LISTS / name, "--to", targets)
    assert result.exit_code == 0, result.output
    assert f"{rows - left_out} targets added, {left_out} rows left out" in result.output
    assert len(load_targets(targets)) == rows - left_out
    assert len(run("add", LISTS / name, "--to", targets).output.splitlines()) >= rows
    assert len(load_targets(targets)) == rows - left_out
