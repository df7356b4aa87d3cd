"""Cases and kept verdicts: what belongs to a case, and when it is judged again."""

from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.cases import gather, inputs_hash
from reports.rules import RULES_VERSION, weight_of
from reports.verdicts import judge, judge_all
from storage.records import HelperAnswer, Line, Lookup, Step, record_id
from storage.store import Store
from tests.cases import (
    DOH,
    FORGED,
    NAME,
    NEIGHBOUR,
    RESET,
    SITE,
    START,
    TIMEOUT,
    UP,
    arms,
    case,
    connection,
    helper,
    later,
    loads,
    lookup,
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


def test_a_name_of_which_a_packet_passes_now_and_then_is_confirmed_all_the_same() -> None:
    """Two loads die in their handshake, the third one's request gets no word."""
    steps = [*loads(2, tls=TIMEOUT), lookup(attempt=2)]
    steps += connection(attempt=2, number=9, http=TIMEOUT)
    record = measurement(steps, helpers=[helper()])
    verdict = judge(case(record, contrast=arms()))
    assert (verdict.status, verdict.technique, verdict.certainty) == (
        "blocked",
        "timeout",
        "confirmed",
    )


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


FAILURES = st.sampled_from([None, TIMEOUT, RESET, "ssl_unknown_authority", "unknown_failure", "?"])
ADDRESSES = st.sampled_from([SITE, FORGED, "10.10.34.34", "2606:2800:220:1::1", "not an address"])
ATTEMPTS = st.integers(0, 2)
LOOKUPS = st.builds(
    lookup,
    st.lists(ADDRESSES, max_size=2),
    resolver=st.sampled_from(["system", "udp", DOH]),
    failure=st.sampled_from([None, "dns_nxdomain_error", "dns_temporary_failure", TIMEOUT]),
    replies=st.lists(st.lists(ADDRESSES, max_size=1), max_size=2),
    attempt=ATTEMPTS,
    hop=st.integers(0, 1),
    name=st.sampled_from([NAME, "warning.example.net", ""]),
    type=st.sampled_from(["A", "AAAA"]),
)
CONNECTIONS = st.builds(
    connection,
    address=ADDRESSES,
    name=st.sampled_from([NAME, "warning.example.net", None]),
    tcp=FAILURES,
    tls=FAILURES,
    http=FAILURES,
    status=st.sampled_from([200, 301, 403, 503, 0]),
    attempt=ATTEMPTS,
    hop=st.integers(0, 1),
    number=st.integers(1, 3),
    arm=st.sampled_from([None, None, "name@site", "neutral@site", "name@neutral"]),
    secure=st.booleans(),
)
STEPS = st.lists(st.one_of(LOOKUPS.map(lambda step: [step]), CONNECTIONS), max_size=8)
HELPERS = st.builds(
    helper,
    st.booleans(),
    answered=st.booleans(),
    layer=st.sampled_from(["dns", "tcp", "tls"]),
    failure=FAILURES.filter(bool),
)


@settings(deadline=None)  # a busy machine is no defect
@given(STEPS, STEPS, st.lists(HELPERS, max_size=2), STEPS, st.sampled_from(["http", "https"]))
def test_whatever_was_recorded_is_judged_within_what_may_be_alleged(
    steps: list[list[Step]],
    followed: list[list[Step]],
    helpers: list[HelperAnswer],
    seen: list[list[Step]],
    scheme: str,
) -> None:
    url = f"{scheme}://{NAME}/"
    record = measurement([s for part in steps for s in part], url=url, helpers=helpers)
    witness = measurement([s for part in seen for s in part], url=url, vantage=NEIGHBOUR)
    contrast = [s for part in followed for s in part]
    verdict = judge(case(record, contrast=contrast, witnesses=[witness]))
    assert (verdict.certainty in ("likely", "confirmed")) == (verdict.status == "blocked")
    assert (verdict.certainty is None) == (verdict.layer is None)
    assert (verdict.blocked_name is None) == (verdict.status != "blocked")
    assert len(verdict.rules) == len(verdict.reasons) > 0
    if verdict.status == "blocked":  # never by one helper and one's own failures alone
        alone = msgspec.structs.replace(record, helpers=helpers[:1])
        doubtless = [s for s in alone.steps if not isinstance(s, Lookup)]
        lonely = judge(case(msgspec.structs.replace(alone, steps=doubtless)))
        assert lonely.status != "blocked" or lonely.technique == "mitm"
