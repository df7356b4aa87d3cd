"""Incidents: which episodes belong together, which networks had which part, and cut lines."""

import msgspec
import pytest

from reports.episodes import find_episodes
from reports.incidents import Incident, incidents_of, named, outages_of
from reports.lines import RoundMark, line_spans
from reports.readings import Reading
from storage.records import LineState
from tests.histories import HOUR, T0, bracket, history


def incidents(readings: list[Reading]) -> list[Incident]:
    return incidents_of(find_episodes(readings), readings)


def on(asn: int, letters: str, **how: object) -> list[Reading]:
    return history(letters, asn=asn, vantage=f"v{asn}", **how)  # type: ignore[arg-type]


def marks(states: str, asn: int = 64496) -> list[RoundMark]:
    names: dict[str, LineState] = {"u": "up", "d": "down", "f": "foreign-cut", "w": "whitelisted"}
    return [
        RoundMark(
            id=f"{asn}-{n}",
            seconds=T0 + 2 * n * HOUR,
            vantage=f"v{asn}",
            country="KZ",
            asn=asn,
            state=names[state],
        )
        for n, state in enumerate(states)
    ]


def test_episodes_on_two_networks_are_one_incident_with_every_networks_part() -> None:
    readings = on(1, "obbbbo") + on(2, "oobbbo") + on(3, "oooooo") + on(4, "o....o")
    (incident,) = incidents(readings)
    assert [part.part for part in incident.networks] == [
        "blocked",
        "blocked",
        "not-blocked",
        "too-little",
    ]
    assert bracket(incident.onset_earliest, incident.onset_latest) == (0, 2)
    assert bracket(incident.end_earliest, incident.end_latest) == (8, 10)
    assert incident.techniques == {"tls.timeout": 7}
    episodes = named(incident.episodes, [incident])
    assert {episode.incident for episode in episodes} == {incident.id}


def test_the_http_and_https_rows_of_a_host_share_an_incident() -> None:
    readings = on(1, "obbo") + on(1, "obbo", url="http://foreignpolicy.com/")
    (incident,) = incidents(readings)
    assert len(incident.episodes) == 2
    assert [part.failing for part in incident.networks] == [4]


def test_countries_and_hosts_are_kept_apart() -> None:
    other = on(2, "obbo", country="KG") + on(3, "obbo", url="https://other.example/")
    assert len(incidents(on(1, "obbo") + other)) == 3


def test_episodes_days_apart_are_two_incidents() -> None:
    assert len(incidents(on(1, "obboo............................obboo"))) == 2


def test_an_incident_is_ongoing_while_one_network_blocks() -> None:
    (incident,) = incidents(on(1, "obbo") + on(2, "obbbbb"))
    assert (incident.status, incident.end_latest) == ("ongoing", None)


def test_suspicions_make_a_possible_incident_of_their_own() -> None:
    found = incidents(on(1, "obbbbo") + on(2, "osssso"))
    assert [incident.status for incident in found] == ["ended", "possible"]
    assert next(part.part for part in found[1].networks) == "possible"


def test_an_incidents_id_is_the_hash_of_host_country_and_day() -> None:
    (one,) = incidents(on(1, "obbo"))
    (again,) = incidents(on(2, "oobbo", start=1))
    (next_day,) = incidents(on(1, "obbo", start=26))
    assert one.id == again.id != next_day.id


def test_a_dead_line_is_a_gap_and_a_cut_one_an_outage() -> None:
    spans = line_spans(marks("uudduffu"))
    assert [(span.is_outage, span.rounds) for span in spans] == [(False, 2), (True, 2)]
    assert bracket(spans[0].begin_earliest, spans[0].begin_latest) == (2, 4)
    assert bracket(spans[0].end_earliest, spans[0].end_latest) == (6, 8)
    assert len(outages_of(spans)) == 1


def test_cuts_of_several_networks_at_once_are_one_outage() -> None:
    spans = line_spans(marks("uffu", 1) + marks("uwwu", 2) + marks("uuuuuuuufu", 3))
    assert [len(outage.spans) for outage in outages_of(spans)] == [2, 1]


def test_lines_that_all_go_down_together_are_a_national_cut() -> None:
    together = line_spans(marks("uuddduu", 1) + marks("uudddduu", 2))
    assert [len(outage.spans) for outage in outages_of(together)] == [2]


@pytest.mark.parametrize(
    "others",
    [
        marks("uuuuuuu", 2),  # one that stayed up
        marks("udddduu", 2),  # one that went down at another time
        marks("uudduuu", 2) + marks("uuuuuuu", 3),
        [],
    ],
)
def test_lines_that_are_down_by_themselves_are_no_cut(others: list[RoundMark]) -> None:
    assert outages_of(line_spans(marks("uuddduu", 1) + others)) == []


def test_the_rows_of_a_redirect_are_one_incident_named_by_what_is_blocked() -> None:
    blocked = [
        msgspec.structs.replace(one, blocked_name="www.site.example" if one.is_blocked else None)
        for url in ("http://site.example/", "https://site.example/", "https://short.example/")
        for one in on(1, "obbbbo", url=url)
    ]
    (incident,) = incidents(blocked + on(1, "obbbbo", url="https://www.site.example/"))
    assert incident.host == "www.site.example"
    assert incident.hosts == ("short.example", "site.example", "www.site.example")
    assert [(part.part, part.failing) for part in incident.networks] == [("blocked", 16)]


def test_a_line_that_stays_down_has_no_end() -> None:
    (span,) = line_spans(marks("dd"))
    assert (span.begin_earliest, span.end_latest) == (None, None)
