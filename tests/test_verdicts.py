"""Cases and kept verdicts: what belongs to a case, and when it is judged again."""

from pathlib import Path

import msgspec

from reports.cases import gather, inputs_hash
from reports.rules import RULES_VERSION, weight_of
from reports.verdicts import judge, judge_all
from storage.records import Line, record_id
from storage.store import Store
from tests.cases import (
    NEIGHBOUR,
    START,
    TIMEOUT,
    UP,
    arms,
    case,
    helper,
    later,
    loads,
    measurement,
    stored,
)
from tests.month import write_month


def test_a_case_holds_its_follow_ups_and_no_one_elses() -> None:
    main = measurement(loads(1, tls=TIMEOUT))
    other = measurement(loads(1), time=later(START, 3600))
    follow = measurement(arms(), follows=record_id(main), time=later(START, 30))
    lost = measurement(arms(), follows="sha256:" + "f" * 64, time=later(START, 40))
    first, second = gather([stored(r) for r in (follow, other, lost, main)])
    assert [f.id for f in first.follow_ups] == [record_id(follow)]
    assert (first.id, second.id) == (record_id(main), record_id(other))
    assert second.follow_ups == ()


def test_witnesses_are_other_vantages_at_the_same_url_within_the_hour() -> None:
    main = measurement(loads(1))
    near = measurement(loads(1), vantage=NEIGHBOUR, time=later(START, 3599))
    far = measurement(loads(1), vantage=NEIGHBOUR, time=later(START, -3602))
    own = measurement(loads(1), time=later(START, 600))
    elsewhere = measurement(loads(1), vantage=NEIGHBOUR, url="https://other.example/")
    cases = gather([stored(r) for r in (main, near, far, own, elsewhere)])
    (found,) = [c for c in cases if c.id == record_id(main)]
    assert [w.id for w in found.witnesses] == [record_id(near)]


def test_witnesses_are_found_by_corrected_time() -> None:
    ahead = Line(state="up", ipv4=True, clock_offset_us=-7_200_000_000)
    main = measurement(loads(1))
    fast_clock = measurement(loads(1), vantage=NEIGHBOUR, time=later(START, 7200), line=ahead)
    first, _ = gather([stored(main), stored(fast_clock)])
    assert len(first.witnesses) == 1


def test_the_key_of_a_verdict_changes_with_every_input_and_not_with_their_order() -> None:
    record = measurement(loads(3, tls=TIMEOUT))
    alone, contrasted = case(record), case(record, contrast=arms())
    seen = [measurement(loads(1), vantage=NEIGHBOUR, time=later(START, n)) for n in (1, 2)]
    one, two = case(record, witnesses=seen), case(record, witnesses=seen[::-1])
    assert len({inputs_hash(c) for c in (alone, contrasted, one)}) == 3
    assert inputs_hash(one) == inputs_hash(two)


def test_all_rules_that_fire_are_named_and_the_deciding_one_stands_first() -> None:
    record = measurement(loads(3, tls=TIMEOUT), helpers=[helper()])
    verdict = judge(case(record, contrast=arms()))
    assert verdict.rules == ["tls.name-blocked", "two-witnesses"]
    assert len(verdict.reasons) == 2
    assert verdict.rules_version == RULES_VERSION


def test_weights_of_one_measurement_are_never_added() -> None:
    record = measurement(loads(3, tls=TIMEOUT), helpers=[helper()])
    assert weight_of(judge(case(record, contrast=arms()))) == 3.0
    assert weight_of(judge(case(measurement(loads(1))))) == -1.08


def test_a_hostile_name_and_issuer_enter_no_reason_with_control_characters() -> None:
    steps = loads(3, tls="ssl_unknown_authority", certificates=[])
    record = measurement(steps, url="https://{0.__class__}\x1b[31m.example/", line=UP)
    assert all(c.isprintable() for reason in judge(case(record)).reasons for c in reason)


def test_verdicts_are_kept_and_only_judged_again_when_an_input_comes(tmp_path: Path) -> None:
    path = write_month(tmp_path / "m.db", first="2017-06-19", last="2017-06-19")
    with Store(path) as store:
        everything = list(store.measurements())
        without = gather([m for m in everything if m.record.follows is None])
        first = judge_all(store, without)
        assert "confirmed" not in {verdict.certainty for verdict in first.values()}
        marked = {
            c.id: (inputs_hash(c), msgspec.structs.replace(first[c.id], reasons=["kept"]))
            for c in without
        }
        store.put_verdicts((id, key, verdict) for id, (key, verdict) in marked.items())
        again = judge_all(store, without)
        assert {tuple(verdict.reasons) for verdict in again.values()} == {("kept",)}
        complete = judge_all(store, gather(everything))
        judged = [v for v in complete.values() if v.reasons != ["kept"]]
        assert {verdict.certainty for verdict in judged} == {"confirmed"}
