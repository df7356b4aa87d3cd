"""sitewatch init: choices become a configuration, nothing is written without a yes, languages."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po
from click.testing import CliRunner, Result

from probes.targets import CATEGORIES
from sitewatch.cli import group
from sitewatch.config import Config, load_config
from sitewatch.consent import ConsentRecord, Scope
from sitewatch.consent_words import consent_text
from sitewatch.consenting import scope_of, state_of_consent
from sitewatch.installation import Installation
from sitewatch.kind_words import kind_of_sites, service
from sitewatch.language import DRAFT, ENGLISH, LANGUAGES, Language, preferred
from sitewatch.preview import Preview, preview_of
from sitewatch.setup_choices import (
    PUBLIC_HELPERS,
    ChoiceError,
    Choices,
    configuration_of,
    switched,
    write_configuration,
)
from sitewatch.setup_questions import Interview, preview_text
from sitewatch.watchlist import load_watchlist

ROOT = Path(__file__).parent.parent


def run(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(group, ["init", "--config", str(path), *arguments])


def consent_state(path: Path) -> str:
    config = load_config(path, {})
    installation = Installation(config, config.database)
    scope = scope_of(installation, load_watchlist(config).targets, None)
    return state_of_consent(installation, scope)


# --- unattended --------------------------------------------------------------------------------


def test_with_the_flag_it_writes_a_configuration_and_the_consent(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sitewatch.toml"
    result = run(
        path,
        "--consent",
        *("--country", "KZ", "--with-helpers", "--category", "-GOVT", "--every", "6h"),
    )
    assert result.exit_code == 0, result.output
    config = load_config(path, {})
    assert config.vantage.country == "KZ"
    assert config.safety.tier == "probing"
    assert config.helpers.urls == PUBLIC_HELPERS
    assert config.schedule.every == "6h"
    assert {"GOVT", "ANON"} <= set(config.targets.skip_categories)
    assert config.database == str(path.parent / "sitewatch.db")
    assert consent_state(path) == "given"
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "sitewatch-consent.json",
        "sitewatch.toml",
    ]
    assert "unlawful" in result.stderr
    assert "A usual day" in result.stderr
    assert result.stdout == ""


def test_in_the_usual_place_the_database_lies_in_the_data_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(group, ["init", "--consent"])
    assert result.exit_code == 0, result.output
    config = load_config(None, {})
    assert config.path == tmp_path / "home/config/sitewatch/sitewatch.toml"
    assert config.database == str(tmp_path / "home/data/sitewatch/sitewatch.db")


@pytest.mark.parametrize("database", ["data/own.db", "sqlite:///data/own.db"])
def test_a_database_of_the_command_line_is_written_into_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """A path is seen from where the command runs, not from the configuration's folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "elsewhere" / "sitewatch.toml"
    result = run(path, "--consent", "--database", database)
    assert result.exit_code == 0, result.output
    expected = database if "://" in database else str(tmp_path / database)
    assert load_config(path, {}).database == expected
    assert expected in result.stderr
    assert run(path, "--consent", "--database", database).exit_code == 0
    other = run(path, "--consent", "--database", "other.db")
    assert other.exit_code == 1
    assert other.stderr.endswith("key storage.database names another one; change it there\n")
    assert len(other.stderr.splitlines()) == 1
    assert load_config(path, {}).database == expected


