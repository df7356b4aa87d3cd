"""The targets file: what is accepted, in which form, and how a bad row is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.targets import (
    CATEGORIES,
    TargetError,
    TargetsError,
    host_of,
    load_targets,
    normal_form,
)
from sitewatch.config import default_targets_path
from sitewatch.sections import Targets

HEADER = "url,category_code,category_description,date_added,source,notes\n"
GOOD = "https://one.example/,NEWS,News Media,2026-11-23,sitewatch,A reason\n"


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("https://foreignpolicy.com", "https://foreignpolicy.com/"),
        ("HTTPS://ForeignPolicy.COM/A?B=c#part", "https://foreignpolicy.com/A?B=c"),
        ("https://foreignpolicy.com:443/", "https://foreignpolicy.com/"),
        ("http://foreignpolicy.com:80", "http://foreignpolicy.com/"),
        ("http://foreignpolicy.com:443/", "http://foreignpolicy.com:443/"),
        ("https://foreignpolicy.com./", "https://foreignpolicy.com/"),
        ("https://foreignpolicy.com?x=1", "https://foreignpolicy.com/?x=1"),
        ("http://пример.рф/путь", "http://xn--e1afmkfd.xn--p1ai/%D0%BF%D1%83%D1%82%D1%8C"),
        ("http://faß.de/", "http://xn--fa-hia.de/"),
        ("http://ＢＢＣ.com/", "http://bbc.com/"),
        ("http://a_b.example/", "http://a_b.example/"),
        ("http://192.0.2.1/", "http://192.0.2.1/"),
        ("https://[2001:DB8:0::1]:8443/", "https://[2001:db8::1]:8443/"),
        ("https://one.example/%7euser?q=%zz", "https://one.example/%7euser?q=%zz"),
    ],
)
def test_a_url_is_brought_into_normal_form(written: str, normal: str) -> None:
    assert normal_form(written) == normal
    assert normal_form(normal) == normal


@pytest.mark.parametrize(
    "written",
    [
        "",
        "foreignpolicy.com",
        "ftp://one.example/",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://user@one.example/",
        "https://user:word@one.example/",
        "https://one.example\\@two.example/",
        "https://one.example/a b",
        " https://one.example/",
        "https://one.example/\n",
        "https://one.exa\tmple/",
        "https://one.example/\x00",
        "https://one.example/\x1b[31m",
        "https://one.example/\ud800",
        "https://one..example/",
        "https://.example/",
        "https://-one.example/",
        "https://one%2eexample/",
        "https://" + "a" * 64 + ".example/",
        "https://one.example:0/",
        "https://one.example:65536/",
        "https://one.example:x/",
        "https://300.1.1.1/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://[::1/",
        "https://[v1.x]/",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_what_a_browser_would_read_otherwise_or_not_at_all_is_refused(written: str) -> None:
    with pytest.raises(TargetError):
        normal_form(written)


@given(st.text(max_size=60) | st.from_regex(r"https?://[^/]{1,20}/.{0,20}"))
def test_any_text_is_refused_or_has_a_stable_ascii_normal_form(text: str) -> None:
    try:
        normal = normal_form(text)
    except TargetError:
        return
    assert normal.isascii()
    assert normal.isprintable()
    assert normal_form(normal) == normal
    assert host_of(normal)


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "targets.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(TargetsError) as caught:
        load_targets(path, skip=CATEGORIES)  # skipped rows are checked all the same
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_rows_become_targets_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        HEADER + '"http://TWO.example",CTRL,Control content,2026-01-02,me,"a, b"\n\n' + GOOD,
    )
    two, one = load_targets(path)
    assert (two.url, two.host, two.category) == ("http://two.example/", "two.example", "CTRL")
    assert (two.description, two.date_added, two.source) == ("Control content", "2026-01-02", "me")
    assert two.notes == "a, b"
    assert one.url == "https://one.example/"


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + (HEADER + GOOD).replace("\n", "\r\n").encode())
    assert [target.url for target in load_targets(path)] == ["https://one.example/"]


def test_skipped_categories_are_left_out(tmp_path: Path) -> None:
    other = "https://two.example/,CTRL,Control content,2026-11-23,sitewatch,\n"
    path = write(tmp_path, HEADER + GOOD + other)
    assert [target.url for target in load_targets(path, skip={"NEWS"})] == ["https://two.example/"]


@pytest.mark.parametrize(
    ("row", "column", "problem"),
    [
        (GOOD.replace("https://one.example/", "two.example"), "url", "not a URL"),
        (GOOD.replace("NEWS", "NEWZ"), "category_code", "unknown category 'NEWZ'"),
        (GOOD.replace("News Media", "News"), "category_description", "'News Media'"),
        (GOOD.replace("2026-11-23", "23.11.2026"), "date_added", "not a date"),
        (GOOD.replace("2026-11-23", "20261123"), "date_added", "not a date"),
        (GOOD.replace("2026-11-23", "2026-02-30"), "date_added", "not a date"),
        (GOOD.replace(",A reason", ""), "notes", "5 columns instead of 6"),
        (GOOD.replace("A reason", "A, reason"), "notes", "7 columns instead of 6"),
        ("https://two.example/\n", "category_code", "1 columns instead of 6"),
        (GOOD.replace("A reason", '"A\nreason"'), "notes", "line end"),
        (GOOD.replace("sitewatch", "site\x1bwatch"), "source", "control character"),
        (GOOD.replace("A reason", '"A" reason'), "url", "not a CSV row"),
        (GOOD.replace("A reason", '"A reason'), "url", "not a CSV row"),
        (GOOD.replace("https://one.example/", "https://ZERO.example:443"), "url", "as in line 2"),
    ],
)
def test_a_bad_row_is_named_by_line_and_column(
    tmp_path: Path, row: str, column: str, problem: str
) -> None:
    zero = GOOD.replace("one.example", "zero.example")
    message = refusal(write(tmp_path, HEADER + zero + row))
    assert message.startswith(f", line 3, column {column}: ")
    assert problem in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ", line 1, column url: the file is empty"),
        (b"\n\n", ", line 1, column url: the file is empty"),
        (HEADER.encode(), ", line 1, column url: the file lists no target"),
        ((HEADER + GOOD).encode("utf-16"), ", line 1, column url: not UTF-8"),
        (GOOD.encode(), ", line 1, column url: the header must read"),
        (HEADER.replace("source", "origin").encode(), ", line 1, column source: the header must"),
        (HEADER.replace(",notes", "").encode(), ", line 1, column notes: the header must read"),
        (HEADER.replace("notes", "notes,more").encode(), ", line 1, column notes: the header must"),
        (
            (HEADER + GOOD).encode() + b"https://two.example/,NEWS,\xff",
            ", line 3, column category_description: not UTF-8",
        ),
        ((HEADER + GOOD.replace("site", "si\0te")).encode(), ", line 2, column source: a NUL"),
    ],
)
def test_a_bad_file_is_named_by_line_and_column(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    assert refusal(write(tmp_path, content)).startswith(expected)


def test_lines_are_counted_across_quoted_line_ends(tmp_path: Path) -> None:
    row = GOOD.replace("A reason", '"A"')
    bad = GOOD.replace("one.example", "two.example").replace("NEWS", "NONE")
    message = refusal(write(tmp_path, HEADER + "\n" + row + "\n\n" + bad))
    assert message.startswith(", line 6, column category_code: ")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.csv") == ": cannot be read: No such file or directory"


def test_our_own_list_is_long_various_and_gives_a_reason_for_each_site() -> None:
    targets = load_targets(default_targets_path())
    assert len(targets) >= 80
    assert "https://foreignpolicy.com/" in {target.url for target in targets}
    assert {"NEWS", "HUMR", "GRP", "COMT", "ANON", "CULTR", "CTRL"} <= {
        target.category for target in targets
    }
    assert all(len(target.notes) > 20 for target in targets)
    assert {target.source for target in targets} == {"sitewatch"}


def test_circumvention_tools_are_not_measured_unless_asked_for() -> None:
    measured = load_targets(default_targets_path(), skip=Targets().skip_categories)
    assert len(measured) >= 80
    assert not any(target.category == "ANON" for target in measured)


def test_all_31_categories_are_known() -> None:
    assert len(CATEGORIES) == 31
