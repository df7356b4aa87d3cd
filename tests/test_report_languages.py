"""Reports in other languages: whole catalogues, drafts that say so, and nothing left in English."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from click.testing import CliRunner, Result
from jinja2.ext import babel_extract

from reports.analysis import analyse
from reports.catalogue import LANGUAGES
from reports.content import content_of
from reports.places import place
from reports.report import WRITERS
from reports.techniques import FAILURES_IN_WORDS, IN_WORDS
from reports.wording import Words
from sitewatch.cli import group
from storage.records import utc_seconds
from storage.store import Store
from tests.month import write_month

ROOT = Path(__file__).parent.parent / "reports"
TRANSLATED = [code for code in LANGUAGES if code != "en"]
KEYWORDS = {"text": None, "plural": (1, 2), "N_": None, "NN_": (1, 2), "_": None}
CITIES = [city for code in ("AM", "KZ", "KG", "UZ", "TR", "VN") if (city := place(code).city)]


class Recorded(Words):
    """Words that remember every message they were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str | tuple[str, ...]] = set()

    def text(self, message: str, /, **values: Any) -> str:
        self.asked.add(message)
        return super().text(message, **values)

    def plural(self, one: str, many: str, number: int, /, **values: Any) -> str:
        self.asked.add((one, many))
        return super().plural(one, many, number, **values)


def messages() -> Iterator[str | tuple[str, ...]]:
    """Every text that a report can say: in modules, in templates, in tables of words."""
    yield from (*IN_WORDS.values(), *FAILURES_IN_WORDS.values())
    for path in sorted(ROOT.rglob("*.py")):
        with path.open("rb") as file:
            for _, message, _, _ in extract("python", file, keywords=KEYWORDS):
                yield message
    for path in sorted((ROOT / "templates").glob("*.*")):
        if path.suffix not in (".html", ".svg"):
            continue
        with path.open("rb") as file:
            for _, function, said, _ in babel_extract(file, tuple(KEYWORDS), [], {}):
                parts = tuple(p for p in ([said] if isinstance(said, str) else said or ()) if p)
                if function in ("_", "plural") and parts:
                    yield parts[0] if len(parts) == 1 else parts


@pytest.fixture(scope="module")
def texts() -> set[str | tuple[str, ...]]:
    found = set(messages())
    assert len(found) > 300
    return found


def catalogue(code: str) -> Catalog:
    with (ROOT / "locales" / code / "LC_MESSAGES" / "reports.po").open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_has_every_text_of_a_report(
    code: str, texts: set[str | tuple[str, ...]]
) -> None:
    there = {message.id: message.string for message in catalogue(code) if message.id}
    assert texts - set(there) == set()
    assert set(CITIES) <= set(there)
    assert all(all(text) if isinstance(text, tuple) else text for text in there.values())


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_translation_has_the_same_places_to_fill_in(code: str) -> None:
    for message in catalogue(code):
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        wanted = set(re.findall(r"{.*?}", " ".join(map(str, ids))))
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        for form in map(str, forms):
            assert set(re.findall(r"{.*?}", form)) == wanted, message.id
            assert not re.search("[<>]", form), message.id


def test_plural_forms_follow_the_number() -> None:
    days = [Words("ru").duration(86400 * n) for n in (1, 2, 5, 21)]
    assert days == ["1 день", "2 дня", "5 дней", "21 день"]
    assert Words("kk").duration(2 * 86400) == "2 күн"
    assert Words("ru").number(1200) == "1\u00a0200"


def test_times_stand_in_utc_and_local_in_every_language() -> None:
    moment = utc_seconds("2017-06-19T15:10:00.000000Z")
    said = [Words(code).stamp_with_local(moment, place("KZ"), year=True) for code in LANGUAGES]
    assert said == [
        "19 June 2017 15:10 UTC (21:10 in Astana)",
        "19 июня 2017 г. 15:10 UTC (21:10, Астана)",
        "2017 жылғы 19 маусым 15:10 UTC (21:10, Астана)",
    ]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("languages")
    return write_month(folder / "m.db", first="2017-06-18", last="2017-06-20")


def report(database: Path, output: Path, *arguments: str) -> Result:
    days = ["--from", "2017-06-18", "--to", "2017-06-20"]
    places = ["--database", str(database), "--output", str(output)]
    return CliRunner().invoke(group, ["report", *days, *places, *arguments])


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_report_says_that_it_is_a_draft_and_leaves_nothing_in_english(
    code: str, database: Path, tmp_path: Path, texts: set[str | tuple[str, ...]]
) -> None:
    result = report(database, tmp_path, "--country", "KZ", "--language", code)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text("utf-8")
    assert f'<html lang="{code}">' in page
    assert Words(code).is_draft
    assert "In English this report begins:" in page
    assert "foreignpolicy.com is blocked on 2 of 3 networks in Kazakhstan" in page
    own = re.sub(r'<(p|li)[^>]* lang="en">.*?</\1>', "", page, flags=re.DOTALL)
    own = html.unescape(re.sub(r"<(script|style)>.*?</\1>", "", own, flags=re.DOTALL))
    sentences = {t for t in texts if isinstance(t, str) and "{" not in t and len(t) > 12}
    assert len(sentences) > 100
    assert {sentence for sentence in sentences if sentence in own} == set()
    markdown = (tmp_path / "report.md").read_text("utf-8")
    assert Words(code).text("What we do not know") in markdown
    assert "In English: foreignpolicy.com is blocked" in markdown.replace("\\", "")


def test_whatever_a_report_asks_for_is_found_in_its_texts(
    database: Path, texts: set[str | tuple[str, ...]]
) -> None:
    words = Recorded()
    with Store(database) as store:
        analysis = analyse(store, since="2017-06-18", until="2017-06-20", country="KZ")
        content = content_of(analysis, generated="2017", tool="sitewatch 0.1.0", words=words)
        for write in WRITERS.values():
            write(content)
    assert len(words.asked) > 200
    assert words.asked - texts - set(CITIES) == set()


def test_an_unknown_language_is_a_wrong_command_line(database: Path, tmp_path: Path) -> None:
    result = report(database, tmp_path / "out", "--language", "xx")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
