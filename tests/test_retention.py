"""Retention: what may be dropped is, nothing else ever is, and what is left still verifies."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from probes.clock import SystemClock
from probes.rounds import RoundDone
from reports.analysis import analyse
from reports.cases import gather, inputs_hash
from reports.rules import RULES_VERSION
from reports.verdicts import judge_all
from sitewatch.config import Config
from sitewatch.installation import Installation
from sitewatch.rejudging import rejudge
from sitewatch.retaining import QuietTime, cited_ids, retain
from sitewatch.sections import Schedule, Storage
from storage.records import Exchange, Line, Measurement, Round, Step, Vantage, digest, utc_text
from storage.store import Store
from tests import cases

DAY = 86_400.0
START = 1_497_916_800.0  # 20 June 2017, 00:00 UTC
NOW = START + 200 * DAY


class At(SystemClock):
    """A clock that stands still at `NOW`."""

    def wall(self) -> float:
        return NOW


def config(folder: Path, *, days: int = 0, size: str = "2 GB") -> Config:
    return Config(
        path=folder / "sitewatch.toml", storage=Storage(accessible_days=days, max_size=size)
    )


def vantage_of(store: Store, asn: int = 64500) -> Vantage:
    return store.own_vantage(country="KZ", asn=asn, network="Invented Telecom")


def add(
    store: Store,
    steps: Sequence[Step],
    when: float,
    *,
    body: bytes | None = None,
    asn: int = 64500,
    follows: str | None = None,
    helpers: Sequence[object] = (),
) -> str:
    """Add a measurement of `when` (seconds); its page's body is kept if one is given."""
    blobs = {}
    if body is not None:
        blobs[digest(body)] = body
        steps = [
            msgspec.structs.replace(step, body=digest(body)) if isinstance(step, Exchange) else step
            for step in steps
        ]
    record = cases.measurement(
        steps,
        time=utc_text(when),
        vantage=vantage_of(store, asn),
        follows=follows,
        helpers=helpers,  # type: ignore[arg-type]
    )
    return store.add(record, blobs).result()


def fine(store: Store, when: float, **how: object) -> str:
    return add(store, cases.loads(1), when, **how)  # type: ignore[arg-type]


def blocked(store: Store, when: float, **how: object) -> str:
    """Add a failing measurement whose contrast shows that it is the name that is blocked."""
    id = add(store, cases.loads(3, tls=cases.TIMEOUT), when, **how)  # type: ignore[arg-type]
    add(store, cases.arms(), when + 30, follows=id, **how)  # type: ignore[arg-type]
    return id


def whole(store: Store) -> set[str]:
    return {stored.id for stored in store.measurements()}


def history(store: Store) -> dict[str, list[str]]:
    """A hundred days: fine, blocked on two of them, fine again; ids by what they are."""
    ids: dict[str, list[str]] = {"fine": [], "blocked": []}
    for day in range(100):
        kind = "blocked" if day in (50, 51) else "fine"
        make: Callable[..., str] = blocked if kind == "blocked" else fine
        ids[kind].append(make(store, START + day * DAY))
    list(rejudge(store, everything=False))
    return ids


