"""Merging databases: in any order, any number of times, and nothing that does not verify enters."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.records import Exchange, Measurement, canonical, digest, utc_text
from storage.store import Imported, Store, StoreError
from storage.train_dictionary import Invention

START = 1497916800.0  # 20 June 2017
BODY = b"<title>blocked</title>" * 20


def measured(store: Store, seed: int, **changes: Any) -> Measurement:
    """Return an invented measurement of the store's own vantage that names one body."""
    step = Exchange(
        connection=1,
        url="http://site.example/",
        address="192.0.2.1",
        body=digest(BODY),
        start=utc_text(START),
        duration_us=1,
    )
    vantage = store.own_vantage(country="KZ", asn=64500, network="Invented Telecom")
    changes = {"vantage": vantage, "time": utc_text(START + seed), "steps": [step], **changes}
    return msgspec.structs.replace(Invention(seed).measurement(), **changes)


def filled(path: Path, *seeds: int, **changes: Any) -> Path:
    """Make a database with one record for each seed; return its path."""
    with Store(path) as store:
        for seed in seeds:
            store.add(measured(store, seed, **changes), {digest(BODY): BODY}).result()
    return path


def execute(path: Path, *statements: str) -> None:
    """Change a database, its triggers removed."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def content(path: Path) -> dict[str, set[tuple[Any, ...]]]:
    """Return everything that matters in a database, without its local numbers."""
    queries = {
        "records": "SELECT id, kind, time, vantage, url, codec, canonical FROM records",
        "envelopes": "SELECT * FROM envelopes",
        "certifications": "SELECT * FROM certifications",
        "blobs": "SELECT id, codec, content FROM blobs",
        "uses": "SELECT records.id, blobs.id FROM blob_uses "
        "JOIN records ON records.number = record JOIN blobs ON blobs.number = blob",
        "steps": "SELECT id, position, steps.url FROM steps JOIN records ON number = record",
    }
    with closing(sqlite3.connect(path)) as connection:
        return {name: set(connection.execute(query)) for name, query in queries.items()}


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_merging_in_either_order_gives_the_same_records(tmp_path: Path) -> None:
    a, b = filled(tmp_path / "a.db", 1, 2, 3), filled(tmp_path / "b.db", 4, 5)
    for name, order in (("ab", (a, b)), ("ba", (b, a)), ("aba", (a, b, a))):
        with Store(tmp_path / f"{name}.db") as store:
            for other in order:
                assert store.import_database(other).refused == []
            assert store.check() == []
    assert content(tmp_path / "ab.db") == content(tmp_path / "ba.db")
    assert content(tmp_path / "ab.db") == content(tmp_path / "aba.db")
    both = content(tmp_path / "ab.db")
    for name, rows in content(a).items():
        assert both[name] == rows | content(b)[name]


def test_what_was_imported_is_counted_and_known_the_second_time(tmp_path: Path) -> None:
    other = filled(tmp_path / "a.db", 1, 2)
    with Store(tmp_path / "x.db") as store:
        first, second = store.import_database(other), store.import_database(other)
    assert first == Imported(records_new=2, records_known=0, blobs_new=1)
    assert second == Imported(records_new=0, records_known=2, blobs_new=0)


def test_an_own_chain_goes_on_after_an_import(tmp_path: Path) -> None:
    other = filled(tmp_path / "a.db", 1)
    mine = filled(tmp_path / "x.db", 2)
    with Store(mine) as store:
        store.import_database(other)
    filled(mine, 3)
    with Store(mine) as store:
        assert store.check() == []
        assert len(list(store.measurements())) == 3


def test_a_database_imported_into_itself_is_all_known(tmp_path: Path) -> None:
    path = filled(tmp_path / "x.db", 1, 2)
    with Store(path) as store:
        assert store.import_database(path) == Imported(records_known=2)


def test_many_pages_of_records_are_imported(tmp_path: Path) -> None:
    other = filled(tmp_path / "a.db", *range(250))
    with Store(tmp_path / "x.db") as store:
        assert store.import_database(other).records_new == 250
        assert store.check() == []


def test_the_other_database_and_its_folder_stay_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    other = filled(folder / "a.db", 1)
    folder.chmod(0o500)
    other.chmod(0o400)
    before = hashes(folder)
    with Store(tmp_path / "x.db") as store:
        assert store.import_database(other).records_new == 1
    assert hashes(folder) == before
    folder.chmod(0o700)


def test_a_database_that_is_being_written_is_imported_with_its_newest_records(
    tmp_path: Path,
) -> None:
    with Store(tmp_path / "a.db") as theirs:
        theirs.add(measured(theirs, 1)).result()
        with Store(tmp_path / "x.db") as store:
            assert store.import_database(tmp_path / "a.db").records_new == 1


def test_blobs_that_were_missing_come_later_from_another_copy(tmp_path: Path) -> None:
    whole = filled(tmp_path / "a.db", 1)
    (tmp_path / "thin.db").write_bytes(whole.read_bytes())
    execute(tmp_path / "thin.db", "DELETE FROM blob_uses", "DELETE FROM blobs")
    with Store(tmp_path / "x.db") as store:
        assert store.import_database(tmp_path / "thin.db").blobs_new == 0
        assert store.blob(digest(BODY)) is None
        assert store.import_database(whole) == Imported(records_known=1, blobs_new=1)
        assert store.blob(digest(BODY)) == BODY
        assert store.check() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE records SET canonical = x'00' WHERE number = 1", "damaged"),
        ("UPDATE records SET canonical = 'text' WHERE number = 1", "not bytes"),
        ("UPDATE records SET codec = 'zip' WHERE number = 1", "unknown codec 'zip'"),
        ("UPDATE records SET id = 'sha256:' || hex(zeroblob(32)) WHERE number = 1", "another hash"),
        (
            "UPDATE envelopes SET signature = substr(signature, 2) || '0' WHERE sequence = 1",
            "signature",
        ),
        ("UPDATE envelopes SET sequence = 9 WHERE sequence = 1", "wrong signature"),
        ("DELETE FROM envelopes WHERE sequence = 1", "nobody signed it"),
    ],
)
def test_a_record_that_does_not_verify_is_named_and_stays_out(
    tmp_path: Path, change: str, reason: str
) -> None:
    other = filled(tmp_path / "a.db", 1, 2)
    execute(other, change)
    with Store(tmp_path / "x.db") as store:
        imported = store.import_database(other)
        assert imported.records_new == 1
        (line,) = imported.refused
        assert line.startswith("record sha256:")
        assert reason in line
        assert [one.record.time for one in store.measurements()] == [utc_text(START + 2)]
        # What is left is sound; only the place that stayed out is missed.
        assert ["nothing between places 0 and 2" in line for line in store.check()] == [True]


def test_a_damaged_blob_is_named_and_does_not_hold_up_its_record(tmp_path: Path) -> None:
    other = filled(tmp_path / "a.db", 1, 2)
    execute(other, "UPDATE blobs SET codec = 'raw', content = x'00'")
    with Store(tmp_path / "x.db") as store:
        imported = store.import_database(other)
        assert imported.records_new == 2
        assert imported.refused == [f"blob {digest(BODY)}: its content has another hash"]
        assert store.blob(digest(BODY)) is None
        assert store.check() == []


def test_records_signed_by_a_key_that_was_never_certified_stay_out(tmp_path: Path) -> None:
    other, attacker = filled(tmp_path / "a.db", 1), filled(tmp_path / "b.db", 2)
    execute(
        attacker,
        f"ATTACH '{other}' AS victim",
        "UPDATE certifications SET vantage = (SELECT vantage FROM victim.certifications)",
    )
    with Store(tmp_path / "x.db") as store:
        imported = store.import_database(attacker)
        assert imported.records_new == 0
        assert ["never certified" in line for line in imported.refused] == [True]
        assert list(store.measurements()) == []


def test_records_of_the_other_kind_keep_the_whole_database_out(tmp_path: Path) -> None:
    real = filled(tmp_path / "real.db", 1)
    simulated = filled(tmp_path / "simulated.db", 2, simulated=True)
    before = content(real)
    with (
        Store(real) as store,
        pytest.raises(StoreError, match=r"simulated\.db: the database holds real records"),
    ):
        store.import_database(simulated)
    assert content(real) == before


def test_a_real_record_hidden_in_a_simulated_database_stays_out(tmp_path: Path) -> None:
    other = filled(tmp_path / "a.db", 1)
    execute(other, "UPDATE database_kind SET simulated = 1")
    with Store(tmp_path / "x.db") as store:
        imported = store.import_database(other)
        assert imported.records_new == 0
        assert ["real ones may not enter" in line for line in imported.refused] == [True]


class LaterMeasurement(Measurement, frozen=True, kw_only=True):
    """A measurement as a later version may write it."""

    of_a_later_version: list[int | None]


def test_unknown_fields_survive_being_handed_on(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as theirs:
        record = LaterMeasurement(
            **msgspec.structs.asdict(measured(theirs, 1)), of_a_later_version=[1, None]
        )
        id = theirs.add(record).result()
    with Store(tmp_path / "x.db") as store:
        assert store.import_database(tmp_path / "a.db").records_new == 1
        assert store.canonical_bytes(id) == canonical(record)
        assert b'"of_a_later_version":[1,null]' in canonical(record)
        assert store.measurement(id) is not None
        assert store.check() == []


@pytest.mark.parametrize("broken", [b"", b"just text" * 200, b"SQLite format 3\0" + bytes(84)])
def test_a_file_that_is_no_database_is_an_error_naming_it(tmp_path: Path, broken: bytes) -> None:
    other = tmp_path / "a.db"
    other.write_bytes(broken)
    with (
        Store(tmp_path / "x.db") as store,
        pytest.raises(StoreError, match=r"^[^\n]*a\.db: [^\n]+$"),
    ):
        store.import_database(other)
    assert other.read_bytes() == broken


def test_a_missing_file_or_a_newer_database_is_an_error_naming_it(tmp_path: Path) -> None:
    newer = filled(tmp_path / "a.db", 1)
    execute(newer, "UPDATE alembic_version SET version_num = '9999'")
    with Store(tmp_path / "x.db") as store:
        with pytest.raises(StoreError, match=r"none\.db: no such file"):
            store.import_database(tmp_path / "none.db")
        with pytest.raises(StoreError, match=r"a\.db: written by a newer Sitewatch"):
            store.import_database(newer)


def test_an_empty_database_brings_nothing(tmp_path: Path) -> None:
    Store(tmp_path / "a.db").close()
    with Store(tmp_path / "x.db") as store:
        assert store.import_database(tmp_path / "a.db") == Imported()
        assert store.simulated() is None
