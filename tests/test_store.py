"""The store: records come back as they were added, and cannot be changed unseen."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.engine import URL

from storage.chain import envelope_hash
from storage.database import writing_engine
from storage.errors import RefusedError
from storage.records import (
    Exchange,
    Measurement,
    Vantage,
    Verdict,
    canonical,
    digest,
    record_id,
    utc_text,
)
from storage.store import Store, StoreError
from storage.train_dictionary import Invention

START = 1497916800.0  # 20 June 2017


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as opened:
        yield opened


def own(store: Store, asn: int = 64500) -> Vantage:
    return store.own_vantage(country="KZ", asn=asn, network="Invented Telecom")


def measured(vantage: Vantage, seed: int, **changes: Any) -> Measurement:
    """Return an invented measurement, one for each minute."""
    changes = {"vantage": vantage, "time": utc_text(START + 60 * seed), **changes}
    return msgspec.structs.replace(Invention(seed).measurement(), **changes)


def with_body(vantage: Vantage, seed: int, body: bytes) -> Measurement:
    """Return a measurement that names one body and nothing else."""
    step = Exchange(
        connection=1,
        url="http://site.example/",
        address="192.0.2.1",
        status=200,
        body=digest(body),
        start=utc_text(START),
        duration_us=1,
    )
    return measured(vantage, seed, steps=[step])


def execute(path: Path, *statements: str) -> None:
    """Change a database behind the store's back, its triggers lifted."""
    with closing(sqlite3.connect(path)) as connection:
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
        connection.commit()


def test_records_come_back_by_time_and_id_as_they_were_added(store: Store) -> None:
    vantage = own(store)
    made = [measured(vantage, seed) for seed in (3, 1, 2)]
    made.append(msgspec.structs.replace(made[0], tool="another at the same time"))
    ids = [future.result() for future in [store.add(record) for record in made]]
    assert ids == [record_id(record) for record in made]
    expected = sorted(zip(ids, made, strict=True), key=lambda pair: (pair[1].time, pair[0]))
    assert [(one.id, one.record) for one in store.measurements()] == expected
    assert store.canonical_bytes(ids[0]) == canonical(made[0])


def test_more_than_a_page_of_records_comes_back_whole_and_in_order(store: Store) -> None:
    vantage = own(store)
    same_time = utc_text(START)
    made = [measured(vantage, seed, steps=[], time=same_time) for seed in range(300)]
    made += [measured(vantage, seed, steps=[]) for seed in range(300, 600)]
    ids = {future.result() for future in [store.add(record) for record in made]}
    found = [(one.record.time, one.id) for one in store.measurements()]
    assert found == sorted(found)
    assert {id for _, id in found} == ids
    assert len(ids) == 600


def test_measurements_are_chosen_by_time_country_and_url(store: Store) -> None:
    vantage = own(store)
    abroad = msgspec.structs.replace(
        store.own_vantage(country="KG", asn=64510, network="Invented Mobile")
    )
    first, second = measured(vantage, 1), measured(vantage, 2)
    third = measured(abroad, 3)
    for record in (first, second, third):
        store.add(record).result()
    assert [one.record for one in store.measurements(since=second.time)] == [second, third]
    assert [one.record for one in store.measurements(until=second.time)] == [first]
    assert [one.record for one in store.measurements(country="KG")] == [third]
    assert [one.record for one in store.measurements(urls={first.url})] == [first]
    assert list(store.measurements(urls=[])) == []


def test_rounds_and_follow_ups_are_found(store: Store) -> None:
    vantage = own(store)
    round = msgspec.structs.replace(
        Invention(9).round(), vantage=vantage, time=utc_text(START), complete=False
    )
    round_id = store.add(round).result()
    first = store.add(measured(vantage, 1, round=round_id)).result()
    later = store.add(measured(vantage, 3, follows=first)).result()
    earlier = store.add(measured(vantage, 2, follows=first)).result()
    assert [(one.id, one.record) for one in store.rounds()] == [(round_id, round)]
    assert [one.id for one in store.follow_ups(first)] == [earlier, later]
    assert store.follow_ups(later) == []
    assert [one.id for one in store.measurements()] == [first, earlier, later]
    found = store.measurement(first)
    assert found is not None
    assert found.record.round == round_id
    assert store.measurement(round_id) is None
    assert store.measurement("sha256:unknown") is None


