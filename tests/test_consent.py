"""Consent: what the text says, what counts as a yes, and when the question comes again."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from probes.settings import DohServer, Helpers, Neutral, Resolvers, Settings, Whoami
from sitewatch.consent import (
    TEXT_VERSION,
    ConsentError,
    ConsentRecord,
    Scope,
    ask,
    consented,
    services_of,
)
from sitewatch.consent_words import consent_text

SCOPE = Scope(
    targets=120,
    categories=frozenset({"NEWS", "HUMR"}),
    tier="probing",
    services=frozenset({"public resolver 192.0.2.53", "helper helper.example"}),
)


def test_the_text_names_sites_kinds_manner_services_and_how_to_stop() -> None:
    text = consent_text(SCOPE, "/data/sitewatch.db", Path("/data/consent.json"))
    assert "120 sites" in text
    assert "Human Rights Issues, News Media" in text
    assert "Manner (probing)" in text
    assert "- public resolver 192.0.2.53" in text
    assert "- helper helper.example" in text
    assert "unlawful" in text
    assert "Never kept" in text
    assert "Ctrl-C" in text
    assert "/data/sitewatch.db" in text
    assert "/data/consent.json" in text
    assert "{" not in text


def test_the_text_fits_a_terminal() -> None:
    text = consent_text(SCOPE, "s.db", Path("consent.json"))
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("tier", ["browser-like", "probing", "conspicuous"])
def test_every_tier_is_explained_in_words_of_its_own(tier: str) -> None:
    scope = msgspec.structs.replace(SCOPE, tier=tier)
    others = msgspec.structs.replace(SCOPE, tier="probing" if tier != "probing" else "conspicuous")
    manner = consent_text(scope, "", Path()).partition("Manner")[2].partition(":")[2]
    other = consent_text(others, "", Path()).partition("Manner")[2].partition(":")[2]
    assert manner != other


def test_one_site_is_not_many() -> None:
    assert "contact 1 site " in consent_text(msgspec.structs.replace(SCOPE, targets=1), "", Path())


def test_every_service_that_learns_the_address_is_named() -> None:
    settings = Settings(
        resolvers=Resolvers(
            public=("192.0.2.53",),
            doh=(DohServer(url="https://doh.example/dns-query", addresses=("192.0.2.54",)),),
            whoami=(Whoami(name="me.example"), Whoami(name="me.example", server="192.0.2.55")),
        ),
        helpers=Helpers(urls=("https://helper.example/",)),
        neutral=Neutral(home=("https://home.example/",), abroad=("https://abroad.example/",)),
    )
    assert services_of(settings) == {
        "public resolver 192.0.2.53",
        "encrypted resolver doh.example",
        "whoami server 192.0.2.55",
        "helper helper.example",
        "neutral site home.example",
        "neutral site abroad.example",
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("yes\n", True),
        (" YES \r\n", True),
        ("yes", True),
        ("y\n", False),
        ("yes please\n", False),
        ("no\n", False),
        ("\n", False),
        ("\nyes\n", False),
        ("", False),
    ],
)
def test_only_a_typed_yes_is_a_yes(answer: str, expected: bool) -> None:
    screen = io.StringIO()
    assert ask("The text.", io.StringIO(answer), screen) is expected
    assert screen.getvalue().startswith("The text.\n")
    assert 'Type "yes"' in screen.getvalue()


def test_the_flag_and_the_variable_give_consent() -> None:
    assert consented(True, {}, interactive=False) == "given"
    assert consented(False, {"SITEWATCH_CONSENT": "yes"}, interactive=False) == "given"


@pytest.mark.parametrize("value", ["", "no", "1", "true", "YES"])
def test_another_value_of_the_variable_gives_none(value: str) -> None:
    assert consented(False, {"SITEWATCH_CONSENT": value}, interactive=False) == "missing"


def test_without_consent_a_terminal_is_asked_and_nothing_else_is() -> None:
    assert consented(False, {}, interactive=True) == "ask"
    assert consented(False, {}, interactive=False) == "missing"


def test_a_remembered_yes_is_enough_for_the_same_or_less() -> None:
    record = ConsentRecord.of(SCOPE)
    less = msgspec.structs.replace(
        SCOPE, targets=3, categories=frozenset({"NEWS"}), tier="browser-like", services=frozenset()
    )
    for scope in (SCOPE, less):
        assert consented(False, {}, False, scope=scope, record=record) == "given"


@pytest.mark.parametrize(
    "more",
    [
        {"categories": SCOPE.categories | {"ANON"}},
        {"tier": "conspicuous"},
        {"services": SCOPE.services | {"helper other.example"}},
    ],
)
def test_a_larger_scope_is_asked_for_again(more: dict[str, object]) -> None:
    scope = msgspec.structs.replace(SCOPE, **more)
    assert consented(False, {}, True, scope=scope, record=ConsentRecord.of(SCOPE)) == "ask"


def test_a_later_text_is_shown_again() -> None:
    old = msgspec.structs.replace(ConsentRecord.of(SCOPE), text_version=TEXT_VERSION - 1)
    assert not old.covers(SCOPE)


def test_a_further_yes_adds_to_an_earlier_one_of_the_same_tier_only() -> None:
    earlier = ConsentRecord.of(SCOPE)
    other = msgspec.structs.replace(SCOPE, categories=frozenset({"MISC"}))
    both = ConsentRecord.of(other, earlier)
    assert both.covers(SCOPE)
    assert both.covers(other)
    louder = msgspec.structs.replace(other, tier="conspicuous")
    assert ConsentRecord.of(louder, earlier).categories == {"MISC"}


def test_a_record_survives_saving_and_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "consent.json"
    record = ConsentRecord.of(SCOPE)
    record.save(path)
    record.save(path)
    assert ConsentRecord.load(path) == record
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"text_version": "1"}'])
def test_a_broken_record_counts_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "consent.json"
    path.write_bytes(content)
    assert ConsentRecord.load(path) is None
    assert ConsentRecord.load(tmp_path / "none.json") is None


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConsentError, match="cannot be written"):
        ConsentRecord.of(SCOPE).save(tmp_path / "file" / "consent.json")
