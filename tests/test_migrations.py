"""The schema: what the migrations make is what the tables say, and old or odd files are handled."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

import storage
from storage.schema import APPEND_ONLY, DERIVED, REVISION, metadata, verdicts
from storage.store import Store, StoreError

MIGRATIONS = Path(storage.__file__).parent / "migrations"


def execute(path: Path, sql: str) -> None:
    """Run statements on a database without going through the store."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def test_the_migrated_database_equals_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    Store(path).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_newest_migration_is_the_revision_that_is_expected() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == REVISION


def test_every_table_and_column_has_a_comment() -> None:
    for table in metadata.tables.values():
        assert table.comment, table.name
        for column in table.columns:
            assert column.comment, f"{table.name}.{column.name}"


def test_every_table_but_the_cache_is_protected() -> None:
    assert {*APPEND_ONLY, *DERIVED, verdicts.name} == set(metadata.tables)


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    with Store(path) as store:
        assert store.check() == []


@pytest.mark.parametrize("broken", [b"not a database at all, just text" * 99, b"SQLite format 3\0"])
def test_a_file_that_is_no_database_is_an_error_and_stays(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(broken)
    with pytest.raises(StoreError, match=r"^[^\n]*x\.db: [^\n]+$"):
        Store(path)
    assert path.read_bytes() == broken


def test_the_database_of_another_program_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    execute(path, "CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"x\.db: not a Sitewatch database"):
        Store(path)
    assert path.read_bytes() == before


def test_a_database_of_a_newer_sitewatch_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    Store(path).close()
    execute(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"x\.db: written by a newer Sitewatch \(schema 9999"):
        Store(path)


def test_a_folder_with_odd_signs_in_its_name_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "50 % off?#é" / "x.db"
    Store(path).close()
    with Store(path, create=False) as store:
        assert store.simulated() is None