def test_the_same_record_is_added_once(store: Store) -> None:
    record = measured(own(store), 1)
    assert store.add(record).result() == store.add(record).result()
    assert len(list(store.measurements())) == 1
    assert store.check() == []


def test_a_blob_is_kept_once_and_comes_back(store: Store) -> None:
    vantage, body = own(store), b"<title>blocked</title>" * 50
    for seed in (1, 2):
        store.add(with_body(vantage, seed, body), {digest(body): body}).result()
    assert store.blob(digest(body)) == body
    assert store.blob(digest(b"never kept")) is None
    assert store.check() == []


def test_a_blob_with_another_hash_keeps_its_record_out(store: Store) -> None:
    record = with_body(own(store), 1, b"what came")
    with pytest.raises(RefusedError, match=r"x\.db: blob sha256:[0-9a-f]{64}: its content has"):
        store.add(record, {digest(b"what came"): b"something else"}).result()
    assert store.measurement(record_id(record)) is None
    assert store.check() == []


def test_a_blob_that_the_record_does_not_name_is_refused(store: Store) -> None:
    with pytest.raises(RefusedError, match="does not name the blob"):
        store.add(measured(own(store), 1), {digest(b"stray"): b"stray"}).result()


def test_simulated_and_real_records_do_not_mix(store: Store) -> None:
    vantage = own(store)
    assert store.simulated() is None
    store.add(measured(vantage, 1, simulated=True)).result()
    with pytest.raises(RefusedError, match="holds simulated records; real ones may not enter"):
        store.add(measured(vantage, 2)).result()
    assert store.simulated() is True
    assert len(list(store.measurements())) == 1


def test_a_record_of_a_vantage_without_keys_is_refused(store: Store) -> None:
    stranger = msgspec.structs.replace(own(store), id="0" * 32)
    with pytest.raises(StoreError, match="no key for vantage 0000"):
        store.add(measured(stranger, 1)).result()


def test_a_refused_record_does_not_take_others_with_it(store: Store) -> None:
    vantage = own(store)
    bad = measured(vantage, 2, time="soon")
    futures = [store.add(one) for one in (measured(vantage, 1), bad, measured(vantage, 3))]
    assert isinstance(futures[1].exception(), RefusedError)
    assert {futures[0].result(), futures[2].result()} == {one.id for one in store.measurements()}
    assert store.check() == []


def test_a_lost_keys_file_gives_a_new_vantage_and_the_old_records_stay_valid(path: Path) -> None:
    with Store(path) as store:
        before = own(store)
        store.add(measured(before, 1)).result()
    Path(f"{path}.keys").unlink()
    with Store(path) as store:
        after = own(store)
        assert after.id != before.id
        store.add(measured(after, 2)).result()
        assert store.check() == []


def test_an_installation_keeps_its_pseudonyms_and_continues_its_chains(path: Path) -> None:
    seen = set()
    for seed in range(3):
        with Store(path) as store:
            vantage = own(store)
            store.add(measured(vantage, seed)).result()
            assert store.check() == []
        seen.add(vantage)
    assert len({vantage.id for vantage in seen}) == 1


