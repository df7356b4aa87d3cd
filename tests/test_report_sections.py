"""Sections of reports: the matrix, the contrast, simultaneity and dense lanes, from readings."""

from __future__ import annotations

import msgspec
import pytest

from reports.beside import beside
from reports.contrasts import Support
from reports.episodes import find_episodes
from reports.history import History
from reports.incidents import Incident, incidents_of
from reports.ledger import Ledger
from reports.matrix import matrix_of
from reports.page import columns, runs
from reports.readings import Reading
from reports.simultaneity import together
from reports.timeline import MOST_MARKS, MOST_NUMBERS, lay_out
from reports.unknowns import unknowns
from tests.histories import HOUR, T0, history

SUPPORT = Support(
    failing=4,
    others_worked=4,
    helper_answered=4,
    reached_abroad=3,
    reached_inside=0,
    experiments=0,
    name_alone=0,
    cut_elsewhere=0,
    address_known=0,
    vantages=2,
)


def on(asn: int, letters: str, **how: object) -> list[Reading]:
    return history(letters, asn=asn, vantage=f"v{asn}", **how)  # type: ignore[arg-type]


def incidents(readings: list[Reading]) -> list[Incident]:
    past = History.of(readings)
    return incidents_of(find_episodes(past), past)


def incident(readings: list[Reading]) -> Incident:
    (found,) = incidents(readings)
    return found


def test_the_matrix_counts_techniques_and_keeps_the_thin_networks_apart() -> None:
    changed = [
        msgspec.structs.replace(reading, technique="reset") if position > 2 else reading
        for position, reading in enumerate(on(1, "obbbbo"))
        if reading.status == "blocked" or position in (0, 5)
    ]
    matrix = matrix_of(incident(changed + on(2, "oooooo") + on(3, "o....o")))
    assert set(matrix.paths) == {"tls.timeout", "tls.reset"}
    assert [(row.part, row.failing, row.measurements) for row in matrix.rows] == [
        ("blocked", 4, 4),
        ("not-blocked", 0, 4),
        ("too-little", 0, 0),
    ]
    assert sum(matrix.rows[0].counts) == 4
    assert matrix.rows[1].counts == (0, 0)


def test_what_answered_beside_is_counted_where_and_while_the_site_was_blocked() -> None:
    other = on(1, "oooooo", url="https://open.example/")
    broken = on(1, "oddddo", url="https://broken.example/")
    elsewhere = on(2, "oooooo", url="https://elsewhere.example/")
    readings = on(1, "obbbbo") + other + broken + elsewhere + on(2, "oooooo")
    found = beside(incidents(readings)[0], SUPPORT, Ledger(History.of(readings)))
    assert [(site.host, site.opened, site.measured) for site in found.sites] == [
        ("open.example", 4, 4),
        ("broken.example", 0, 4),
    ]
    text = " ".join(found.sentences)
    assert "2 other sites were measured in that time; 1 of them answered in every" in text
    assert "1 network did not block the site: Network 2 (AS2) (4 measurements)." in text
    assert "In the minutes of 3 of 4 failing measurements the site was reached from abroad." in text


def test_without_contrast_it_is_said_so() -> None:
    readings = on(1, "obbbbo")
    none = msgspec.structs.replace(SUPPORT, reached_abroad=0)
    text = " ".join(beside(incident(readings), none, Ledger(History.of(readings))).sentences)
    assert "No other site was measured" in text
    assert "No measured network is known that did not block" in text
    assert "No view from abroad" in text


def test_brackets_that_overlap_could_be_one_moment_and_nobody_is_named() -> None:
    readings = on(1, "oobbbboo") + on(2, "oobbbboo", start=0.5)
    text = " ".join(together(incident(readings), []))
    assert "The brackets of the onset overlap on 2 networks: 19 June 2017 between 02:30" in text
    assert "The brackets of the end overlap on 2 networks" in text
    assert "The technique was the same on all of them" in text
    assert "this report claims none of them" in text


def test_brackets_apart_are_told_with_their_least_and_most_distance() -> None:
    readings = on(1, "oobbbbbbbboo") + on(2, "ooooooobbbbb")
    text = " ".join(together(incident(readings), []))
    assert "lay at least 8 hours and at most 12 hours" in text
    assert "On 1 network nobody saw the end; it is left out" in text


def test_one_network_alone_is_compared_with_nothing() -> None:
    assert together(incident(on(1, "obbbbo")), []) == []


def test_other_sites_that_began_at_the_same_time_are_named() -> None:
    url = "https://neighbour.example/"
    readings = on(1, "oobbbboo") + on(2, "oobbbboo")
    readings += on(1, "oobbbboo", url=url) + on(2, "oobbbboo", url=url)
    both = incidents(readings)
    about = next(one for one in both if one.host == "foreignpolicy.com")
    assert "1 other site may have begun to be blocked at the same time: neighbour.example." in (
        together(about, both)
    )


def test_a_located_hop_is_no_longer_unknown() -> None:
    about = incident(on(1, "obbbbo"))
    assert any("hop was not located on Network 1" in line for line in unknowns(about))
    located = unknowns(about, located={"Network 1 (AS1)"})
    assert not any("hop was not located" in line for line in located)


@pytest.mark.parametrize("count", [MOST_MARKS, MOST_MARKS + 1])
def test_a_lane_with_too_many_measurements_shows_shares_of_units(count: int) -> None:
    letters = "o" * (count - 60) + "b" * 60
    readings = on(1, letters, step=1)
    until = T0 + count * HOUR
    timeline = lay_out(incident(readings), readings, [], since=T0, until=until, width=900, id="t")
    (lane,) = timeline.lanes
    assert lane.is_dense == (count > MOST_MARKS)
    assert len(lane.marks) == (0 if lane.is_dense else count)
    assert sum(unit.measured for unit in lane.units) == count
    assert sum(unit.failing for unit in lane.units) == 60


def test_columns_of_equal_height_are_drawn_as_one() -> None:
    readings = on(1, "o" * 120 + "b" * 120, step=1)
    until = T0 + 240 * HOUR
    timeline = lay_out(incident(readings), readings, [], since=T0, until=until, width=900, id="t")
    units = timeline.lanes[0].units
    assert len(units) == 20
    assert columns(units, 50, "share") == "M450.0 50v-26h444.0v26z"
    assert columns(units, 50, "height").count("M") == 1
    assert runs(units) == "0,10,12,0;10,10,12,12;"


def test_more_units_than_numbers_are_drawn_as_bars() -> None:
    readings = on(1, "o" * 300 + "b" * 65, step=24)
    until = T0 + 365 * 24 * HOUR
    timeline = lay_out(incident(readings), readings, [], since=T0, until=until, width=900, id="t")
    units = timeline.lanes[0].units
    assert len(units) > MOST_NUMBERS
    assert not any(unit.label for unit in units)
