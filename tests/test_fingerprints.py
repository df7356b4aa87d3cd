"""Fingerprints: how tables are read, what they match, what is distrusted, what verdicts say."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from reports.added import folder_of, table_of
from reports.body_text import text_of
from reports.cases import Case
from reports.errors import ReportError
from reports.fingerprints import Fingerprint, Table, own_table, read_table
from reports.verdicts import judge, version_with
from sitewatch.cli import group
from storage.records import Step, Vantage
from storage.store import Store
from tests.cases import DOH, TIMEOUT, case, connection, helper, lookup, measurement

HEADER = (
    "name,scope,other_names,location_found,pattern_type,pattern,confidence_no_fp,"
    "expected_countries,source,exp_url,notes\n"
)
SAMPLES = Path(__file__).parent.parent.parent / "shared" / "samples" / "fingerprints"
IRAN = Vantage(id="dddd", kind="field", country="IR", asn=64499)
PAGE = 'x.1,isp,,body,contains,"This site is forbidden by order 12",8,"KZ,IR",a paper,,\n'


def table(rows: str) -> Table:
    return Table(read_table(HEADER + rows, "f.csv"))


@pytest.mark.parametrize(
    ("kind", "pattern", "matches", "misses"),
    [
        ("full", "Access denied here", ["Access denied here"], ["Access denied here."]),
        ("prefix", "http://warning.", ["http://warning.example/a"], ["https://http://warning."]),
        ("contains", "by order of the court", ["x by order of the court y"], ["by order of a"]),
        ("regexp", "order No [0-9]+ of", ["by order No 12 of May"], ["by order No of"]),
    ],
)
def test_each_kind_of_pattern_matches_what_it_says(
    kind: str, pattern: str, matches: list[str], misses: list[str]
) -> None:
    known = table(f"a,nat,,body,{kind},{pattern},7,KZ,s,,\n")
    assert all(known.of_text("body", text) for text in matches)
    assert not any(known.of_text("body", text) for text in misses)
    assert not known.of_text("title", matches[0])


def test_headers_are_found_by_name_in_any_case_and_addresses_in_any_spelling() -> None:
    known = table(
        "a,isp,,header.Location,prefix,http://stop.example,7,KZ,s,,\n"
        "b,nat,,dns,full,2001:DB8::0:1,7,KZ,s,,\n"
    )
    assert known.of_headers([("LOCATION", "http://stop.example/x")])
    assert not known.of_headers([("Server", "http://stop.example/x")])
    assert known.of_address("2001:db8:0::1")
    assert not known.of_address("2001:db8::2")


@pytest.mark.parametrize(
    ("scope", "kind", "pattern", "confidence", "trusted"),
    [
        ("nat", "contains", "This site is forbidden", 5, True),
        ("nat", "contains", "BUSY", 9, False),
        ("nat", "contains", "This site is forbidden", 4, False),
        ("vbw", "contains", "This site is forbidden", 9, False),
        ("fp", "contains", "This site is forbidden", 9, False),
        ("prod", "contains", "This site is forbidden", 9, True),
    ],
)
def test_short_unsure_and_vague_patterns_are_not_trusted(
    scope: str, kind: str, pattern: str, confidence: int, trusted: bool
) -> None:
    (row,) = table(f"a,{scope},,body,{kind},{pattern},{confidence},KZ,s,,\n").rows
    assert row.is_trusted is trusted
    assert row.is_artefact_in("KZ") is (trusted and scope == "nat")
    assert not row.is_artefact_in("IR")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a,odd,,body,contains,abcdefghijklmnopq,5,,s,,\n", "line 2: column scope"),
        ("a,nat,,feet,contains,abcdefghijklmnopq,5,,s,,\n", "line 2: column location_found"),
        ("a,nat,,body,glob,abcdefghijklmnopq,5,,s,,\n", "line 2: column pattern_type"),
        ("a,nat,,body,contains,,5,,s,,\n", "line 2: column pattern"),
        ("a,nat,,body,contains,abcdefghijklmnopq,many,,s,,\n", "line 2: column confidence_no_fp"),
        ("a,nat,,body,regexp,(a[,5,,s,,\n", "line 2: column pattern"),
        ("a,nat,,body,regexp,(a+)+b,5,,s,,\n", "line 2: column pattern"),
        (f"a,nat,,body,full,abcdef,{'9' * 5000},,s,,\n", "line 2: column confidence_no_fp"),
        ("a,nat,,dns,full,not an address,5,,s,,\n", "line 2: column pattern"),
        ("a,nat,,header.,full,abcdef,5,,s,,\n", "line 2: column location_found"),
        ("a,nat,,dns,full,192.0.2.1,5,Kazakhstan,s,,\n", "line 2: column expected_countries"),
        ("a,nat,,dns,full,192.0.2.1,5,KZ,s,,,more\n", "line 2: more cells"),
    ],
)
def test_a_mistake_is_named_by_file_line_and_column(rows: str, words: str) -> None:
    with pytest.raises(ReportError, match=f"f.csv: {words}"):
        list(read_table(HEADER + rows, "f.csv"))


def test_an_unnamed_column_is_left_alone() -> None:
    text = HEADER.rstrip("\n") + ",\n" + "a,nat,,dns,full,192.0.2.1,5,KZ,s,,,\n"
    assert [row.name for row in read_table(text, "f.csv")] == ["a"]


def test_a_file_of_other_columns_is_refused() -> None:
    with pytest.raises(ReportError, match="names no column name"):
        list(read_table("url,country\nhttps://a.example/,KZ\n", "f.csv"))


def test_our_own_table_holds_sure_public_facts_with_a_source() -> None:
    assert all(row.source for row in own_table().rows)
    assert len({row.name for row in own_table().rows}) == len(own_table().rows)
    assert all(row.is_trusted or row.is_innocent for row in own_table().rows)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the folder of samples is absent")
def test_the_fields_real_tables_load_whole() -> None:
    texts = [path.read_text("utf-8") for path in sorted(SAMPLES.glob("*.csv"))]
    rows: list[Fingerprint] = [row for text in texts for row in read_table(text, "real")]
    assert len(rows) == 226 + 1729
    assert sum(row.scope == "fp" for row in rows) == 475
    assert 0 < sum(row.is_innocent for row in rows) < 475  # the others are short, as "BUSY" is


# --- verdicts ------------------------------------------------------------------------------------


def page(body: str, *, vantage: Vantage = IRAN, **how: object) -> Case:
    steps = [lookup(), *connection(secure=False, title="Forbidden", **how)]  # type: ignore[arg-type]
    steps[-1] = msgspec.structs.replace(steps[-1], body="sha256:1")
    record = measurement(
        steps, url="http://foreignpolicy.com/", vantage=vantage, helpers=[helper(title="News")]
    )
    return msgspec.structs.replace(case(record), bodies={"sha256:1": body.encode()})


NOTICE = "<p>This site is forbidden by order 12</p>"


def test_a_block_page_known_in_this_country_is_confirmed() -> None:
    verdict = judge(page(NOTICE), table(PAGE))
    assert (verdict.status, verdict.technique, verdict.certainty) == (
        "blocked",
        "block-page",
        "confirmed",
    )
    assert verdict.rules[0] == "http.known-page"


def test_one_of_another_country_is_not() -> None:
    elsewhere = Vantage(id="eeee", kind="field", country="SE", asn=64500)
    verdict = judge(page(NOTICE, vantage=elsewhere), table(PAGE))
    assert verdict.certainty == "suspected"


def test_an_innocent_pattern_on_the_same_page_speaks_against_it() -> None:
    both = PAGE + "i,fp,,body,contains,<p>This site is forbidden,5,,s,,\n"
    verdict = judge(page(NOTICE), table(both))
    assert verdict.certainty == "suspected"


def test_a_short_innocent_pattern_speaks_for_nothing() -> None:
    both = PAGE + "i,fp,,body,contains,order,5,,s,,\n"
    assert judge(page(NOTICE), table(both)).certainty == "confirmed"


@pytest.mark.parametrize(
    ("headers", "top"),
    [
        ([("Content-Type", "text/html; charset=windows-1251")], ""),
        ([], '<meta charset="windows-1251">'),
        ([], '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">'),
    ],
)
def test_a_page_is_read_in_the_characters_that_it_names(
    headers: list[tuple[str, str]], top: str
) -> None:
    notice = "Доступ к ресурсу ограничен по решению суда"
    known = table(f'x.1,isp,,body,contains,"{notice}",8,"IR",a paper,,\n')
    record = page("", headers=headers)
    body = f"{top}<p>{notice}</p>".encode("windows-1251")
    verdict = judge(msgspec.structs.replace(record, bodies={"sha256:1": body}), known)
    assert verdict.certainty == "confirmed"


@pytest.mark.parametrize("named", ["none-such", "base64", "utf-16", "idna"])
def test_a_page_that_names_odd_characters_is_read_all_the_same(named: str) -> None:
    headers = [("Content-Type", f"text/html; charset={named}")]
    assert isinstance(text_of(b"\xff\xfe\x00 This site", headers), str)


def test_patterns_keep_their_line_ends(tmp_path: Path, config_folder: Path) -> None:
    database, file = tmp_path / "s.db", tmp_path / "mine.csv"
    rows = 'x.1,isp,,body,full,"<p>Blocked</p>\r\n<p>by order</p>",8,IR,s,,\n'
    file.write_bytes((HEADER + rows).encode())
    assert run("data", "add-fingerprints", str(file), "--database", str(database))[0] == 0
    kept = folder_of(str(database)) / "mine.csv"
    assert kept.read_bytes() == file.read_bytes()
    with Store(database) as store:
        added = table_of(store)
    assert judge(page("<p>Blocked</p>\r\n<p>by order</p>"), added).certainty == "confirmed"


def test_a_page_that_abroad_gets_too_is_the_sites_own() -> None:
    record = page(NOTICE)
    same = msgspec.structs.replace(
        record.measurement,
        helpers=[helper(title="Forbidden")],
    )
    verdict = judge(msgspec.structs.replace(record, measurement=same), table(PAGE))
    assert verdict.status == "accessible"


@pytest.mark.parametrize(("vantage", "certainty"), [(IRAN, "confirmed"), (None, "suspected")])
def test_a_known_forged_address_is_an_artefact_in_its_country_alone(
    vantage: Vantage | None, certainty: str
) -> None:
    steps = [lookup(["10.10.34.35"], attempt=attempt) for attempt in range(3)]
    record = measurement(steps, vantage=vantage or Vantage(id="ffff", country="SE", asn=1))
    verdict = judge(case(record))
    assert (verdict.layer, verdict.technique, verdict.certainty) == (
        "dns",
        "forged-address",
        certainty,
    )


OURS = "c.1,isp,,dns,full,internet-stop.example,5,IR,a paper,,\n"


@pytest.mark.parametrize(
    ("rows", "encrypted", "certainty"),
    [
        (OURS, [], "confirmed"),
        (OURS, ["internet-stop.example"], "suspected"),  # the site's own alias
        (OURS + "i,fp,,dns,full,Internet-Stop.example.,5,,s,,\n", [], "suspected"),
    ],
)
def test_a_known_further_name_is_an_artefact_as_an_address_is(
    rows: str, encrypted: list[str], certainty: str
) -> None:
    steps: list[Step] = [
        msgspec.structs.replace(lookup(resolver=DOH, rcode=0), cnames=encrypted),
    ]
    for attempt in range(3):
        given = lookup(["203.0.113.9"], attempt=attempt)
        steps.append(msgspec.structs.replace(given, cnames=["internet-stop.example"]))
        steps += connection(address="203.0.113.9", tcp=TIMEOUT, attempt=attempt)
    verdict = judge(case(measurement(steps, vantage=IRAN)), table(rows))
    assert verdict.certainty == certainty


# --- the command ---------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(group, list(arguments))
    return result.exit_code, result.stderr


def test_an_added_table_stands_in_verdicts_and_in_their_version(
    tmp_path: Path, config_folder: Path
) -> None:
    database, file = tmp_path / "s.db", tmp_path / "mine.csv"
    file.write_text(HEADER + PAGE)
    assert run("data", "add-fingerprints", str(file), "--database", str(database)) == (
        0,
        f"mine.csv: 1 fingerprint added to {database}\n",
    )
    assert folder_of(str(database)).stat().st_mode & 0o777 == 0o700
    with Store(database) as store:
        added = table_of(store)
    assert len(added.rows) == len(own_table().rows) + 1
    assert version_with(added) != version_with(own_table())
    assert judge(page(NOTICE), added).rules_version == version_with(added)


def test_a_table_with_a_mistake_changes_nothing(tmp_path: Path, config_folder: Path) -> None:
    database, file = tmp_path / "s.db", tmp_path / "mine.csv"
    file.write_text(HEADER + PAGE + "a,odd,,body,contains,abcdefgh,5,,s,,\n")
    code, words = run("data", "add-fingerprints", str(file), "--database", str(database))
    assert code == 1
    assert len(words.splitlines()) == 1
    assert "mine.csv: line 3: column scope" in words
    assert not folder_of(str(database)).exists()


@pytest.mark.parametrize(
    ("database", "rows", "words"),
    [("none/s.db", PAGE, "none/s.db: no such folder"), ("s.db", "", "holds no fingerprints")],
)
def test_a_mistyped_path_or_an_empty_table_is_no_success(
    tmp_path: Path, config_folder: Path, database: str, rows: str, words: str
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(HEADER + rows)
    path = tmp_path / database
    code, told = run("data", "add-fingerprints", str(file), "--database", str(path))
    assert (code, len(told.splitlines())) == (1, 1)
    assert words in told
    assert not folder_of(str(path)).exists()


def test_a_full_disk_leaves_no_half_of_a_table(tmp_path: Path, config_folder: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(HEADER + PAGE + "".join(PAGE.replace("x.1", f"x.{n}") for n in range(900)))
    argv = [sys.executable, "-m", "sitewatch", "data", "add-fingerprints", str(file)]
    done = subprocess.run(
        [*argv, "--database", str(tmp_path / "s.db")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert list(folder_of(str(tmp_path / "s.db")).iterdir()) == []
