"""The schema: what the migrations make is what the tables say, and old or odd files are handled."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

import storage
from storage.digits import Digits
from storage.records import Exchange, digest
from storage.schema import (
    APPEND_ONLY,
    DERIVED,
    REVISION,
    annotations_table,
    deliveries,
    messages,
    metadata,
    verdicts,
)
from storage.store import Store, StoreError
from storage.train_dictionary import Invention

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


def test_every_table_is_protected_but_the_cache_what_is_on_its_way_and_annotations() -> None:
    changing = {verdicts.name, messages.name, deliveries.name, annotations_table.name}
    changing |= {"series", "conclusions", "outcomes"}
    assert {*APPEND_ONLY, *DERIVED, *changing} == set(metadata.tables)


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


def test_a_database_of_the_first_schema_is_brought_up_to_date_whole(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    with Store(new) as store:
        vantage = store.own_vantage(country="KZ", asn=64500, network="Invented Telecom")
        for seed in range(300):  # more than one page
            record = msgspec.structs.replace(Invention(seed).measurement(), vantage=vantage)
            body = bytes([seed % 7])  # some of them in many records
            exchange = Exchange(
                connection=9,
                address="192.0.2.1",
                url="http://site.example/",
                body=digest(body),
                start=record.time,
                duration_us=1,
            )
            record = msgspec.structs.replace(record, steps=[*record.steps, exchange])
            store.add(record, {digest(body): body}).result()
        expected = columns_of(new, "id", "vantage_kind", "network", "clock_offset_us")
    used = uses_of(new)
    assert len(used) == 300
    make_first_schema(old)
    copy_rows(new, old)
    with Store(tmp_path / "third.db") as third:  # read as it is, without bringing it up to date
        came = third.import_database(old)
        assert (came.records_new, came.blobs_new, came.refused) == (300, 7, [])
    Path(f"{new}.keys").rename(f"{old}.keys")
    with Store(old) as store:
        assert store.check() == []
    assert columns_of(old, "id", "vantage_kind", "network", "clock_offset_us") == expected
    assert uses_of(old) == used
    with closing(sqlite3.connect(old)) as connection:
        for table in ("blobs", "blob_uses", "steps"):
            with pytest.raises(sqlite3.IntegrityError, match=f"{table} is"):
                connection.execute(f"DELETE FROM {table}")


def make_first_schema(path: Path) -> None:
    """Make an empty database as the first version did."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()


def copy_rows(source: Path, target: Path) -> None:
    """Copy what both schemas have."""
    with closing(sqlite3.connect(target)) as connection:
        connection.create_function("id_text", 1, lambda data: data and f"sha256:{data.hex()}")
        connection.create_function("digits", 1, lambda data: data and data.hex())
        connection.create_function("after", 2, after)
        connection.execute("ATTACH ? AS source", [str(source)])
        for table in ("database_kind", "certifications", "envelopes", "records", "steps"):
            names = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
            columns = ", ".join(f'"{name}"' for name in names)
            values = ", ".join(as_first_kept(table, name) for name in names)
            connection.execute(
                f"INSERT INTO main.{table} ({columns}) SELECT {values} FROM source.{table}"
            )
        connection.execute(
            "INSERT INTO main.blobs (id, codec, content) "
            "SELECT id_text(id), codec, content FROM source.blobs"
        )
        connection.execute(
            "INSERT INTO main.blob_uses (record, blob) SELECT record, id_text(id) "
            "FROM source.blob_uses JOIN source.blobs ON blobs.number = blob"
        )
        connection.commit()


def as_first_kept(table: str, name: str) -> str:
    """Return SQL for what the first schema had in a column."""
    if (table, name) == ("steps", "start"):
        began = "(SELECT time FROM source.records WHERE number = record)"
        return f"after({began}, start_us)"
    kind = metadata.tables[table].c[name].type
    if isinstance(kind, Digits):
        return f'{"id_text" if kind.prefix else "digits"}("{name}")'
    return f'"{name}"'


def after(time: str, microseconds: int) -> str:
    moment = datetime.fromisoformat(time) + timedelta(microseconds=microseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def uses_of(path: Path) -> set[tuple[int, bytes, bytes]]:
    """Return (record's number, id of a blob, its content) for every use."""
    query = "SELECT record, id, content FROM blob_uses JOIN blobs ON blobs.number = blob"
    with closing(sqlite3.connect(path)) as connection:
        return set(connection.execute(query))


def columns_of(path: Path, *names: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        query = f"SELECT {', '.join(names)} FROM records ORDER BY id"
        return list(connection.execute(query))