def test_old_accessible_records_become_stubs_that_still_verify(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        ids = history(store)
        done = retain(store, config(tmp_path, days=30), At())
        kept = whole(store)
        # Those beside the episode bound it; the last one will bound the next.
        assert kept & set(ids["fine"]) == {*ids["fine"][47:53], ids["fine"][-1]}
        assert set(ids["blocked"]) <= kept
        assert done.records == 98 - 7
        assert store.thinned().records == 91
        assert store.check() == []
        assert len(store.envelopes(ids["fine"][0])) == 1


def test_young_records_and_zero_days_are_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        old, young = fine(store, NOW - 40 * DAY), fine(store, NOW - 5 * DAY)
        newest = fine(store, NOW - 1 * DAY)
        assert retain(store, config(tmp_path, days=0), At()).records == 0
        retain(store, config(tmp_path, days=1), At())  # younger than a week is never touched
        assert whole(store) == {young, newest}
        assert [row.id for row in store.judged(thinned_only=True)] == [old]


def test_episodes_and_readings_are_the_same_after_thinning(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        history(store)
        span = {"since": "2017-06-20", "until": "2017-09-30"}
        before = analyse(store, **span, exact=True)
        retain(store, config(tmp_path, days=30), At())
        after = analyse(store, **span, exact=True)
    assert before.episodes
    assert after.episodes == before.episodes
    assert sorted(r.id for r in after.readings) == sorted(r.id for r in before.readings)


def test_judging_again_leaves_the_verdict_of_a_stub_as_it_was(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        ids = history(store)
        retain(store, config(tmp_path, days=30), At())
        with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
            connection.execute("UPDATE verdicts SET rules_version = 'old'")
            connection.commit()
        (done,) = rejudge(store, everything=True)
        assert done.left == 91
        assert done.judged == 100 - 91
        assert done.changed == []
        versions = {row.id: row.verdict.rules_version for row in store.judged()}
        assert versions.keys() == {*ids["fine"], *ids["blocked"]}


def test_a_verdict_stays_when_its_witness_is_thinned(tmp_path: Path) -> None:
    """A page that differs from what a neighbour sees is judged with him, and stays so."""
    with Store(tmp_path / "x.db") as store:
        one = fine(store, START, asn=64500)
        other = fine(store, START + 600, asn=64501)
        for later in (1, 2):
            fine(store, START + later * DAY, asn=64500)
            fine(store, START + later * DAY + 7200, asn=64501)
        list(rejudge(store, everything=False))
        page = store.drop_records(
            after=0,
            before=utc_text(START + 60),
            cited=(),
            statuses=["accessible"],
            now=NOW,
        )
        assert page.dropped == 1
        fixed = {row.id for row in store.judged() if row.fixed}
        assert fixed == {one, other}
        found = gather(store.measurements())
        inputs = {case.id: inputs_hash(case) for case in found}
        assert other in store.verdicts(inputs, RULES_VERSION)
        assert other in store.verdicts(inputs, "rules of another year")
        assert judge_all(store, found).keys() == inputs.keys()


def test_over_its_size_blobs_go_first_and_then_whole_records(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        with_body = [fine(store, START + day * DAY, body=os.urandom(20_000)) for day in range(60)]
        guarded = blocked(store, START + 60 * DAY)
        list(rejudge(store, everything=False))
        size = store.size().used
        done = retain(store, config(tmp_path, size=f"{int(size * 0.6)}"), At())
        assert done.blobs > 20
        assert done.records == 0
        assert store.size().file <= size * 0.6
        done = retain(store, config(tmp_path, size="200 KB"), At())
        assert done.records > 0
        assert guarded in whole(store)
        assert with_body[-1] in whole(store)  # it bounds the episode
        assert store.check() == []


def test_a_limit_that_cannot_be_held_is_said_and_nothing_cited_goes(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        ids = [blocked(store, START + day * DAY) for day in range(20)]
        done = retain(store, config(tmp_path, size="1 KB"), At())
        assert done.over > 0
        assert set(ids) <= whole(store)


def test_a_blob_that_another_record_needs_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        shared = b"the same page"
        fine(store, START, body=shared)
        blocked_later = add(store, cases.loads(3, http=cases.RESET), START + 50 * DAY, body=shared)
        list(rejudge(store, everything=False))
        store.drop_blobs(after=0, before=utc_text(NOW), cited=())
        assert store.blob(digest(shared)) == shared
        assert blocked_later in whole(store)


def test_whatever_is_cited_stays_with_its_neighbours(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        witness = fine(store, START + 10 * DAY + 1200, asn=64501)
        failing = blocked(store, START + 10 * DAY)
        far = fine(store, START + 5 * DAY, asn=64501)
        bounding = fine(store, START + 2 * DAY)
        newest = fine(store, START + 90 * DAY, asn=64501)
        list(rejudge(store, everything=False))
        cited = cited_ids(store)
    assert {witness, bounding, failing, newest} <= cited
    assert far not in cited


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET canonical = NULL",
        "UPDATE records SET canonical = NULL, thinned = '2017-06-20T00:00:00.000000Z'",
        "UPDATE records SET thinned = '2017-06-20T00:00:00.000000Z'",
        "DELETE FROM records",
        "DELETE FROM steps",
        "DELETE FROM blobs",
        "DELETE FROM envelopes",
    ],
)
def test_nothing_but_what_may_be_thinned_can_be_dropped(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        add(store, cases.loads(3, http=cases.RESET), START, body=b"evidence")
        list(rejudge(store, everything=False))
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match=r"append-only|rebuild"),
    ):
        connection.execute(statement)


def test_content_that_vanished_behind_the_triggers_back_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store(path) as store:
        id = blocked(store, START)
        list(rejudge(store, everything=False))
    with closing(sqlite3.connect(path)) as connection:
        (sql,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'no_update_records'"
        ).fetchone()
        connection.execute("DROP TRIGGER no_update_records")
        connection.execute(
            "UPDATE records SET canonical = NULL, thinned = time WHERE hex(id) = ?",
            [id[7:].upper()],
        )
        connection.execute(sql)
        connection.commit()
    with Store(path) as store:
        assert store.check() == [f"record {id}: its content is gone, and not by retention"]


def test_incomplete_and_undecided_records_are_never_thinned(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        undecided = add(store, cases.loads(3, tls=cases.TIMEOUT), START)
        record: Measurement = cases.measurement(
            cases.loads(1), time=utc_text(START + DAY), vantage=vantage_of(store), complete=False
        )
        stopped = store.add(record).result()
        newest = fine(store, NOW - DAY)
        retain(store, config(tmp_path, days=8, size="1 KB"), At())
        assert whole(store) == {undecided, stopped, newest}


class Stepping(SystemClock):
    """A clock that only moves when somebody waits."""

    def __init__(self, start: float) -> None:
        self.now = start

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def quiet_time(store: Store, wanted: Config, clock: Stepping) -> None:
    record = Round(
        simulated=True,
        tool="test",
        time=utc_text(START),
        vantage=cases.FIELD,
        line=Line(state="up"),
        targets=1,
    )
    installation = Installation(wanted, store.name)
    await QuietTime(clock)(store, installation, RoundDone("sha256:0", record, []))


@pytest.mark.parametrize(("hour", "until"), [(12, 23), (23.5, 23.5), (3, 3), (22.9, 23)])
async def test_in_a_daemon_it_waits_for_the_quiet_time(
    tmp_path: Path, hour: float, until: float
) -> None:
    wanted = msgspec.structs.replace(
        config(tmp_path, days=30),
        schedule=Schedule(waking_hours="08:00-23:00", time_zone="UTC"),
    )
    with Store(tmp_path / "x.db") as store:
        old = fine(store, START)
        fine(store, START + DAY)
        clock = Stepping(NOW + hour * 3600)
        await quiet_time(store, wanted, clock)
        assert clock.wall() == pytest.approx(NOW + until * 3600)
        assert old not in whole(store)


async def test_over_the_limit_it_waits_for_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        old = fine(store, START)
        fine(store, START + DAY)
        clock = Stepping(NOW + 12 * 3600)
        await quiet_time(store, config(tmp_path, size="1 KB"), clock)
        assert clock.wall() == NOW + 12 * 3600
        assert old not in whole(store)


def test_told_to_stop_it_ends_with_everything_in_order(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        history(store)
        done = retain(store, config(tmp_path, days=30, size="1 KB"), At(), lambda: True)
        assert (done.records, done.blobs) == (0, 0)
        assert done.bytes_after == done.bytes_before
        assert store.check() == []


def test_giving_back_space_can_be_stopped_in_the_middle(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        history(store)
        before = store.size()
        assert not store.vacuum(lambda: True)
        assert store.size() == before
        assert store.vacuum()
        assert store.check() == []


def test_what_was_dropped_does_not_come_back_with_an_import(tmp_path: Path) -> None:
    body = b"an old page"
    with Store(tmp_path / "theirs.db") as theirs:
        old = fine(theirs, START, body=body)
        fine(theirs, NOW - DAY)
    with Store(tmp_path / "x.db") as store:
        store.import_database(tmp_path / "theirs.db")
        assert store.blob(digest(body)) == body
        retain(store, config(tmp_path, days=30), At())
        again = store.import_database(tmp_path / "theirs.db")
        assert (again.records_new, again.blobs_new, again.refused) == (0, 0, [])
        assert old not in whole(store)
        assert store.blob(digest(body)) is None
        assert store.check() == []
