"""Outcomes: what enters takes the conclusions that it bears on, and analysis judges those anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.analysis import analyse
from reports.cases import gather, inputs_hash
from reports.rules import RULES_VERSION
from reports.stored_history import read_history
from reports.verdicts import judge_all
from storage.columns import batches, measured_between, series_in
from storage.records import Line, Vantage, Verdict, utc_text
from storage.store import Store
from tests import cases

START = 1_497_916_800.0  # 20 June 2017, 00:00 UTC
DAY = 86_400.0


def vantage_of(store: Store, asn: int) -> Vantage:
    return store.own_vantage(country="KZ", asn=asn, network="Invented Telecom")


def add(
    store: Store,
    when: float,
    *,
    asn: int = 64500,
    follows: str | None = None,
    url: str = f"https://{cases.NAME}/",
) -> str:
    record = cases.measurement(
        cases.loads(),
        time=utc_text(START + when),
        vantage=vantage_of(store, asn),
        follows=follows,
        url=url,
    )
    return store.add(record).result()


def judge(store: Store) -> None:
    judge_all(store, gather(store.measurements()))


def unsettled(store: Store) -> set[str]:
    """The ids of the measurements that are to be judged."""
    numbers = [one.number for one in series_in(store)]
    return {
        "sha256:" + id.hex()
        for batch in batches(store, numbers, since=0, until=2 * START)
        for id, conclusion in zip(batch.ids, batch.conclusions, strict=True)
        if conclusion == 0
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "x.db")


def test_what_was_judged_is_settled_until_something_enters_beside_it(store: Store) -> None:
    with store:
        near, far = add(store, 0), add(store, 7300)
        assert unsettled(store) == {near, far}
        judge(store)
        assert unsettled(store) == set()
        witness = add(store, 3600, asn=64501)
        assert unsettled(store) == {near, witness}


def test_other_sites_and_follow_ups_of_others_leave_it_alone(store: Store) -> None:
    with store:
        main = add(store, 0)
        judge(store)
        other = add(store, 60, asn=64501, url="https://other.example/")
        assert unsettled(store) == {other}
        judge(store)
        add(store, 120, follows=other, url="https://other.example/")
        assert unsettled(store) == {other}
        add(store, 200_000, follows=main)
        assert unsettled(store) == {main, other}


def test_an_import_unsettles_what_it_bears_on(tmp_path: Path, store: Store) -> None:
    with Store(tmp_path / "theirs.db") as theirs:
        witness = add(theirs, 600, asn=64501)
    with store:
        main = add(store, 0)
        judge(store)
        store.import_database(tmp_path / "theirs.db")
        assert unsettled(store) == {main, witness}


def test_analysis_judges_what_is_unsettled_and_nothing_else(store: Store) -> None:
    with store:
        add(store, 0)
        judge(store)
        (case,) = gather(store.measurements())
        kept = Verdict(
            rules_version=RULES_VERSION, status="down", rules=["x"], reasons=["Kept as it is."]
        )
        store.put_verdicts([(case.id, inputs_hash(case), kept)])
        assert [one.status for one in read_history(store, since=0, until=2 * START)] == ["down"]
        add(store, 600, asn=64501)
        found = analyse(store, since="2017-06-20", until="2017-06-20", exact=True)
        assert [one.status for one in found.readings] == ["accessible", "accessible"]
        assert unsettled(store) == set()


def test_verdicts_of_other_rules_are_judged_again(store: Store) -> None:
    with store:
        add(store, 0)
        judge(store)
        (case,) = gather(store.measurements())
        old = Verdict(rules_version="2001.1", status="blocked", certainty="likely")
        store.put_verdicts([(case.id, inputs_hash(case), old)])
        assert [one.status for one in read_history(store, since=0, until=2 * START)] == [
            "accessible"
        ]


def test_readings_stand_by_time_and_id_whatever_came_in_first(tmp_path: Path) -> None:
    def told(path: Path, order: list[tuple[float, int]]) -> list[tuple[float, int | None]]:
        with Store(path) as store:
            for when, asn in order:
                add(store, when, asn=asn)
            history = read_history(store, since=0, until=2 * START)
            return [(one.seconds, one.asn) for one in history]

    entries = [(0.0, 64500), (DAY, 64500), (60.0, 64501), (2 * DAY, 64500), (DAY, 64501)]
    forwards = told(tmp_path / "a.db", entries)
    assert forwards == told(tmp_path / "b.db", entries[::-1])
    assert forwards == sorted(forwards, key=lambda one: (one[1] or 0, one[0]))


def test_what_lies_beside_a_moment_is_found_by_corrected_time_with_what_follows(
    store: Store,
) -> None:
    with store:
        at, before = add(store, 3600), add(store, 3599)
        end = add(store, 7200)
        follow = add(store, 9000, follows=at)
        add(store, 9000, follows=before)
        add(store, 3600, url="https://other.example/")
        late = cases.measurement(
            cases.loads(),
            time=utc_text(START + 80_000),  # by a clock that is 21 hours ahead
            vantage=vantage_of(store, 64501),
            line=Line(state="up", clock_offset_us=-75_600_000_000),
        )
        put_right = store.add(late).result()
        url = f"https://{cases.NAME}/"
        found = measured_between(store, url, since=START + 3600, until=START + 7200)
        assert [one.id for one in found] == [at, put_right, follow]
        assert end not in {one.id for one in found}
