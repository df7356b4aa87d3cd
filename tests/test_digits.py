"""Hexadecimal text kept as bytes: what goes in comes out, and what is no digits finds nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage.digits import Digits, hash_digits
from storage.records import digest
from storage.store import Store
from tests.test_import import BODY, filled


@pytest.mark.parametrize(
    ("kind", "text"), [(hash_digits(), digest(b"x")), (Digits(16), 32 * "a"), (Digits(64), None)]
)
def test_text_comes_back_as_it_went_in(kind: Digits, text: str | None) -> None:
    kept = kind.process_bind_param(text, None)
    assert kept is None or len(kept) == kind.digits
    assert kind.process_result_value(kept, None) == text


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:xy", digest(b"x").upper(), 64 * "a"])
def test_what_is_no_hash_equals_none(text: str) -> None:
    assert hash_digits().process_bind_param(text, None) != bytes.fromhex(digest(b"x")[7:])
    assert hash_digits().process_bind_param(text, None) != bytes.fromhex(64 * "a")


def test_asking_for_what_is_no_id_finds_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "x.db", 1)
    with Store(tmp_path / "x.db") as store:
        assert store.blob(digest(BODY)) == BODY
        for odd in ("", "x", digest(BODY)[7:], digest(BODY) + "0"):
            assert (store.blob(odd), store.measurement(odd)) == (None, None)


@pytest.mark.parametrize("value", ["'sha256:00'", "x'00'", "7", "CAST(id AS TEXT)"])
def test_a_column_that_holds_something_else_is_damage(tmp_path: Path, value: str) -> None:
    path = filled(tmp_path / "x.db", 1)
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT sql FROM sqlite_master WHERE name = 'no_update_blobs'"
        ((sql,),) = connection.execute(query).fetchall()
        connection.execute("DROP TRIGGER no_update_blobs")
        connection.execute(f"UPDATE blobs SET id = {value}")
        connection.execute(sql)
        connection.commit()
    with Store(path) as store:
        (line,) = store.check()
    assert line.startswith("blob not 32 bytes: ")