def test_verdicts_are_found_only_for_the_same_inputs_and_rules(store: Store) -> None:
    id = store.add(measured(own(store), 1)).result()
    verdict = Verdict(rules_version="1", status="blocked", layer="tls", technique="timeout")
    a, b = digest(b"a"), digest(b"b")
    store.put_verdicts([(id, a, verdict), ("sha256:unknown", a, verdict)])
    assert store.verdicts({id: a}, "1") == {id: verdict}
    assert store.verdicts({id: b}, "1") == {}
    assert store.verdicts({id: a}, "2") == {}
    newer = msgspec.structs.replace(verdict, rules_version="2", status="accessible")
    store.put_verdicts([(id, b, newer)])
    assert store.verdicts({id: b}, "2") == {id: newer}
    assert store.verdicts({id: a}, "1") == {}


def test_a_verdict_that_cannot_be_read_is_judged_again(store: Store, path: Path) -> None:
    id = store.add(measured(own(store), 1)).result()
    inputs = digest(b"a")
    store.put_verdicts([(id, inputs, Verdict(rules_version="1", status="down"))])
    assert store.verdicts({id: inputs}, "1")
    execute(path, "UPDATE verdicts SET verdict = '{'")
    assert store.verdicts({id: inputs}, "1") == {}


def test_each_envelope_names_the_one_before_and_the_time_of_its_record(store: Store) -> None:
    made = [measured(own(store), seed) for seed in range(3)]
    envelopes = [store.envelopes(store.add(record).result())[0] for record in made]
    assert [one.sequence for one in envelopes] == [1, 2, 3]
    assert [one.time for one in envelopes] == [record.time for record in made]
    hashes = [envelope_hash(one) for one in envelopes]
    assert [one.previous for one in envelopes] == [None, *hashes[:2]]


def test_every_step_has_a_row_that_can_be_derived_again(store: Store, path: Path) -> None:
    record = measured(own(store), 4)
    store.add(record).result()
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT kind, failure, duration_us FROM steps ORDER BY position"
        rows = connection.execute(query).fetchall()
        expected = [
            (type(step).__name__.lower(), step.failure, step.duration_us) for step in record.steps
        ]
        assert rows == expected
        execute(path, "UPDATE steps SET failure = NULL, kind = 'x'")
        assert ["steps say something else" in line for line in store.check()] == [True]
        assert store.rebuild_steps() == 1
        assert connection.execute(query).fetchall() == expected
    assert store.check() == []


@pytest.mark.parametrize(
    "table",
    ["records", "envelopes", "steps", "blobs", "blob_uses", "certifications", "database_kind"],
)
def test_evidence_can_be_neither_changed_nor_deleted(store: Store, path: Path, table: str) -> None:
    body = b"page"
    store.add(with_body(own(store), 1, body), {digest(body): body}).result()
    with closing(sqlite3.connect(path)) as connection:
        column = connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchone()[0]
        for change in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match=f"{table} is"):
                connection.execute(change)


TAMPERING = {
    "a record": "UPDATE records SET canonical = x'28b52ffd00' WHERE number = 2",
    "a record that became text": "UPDATE records SET canonical = 'text' WHERE number = 2",
    "a column of a record": "UPDATE records SET url = 'https://other.example/' WHERE number = 2",
    "the signature of an envelope": "UPDATE envelopes SET signature = "
    "CASE substr(signature, 1, 1) WHEN '0' THEN '1' ELSE '0' END || substr(signature, 2) "
    "WHERE sequence = 2",
    "the time of an envelope": "UPDATE envelopes SET time = '2017-06-19' WHERE sequence = 2",
    "the place of an envelope": "UPDATE envelopes SET sequence = 7 WHERE sequence = 2",
    "a removed record": "DELETE FROM records WHERE number = 2",
    "a removed envelope": "DELETE FROM envelopes WHERE sequence = 2",
    "a blob": "UPDATE blobs SET content = CAST(substr(content, 2) || 'é' AS BLOB)",
    "a blob that became text": "UPDATE blobs SET content = CAST(x'ff00ff' AS TEXT)",
    "a place that became text": "UPDATE envelopes SET sequence = 'x' WHERE sequence = 2",
    "a removed blob": "DELETE FROM blobs",
    "a key": "UPDATE certifications SET since = '2016-01-01T00:00:00.000000Z'",
    "the kind of records": "UPDATE database_kind SET simulated = 1",
    "a step": "UPDATE steps SET failure = NULL, status = 403 WHERE record = 2",
}


