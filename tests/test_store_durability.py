"""The store under bad luck: killed in the middle, two writers, a full disk, a locked file."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from storage.records import Measurement, utc_text
from storage.store import Store, StoreError
from storage.train_dictionary import Invention

# Adds records until its input ends or it is killed; says which are on the disk.
ADDING = """
    import sys
    import msgspec
    from storage.records import Exchange, digest, utc_text
    from storage.store import Store
    from storage.train_dictionary import Invention

    path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with Store(path) as store:
        vantage = store.own_vantage(country="KZ", asn=64500, network="Invented Telecom")
        for seed in range(first, first + count):
            record = Invention(seed).measurement()
            body = b"body %d" % seed
            step = Exchange(
                connection=1, url="http://site.example/", address="192.0.2.1",
                body=digest(body), start=record.time, duration_us=1,
            )
            record = msgspec.structs.replace(
                record, vantage=vantage, time=utc_text(1497916800 + seed), steps=[step]
            )
            print(store.add(record, {digest(body): body}).result(), digest(body), flush=True)
"""
# Adds records of any size until the disk is full; prints what became of each.
FILLING = """
    import resource, sys
    import msgspec
    from storage.records import utc_text
    from storage.store import Store, StoreError
    from storage.train_dictionary import Invention

    with Store(sys.argv[1]) as store:
        vantage = store.own_vantage(country="KZ", asn=64500, network="Invented Telecom")
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        for seed in range(1000):
            record = msgspec.structs.replace(
                Invention(seed).measurement(), vantage=vantage, time=utc_text(1497916800 + seed)
            )
            try:
                print(store.add(record).result(), flush=True)
            except StoreError as error:
                print(error, file=sys.stderr)
                break
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def measured(store: Store, seed: int) -> Measurement:
    return msgspec.structs.replace(
        Invention(seed).measurement(),
        vantage=store.own_vantage(country="KZ", asn=64500, network="Invented Telecom"),
        time=utc_text(1497916800 + seed),
    )


def test_killing_the_program_loses_nothing_reported_and_leaves_no_half(tmp_path: Path) -> None:
    path, dice = tmp_path / "x.db", random.Random(1)
    reported: set[tuple[str, ...]] = set()
    for attempt in range(10):
        process = start(ADDING, path, attempt * 1000, 1000)
        assert process.stdout is not None
        reported.add(tuple(process.stdout.readline().split()))  # it is adding
        time.sleep(dice.uniform(0, 0.15))
        process.kill()
        rest, errors = process.communicate()
        assert errors == ""
        # Of a line that was cut off nobody has read what it reports.
        whole = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        reported.update(tuple(line.split()) for line in whole)
    with Store(path) as store:
        assert store.check() == []
        kept = {one.id for one in store.measurements()}
        assert {record for record, _ in reported} <= kept
        # At most the record that was being reported at each kill may be there unreported.
        assert len(kept) <= len(reported) + 10
        assert all(store.blob(blob) for _, blob in reported)


def test_two_programs_can_add_at_once_to_a_database_that_neither_made(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    processes = [start(ADDING, path, first, 60) for first in (0, 1000)]
    outcomes = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in outcomes] == ["", ""]
    with Store(path) as store:
        assert store.check() == []
        assert len(list(store.measurements())) == 120
        assert len({one.record.vantage.id for one in store.measurements()}) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_is_one_line_and_what_was_reported_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    output, errors = start(FILLING, path).communicate(timeout=60)
    reported = output.split()
    (line,) = errors.splitlines()
    assert line.startswith(f"{path}: ")
    assert reported
    with Store(path) as store:
        assert {one.id for one in store.measurements()} == set(reported)
        assert store.check() == []
        store.add(measured(store, 5000)).result()


def test_a_database_locked_by_another_program_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path, busy_seconds=0.1) as store:
        record = measured(store, 1)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"x\.db: another program keeps the database lock"):
                store.add(record).result()
            other.execute("ROLLBACK")
        store.add(record).result()
        assert store.check() == []


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        for seed in range(20):
            store.add(measured(store, seed)).result()
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(64))
    with (
        pytest.raises(StoreError, match=r"^[^\n]*x\.db: [^\n]*$"),
        Store(path) as store,
    ):
        list(store.measurements())


def test_checking_a_damaged_database_says_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        for seed in range(20):
            store.add(measured(store, seed)).result()
        store.check()
    with path.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(os.urandom(4096))
    with Store(path) as store:
        found = store.check()
    assert found
    assert all(line and "\n" not in line for line in found)


@pytest.mark.parametrize("obstacle", ["a folder", "a file as its folder"])
def test_a_path_that_cannot_be_a_database_is_one_line(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "x.db"
    if obstacle == "a folder":
        path.mkdir()
    else:
        path.write_text("")
        path = path / "x.db"
    with pytest.raises(StoreError, match=r"^[^\n]*x\.db: [^\n]*$"):
        Store(path)


@pytest.mark.parametrize("by", ["removed", "replaced"])
def test_a_database_removed_while_open_is_one_line_and_nothing_vanishes(
    tmp_path: Path, by: str
) -> None:
    path, aside = tmp_path / "x.db", tmp_path / "aside.db"
    with Store(path) as store:
        first = store.add(measured(store, 1)).result()
        path.rename(aside)
        if by == "replaced":
            path.touch()
        with pytest.raises(StoreError, match=r"x\.db: removed or replaced while it was open"):
            store.add(measured(store, 2)).result()
        aside.replace(path)
        second = store.add(measured(store, 3)).result()
        assert {one.id for one in store.measurements()} == {first, second}
        assert store.check() == []