def test_without_consent_nothing_is_written(tmp_path: Path) -> None:
    result = run(tmp_path / "sitewatch.toml")
    assert result.exit_code == 1
    assert "--consent" in result.stderr
    assert "unlawful" in result.stderr
    assert list(tmp_path.glob("*.toml*")) == []
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--waking-hours", "late"], "key schedule.waking_hours"),
        (["--country", "Kazakhstan"], "key vantage.country"),
        (["--month-megabytes", "0"], "key limits.month_megabytes"),
        (["--category", "+CATS"], "known category"),
    ],
)
def test_an_impossible_choice_is_one_line_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    path = tmp_path / "sitewatch.toml"
    result = run(path, "--consent", *arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not path.exists()


def test_a_configuration_that_is_there_stays_and_is_asked_about_again(tmp_path: Path) -> None:
    path = tmp_path / "sitewatch.toml"
    text = '[targets]\nskip_categories = []\n[safety]\ntier = "conspicuous"\n'
    path.write_text(text)
    assert consent_state(path) == "missing"
    result = run(path, "--consent", "--tier", "probing")
    assert result.exit_code == 0, result.output
    assert path.read_text() == text
    assert consent_state(path) == "given"
    assert "conspicuous" in result.stderr


def test_a_further_category_or_tier_needs_a_further_yes(tmp_path: Path) -> None:
    path = tmp_path / "sitewatch.toml"
    assert run(path, "--consent", "--tier", "browser-like").exit_code == 0
    text = path.read_text()
    path.write_text(text.replace('"browser-like"', '"probing"'))
    assert consent_state(path) == "missing"
    path.write_text(text.replace('"ANON", ', ""))
    assert consent_state(path) == "missing"
    path.write_text(text)
    assert consent_state(path) == "given"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(tmp_path / "file" / "sitewatch.toml", "--consent")
    assert result.exit_code == 1
    assert "cannot be" in result.stderr.splitlines()[-1]


# --- choices -----------------------------------------------------------------------------------


def test_every_choice_survives_the_file(tmp_path: Path) -> None:
    choices = Choices(
        country="KZ",
        skip=frozenset({"NEWS"}),
        tier="conspicuous",
        helpers=True,
        waking_hours="20:00-04:00",
        every="1d",
        month_megabytes=50,
    )
    path = tmp_path / "sitewatch.toml"
    write_configuration(path, configuration_of(choices, tmp_path))
    assert path.stat().st_mode & 0o777 == 0o600
    config = load_config(path, {})
    assert config.vantage.country == "KZ"
    assert config.targets.skip_categories == ("NEWS",)
    assert config.safety.tier == "conspicuous"
    assert config.limits.month_megabytes == 50
    assert (config.schedule.every, config.schedule.waking_hours) == ("1d", "20:00-04:00")
    tomllib.loads(configuration_of(Choices(), tmp_path))


def test_switching_categories() -> None:
    assert switched({"ANON"}, ["+anon", "-NEWS"]) == {"NEWS"}
    for wrong in ("ANON", "+NO", "*ANON", "+"):
        with pytest.raises(ChoiceError):
            switched(set(), [wrong])


def interview(answers: str, language: str = "en") -> tuple[Choices, str]:
    screen = io.StringIO()
    counts = Counter({"NEWS": 3, "ANON": 2})
    chosen = Interview(Language(language), io.StringIO(answers), screen).ask(Choices(), counts)
    return chosen, screen.getvalue()


def test_enter_keeps_everything_as_proposed() -> None:
    chosen, shown = interview("\n" * 7)
    assert chosen == Choices()
    assert "Probing is proposed" in shown
    assert "off ANON     2" in shown
    assert "on  NEWS     3" in shown


def test_every_question_can_be_answered() -> None:
    chosen, shown = interview(
        "Kazakhstan\nkz\n+ANON -NO\n+ANON -NEWS\n\nloud\nbrowser-like\nperhaps\nyes\n"
        "9-18\n09:00-18:00\n2\n2h\nmany\n0\n300\n"
    )
    assert chosen == Choices(
        country="KZ",
        skip=Choices().skip - {"ANON"} | {"NEWS"},
        tier="browser-like",
        helpers=True,
        waking_hours="09:00-18:00",
        every="2h",
        month_megabytes=300,
    )
    assert shown.count("That was not understood") == 8


def test_an_end_of_input_is_no_answer() -> None:
    with pytest.raises(EOFError):
        interview("\n\n")


# --- at a terminal -----------------------------------------------------------------------------


def at_terminal(path: Path, answers: str, *arguments: str) -> tuple[int, str]:
    """Run init at a terminal of its own and type the answers as it asks."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "sitewatch", "init", "--config", str(path), *arguments]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, answers.encode())
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # how the end of a terminal is told on Linux
                break
            if not part:
                break
            shown += part
        process.wait(timeout=30)
    os.close(ours)
    return process.returncode, shown.decode()


def test_a_terminal_that_is_closed_at_the_question_leaves_nothing(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "sitewatch", "init", "--config", str(tmp_path / "c" / "s.toml")]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, b"\n" * 7)
        shown = b""
        while b'Type "yes"' not in shown:
            shown += os.read(ours, 65536)
        process.kill()
    os.close(ours)
    assert list(tmp_path.iterdir()) == []


def test_a_typed_yes_at_a_terminal_sets_everything_up(tmp_path: Path) -> None:
    path = tmp_path / "sitewatch.toml"
    code, shown = at_terminal(path, "KZ\n\n\nno\n\n\n\nyes\n", "--language", "en")
    assert code == 0, shown
    assert load_config(path, {}).vantage.country == "KZ"
    assert consent_state(path) == "given"


def test_anything_else_at_a_terminal_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sitewatch.toml"
    code, shown = at_terminal(path, "\n\n\n\n\n\n\nwell\n", "--language", "ru")
    assert code == 1, shown
    assert "no consent, so nothing was written" in shown
    assert not path.exists()
    assert ConsentRecord.load(tmp_path / "sitewatch-consent.json") is None


# --- the preview -------------------------------------------------------------------------------


def test_the_preview_counts_what_a_day_amounts_to(tmp_path: Path) -> None:
    header = "url,category_code,category_description,date_added,source,notes\n"
    rows = [
        "https://one.example/,NEWS,News Media,2026-11-01,t,",
        "http://one.example/,NEWS,News Media,2026-11-01,t,",
        "https://two.example/,HUMR,Human Rights Issues,2026-11-01,t,",
    ]
    (tmp_path / "targets.csv").write_text(header + "\n".join(rows) + "\n")
    path = tmp_path / "sitewatch.toml"
    path.write_text("[schedule]\nwatch = ['two.example']\nwatch_every = '1h'\n")
    config = load_config(path, {})
    preview = preview_of(config, load_watchlist(config), time.time())
    assert preview.rounds == 4 + 15
    assert preview.names == 2
    assert preview.categories["NEWS"].visits == 8
    assert preview.categories["HUMR"].visits == 4 + 15
    assert preview.visits == 27
    assert preview.stretch == 1
    shown = preview_text(preview, Language("en"))
    assert "27 visits to 2 names" in shown
    small = preview_text(with_budget(config, 10), Language("en"))
    assert "times slower" in small


def with_budget(config: Config, megabytes: int) -> Preview:
    limits = msgspec.structs.replace(config.limits, month_megabytes=megabytes)
    changed = msgspec.structs.replace(config, limits=limits)
    return preview_of(changed, load_watchlist(changed), time.time())


def test_the_list_that_comes_along_fits_the_usual_budget() -> None:
    config = Config()
    preview = preview_of(config, load_watchlist(config), time.time())
    assert preview.stretch < 1.3
    assert preview.names > 50


# --- languages ---------------------------------------------------------------------------------


def messages() -> Iterator[str]:
    for path in sorted((ROOT / "sitewatch").rglob("*.py")):
        for found in extract_from_file("python", path, keywords={"N_": None}):
            assert isinstance(found[1], str)
            yield found[1]


def catalogue(code: str) -> Catalog:
    path = ROOT / "sitewatch/locales" / code / "LC_MESSAGES/sitewatch.po"
    with path.open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


def test_every_kind_of_sites_has_its_words() -> None:
    assert {code: kind_of_sites(code, ENGLISH) for code in CATEGORIES} == CATEGORIES


def test_a_draft_names_kinds_and_services_in_both_languages() -> None:
    russian = Language("ru")
    assert kind_of_sites("NEWS", russian) == "Новости и СМИ (News Media)"
    assert service("helper h.example", russian) == "помощник (helper) h.example"
    scope = Scope(targets=9, categories=frozenset(["NEWS"]), tier="probing", services=frozenset())
    text = consent_text(scope, "s.db", Path("consent.json"), russian)
    assert "Виды сайтов: Новости и СМИ." in text
    assert "  |   Kinds of sites: News Media." in text


TRANSLATED = [code for code in LANGUAGES if code != "en"]


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_has_exactly_the_texts_of_the_program(code: str) -> None:
    texts = {*messages(), DRAFT}
    assert len(texts) > 20
    there = {message.id: message.string for message in catalogue(code) if message.id}
    assert set(there) == texts
    assert all(there.values())


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_translation_has_the_same_places_to_fill_in(code: str) -> None:
    for message in catalogue(code):
        if message.id:
            wanted, found = (
                sorted(re.findall(r"{.*?}", str(text))) for text in (message.id, message.string)
            )
            assert wanted == found, message.id


@pytest.mark.parametrize("code", TRANSLATED)
def test_an_unreviewed_catalogue_shows_a_draft_with_the_english_beside_it(code: str) -> None:
    language = Language(code)
    assert re.search(r"^# *reviewed-by:", catalogue(code).header_comment, re.MULTILINE)
    assert language.is_draft == (not language.reviewed_by)
    shown = language.show("Before Sitewatch sends anything, please read this.")
    own, _, english = shown.partition("\n")
    assert "Before" not in own
    assert (
        english == "  | Before Sitewatch sends anything, please read this."
    ) is language.is_draft
    assert ("draft" in language.show(DRAFT)) is language.is_draft


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "kk_KZ"}, "kk"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "C", "LANG": "ru_RU"}, "en"),
        ({"LC_ALL": "", "LANG": "kk_KZ.UTF-8"}, "kk"),
        ({}, "en"),
    ],
)
def test_the_language_follows_the_environment(environment: dict[str, str], code: str) -> None:
    assert preferred(environment) == code