@pytest.mark.parametrize("tampering", TAMPERING)
def test_checking_finds_what_was_changed_behind_the_stores_back(path: Path, tampering: str) -> None:
    body = os.urandom(64)
    with Store(path) as store:
        vantage = own(store)
        for seed in range(3):
            store.add(with_body(vantage, seed, body), {digest(body): body}).result()
        assert store.check() == []
    execute(path, TAMPERING[tampering])
    with Store(path) as store:
        found = store.check()
    assert found
    assert all(line and "\n" not in line for line in found)


def test_checking_finds_one_changed_byte_wherever_it_is_in_a_record(path: Path) -> None:
    with Store(path) as store:
        id = store.add(measured(own(store), 1)).result()
    with closing(sqlite3.connect(path)) as connection:
        (good,) = connection.execute("SELECT canonical FROM records").fetchone()
    for position in range(0, len(good), 97):
        bad = bytearray(good)
        bad[position] ^= 1
        execute(path, f"UPDATE records SET canonical = x'{bad.hex()}'")
        with Store(path) as store:
            assert any(id in line for line in store.check()), position


def test_a_removed_trigger_is_named(path: Path) -> None:
    Store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER no_delete_records")
    with Store(path) as store:
        assert store.check() == ["table records: the trigger against delete is gone"]


def test_reading_a_damaged_record_is_an_error_that_names_file_and_record(path: Path) -> None:
    with Store(path) as store:
        id = store.add(measured(own(store), 1)).result()
        execute(path, "UPDATE records SET canonical = x'00'")
        with pytest.raises(StoreError, match=rf"^[^\n]*x\.db: {id}: the record is damaged"):
            list(store.measurements())


def test_files_and_new_folders_are_private(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "x.db"
    with Store(path) as store:
        store.add(measured(own(store), 1)).result()
        files = sorted(path.parent.iterdir())
        assert {file.name for file in files} == {"x.db", "x.db-shm", "x.db-wal", "x.db.keys"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_writing_survives_a_power_cut_and_does_not_hold_up_readers(path: Path) -> None:
    Store(path).close()
    engine = writing_engine(URL.create("sqlite", database=str(path)), busy_seconds=1)
    with engine.connect() as connection:
        settings = ("synchronous", "journal_mode", "foreign_keys")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in settings]
    engine.dispose()
    assert values == [2, "wal", 1]


def test_the_keys_never_stand_in_the_database(path: Path) -> None:
    with Store(path) as store:
        store.add(measured(own(store), 1)).result()
    secrets = [
        one["secret"] for one in msgspec.json.decode(Path(f"{path}.keys").read_bytes())["vantages"]
    ]
    content = path.read_bytes()
    assert len(secrets) == 1
    for secret in secrets:
        assert secret.encode() not in content
        assert bytes.fromhex(secret) not in content


def test_a_missing_database_is_an_error_where_none_may_be_made(path: Path) -> None:
    with pytest.raises(StoreError, match=r"x\.db: no such file"):
        Store(path, create=False)
    assert not path.exists()


def test_a_database_can_be_named_by_url_and_not_in_memory(path: Path) -> None:
    Store(f"sqlite:///{path}").close()
    assert path.exists()
    with pytest.raises(StoreError, match="needs a file"):
        Store("sqlite://")


def test_a_closed_store_takes_no_more(path: Path) -> None:
    store = Store(path)
    vantage = own(store)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.add(measured(vantage, 1)).result()


def test_closing_commits_what_is_queued(path: Path) -> None:
    with Store(path) as store:
        vantage = own(store)
        futures = [store.add(measured(vantage, seed)) for seed in range(50)]
    with Store(path) as store:
        assert {one.id for one in store.measurements()} == {one.result() for one in futures}
