"""The timeline's layout: where bands, gaps and ticks lie, before anything is drawn."""

from itertools import pairwise

from reports.drawing import Lane, Timeline
from reports.episodes import find_episodes
from reports.incidents import incidents_of
from reports.lines import LineSpan
from reports.readings import Reading
from reports.timeline import close_up, lay_out
from tests.histories import HOUR, T0, bracket, history

DAYS = 4 * 24 * HOUR


def drawn(
    readings: list[Reading],
    *,
    lines: list[LineSpan] | None = None,
    until: float = T0 + DAYS,
    width: float = 900,
) -> Timeline:
    (incident,) = incidents_of(find_episodes(readings), readings)
    return lay_out(incident, readings, lines or [], since=T0, until=until, width=width, id="t")


def x(timeline: Timeline, hour: float) -> float:
    return round(6 + hour * HOUR * (timeline.width - 12) / DAYS, 2)


def bands(lane: Lane, kind: str) -> list[tuple[float, float]]:
    return [(b.x, round(b.x + b.width, 2)) for b in lane.bands if b.kind == kind]


def test_a_blocked_band_reaches_from_the_first_to_the_last_blocked_reading() -> None:
    timeline = drawn(history("ooobbbbooo", step=6))
    (lane,) = timeline.lanes
    assert bands(lane, "blocked") == [(x(timeline, 18), x(timeline, 36))]
    assert bands(lane, "uncertain") == [
        (x(timeline, 12), x(timeline, 18)),
        (x(timeline, 36), x(timeline, 42)),
    ]


def test_a_time_without_measurements_stays_blank_and_unbridged() -> None:
    timeline = drawn(history("oobb..............bboo", step=4))
    (lane,) = timeline.lanes
    gap = x(timeline, 20), x(timeline, 60)
    for kind in ("measured", "blocked"):
        assert not any(a < gap[1] and b > gap[0] for a, b in bands(lane, kind)), kind


def test_each_network_has_a_lane_with_its_part() -> None:
    readings = history("oobbbb") + history("oooooo", asn=64498, vantage="bbbb")
    timeline = drawn(readings)
    assert [lane.note for lane in timeline.lanes] == ["4 of 4 failed", "0 of 4 blocked"]
    assert timeline.lanes[1].y > timeline.lanes[0].y
    assert bands(timeline.lanes[1], "blocked") == []


def test_close_readings_become_ticks_and_distant_ones_glyphs() -> None:
    timeline = drawn(history("oob", step=12) + history("bbb", start=24.5, step=0.5))
    assert [mark.tick for mark in timeline.lanes[0].marks] == [False, False, True, True, True, True]


def test_the_strip_counts_measurements_per_unit_of_the_axis() -> None:
    readings = history("oooobbbbbo", step=6)
    wide, narrow = drawn(readings), drawn(readings, until=T0 + 60 * 24 * HOUR, width=348)
    assert [unit.label for unit in wide.lanes[0].units if unit.label]
    assert {unit.label for unit in narrow.lanes[0].units} == {""}
    assert sum(int(unit.label) for unit in wide.lanes[0].units) == len(readings)


def test_ticks_stand_at_the_midnights_of_utc_and_of_the_country() -> None:
    timeline = drawn(history("oobbo", step=12), until=T0 + DAYS)
    assert timeline.local_name == "Astana"
    days = {tick.label: tick.x for tick in timeline.ticks if tick.label.endswith("Jun")}
    local = {tick.label: tick.x for tick in timeline.local_ticks if tick.label.endswith("Jun")}
    assert days["20 Jun"] == x(timeline, 24)
    assert local["20 Jun"] == x(timeline, 18)


def test_labels_of_the_axis_never_overlap() -> None:
    for width in (348.0, 900.0):
        timeline = drawn(history("oobbo", step=12), until=T0 + 29 * 24 * HOUR, width=width)
        labelled = [tick for tick in timeline.ticks if tick.label]
        assert len(labelled) > 3
        ends = [(t.x - 3 * len(t.label), t.x + 3 * len(t.label)) for t in labelled]
        assert all(a[1] < b[0] for a, b in pairwise(ends))


def test_a_dead_line_is_drawn_in_its_own_lane() -> None:
    span = LineSpan(
        vantage="aaaa",
        country="KZ",
        asn=64496,
        network=None,
        states=("down",),
        begin_earliest=T0 + 60 * HOUR,
        begin_latest=T0 + 66 * HOUR,
        end_earliest=T0 + 66 * HOUR,
        end_latest=T0 + 72 * HOUR,
        rounds=1,
    )
    timeline = drawn(history("oobbo", step=6), lines=[span])
    assert bands(timeline.lanes[0], "line") == [(x(timeline, 60), x(timeline, 72))]


def test_a_long_label_leaves_room_for_the_note_on_a_phone() -> None:
    readings = history("oobbo")
    timeline = drawn(readings, width=348)
    lane = timeline.lanes[0]
    assert 7.6 * len(lane.label) + 6.4 * len(lane.note) < 348


def test_a_close_up_shows_more_than_the_bracket_and_nothing_where_there_is_none() -> None:
    (episode,) = find_episodes(history("oobbo"))
    view = close_up([episode], end=False)
    assert view is not None
    begin, finish = bracket(*view)
    assert begin is not None
    assert finish is not None
    assert begin < 2
    assert finish > 4
    (ongoing,) = find_episodes(history("bb"))
    assert close_up([ongoing], end=False) is None
    assert close_up([ongoing], end=True) is None
