"""The words: headlines, brackets, unknowns and alternatives that claim no more than was seen."""

from pathlib import Path

import msgspec
import pytest

from reports.alternatives import Alternative, left_open
from reports.alternatives import alternatives as alternatives_of
from reports.analysis import analyse
from reports.content import Content, content_of
from reports.contrasts import Support
from reports.episodes import find_episodes
from reports.incidents import Incident, incidents_of
from reports.narrative import Story, tell
from reports.places import place
from reports.readings import Reading
from reports.unknowns import unknowns
from reports.wording import ENGLISH, counted
from storage.records import utc_seconds
from storage.store import Store
from tests.histories import history
from tests.month import write_month

NOTHING = Support(
    failing=3,
    others_worked=0,
    helper_answered=0,
    reached_abroad=0,
    reached_inside=0,
    experiments=0,
    name_alone=0,
    cut_elsewhere=0,
    address_known=0,
    vantages=1,
)
KZ = place("KZ")


def at(text: str) -> float:
    return utc_seconds(f"2017-{text}:00.000000Z")


def incident(readings: list[Reading]) -> Incident:
    return incidents_of(find_episodes(readings), readings)[0]


def story(readings: list[Reading], support: Support = NOTHING) -> Story:
    return tell(incident(readings), support)


def alternatives(incident: Incident, support: Support) -> list[Alternative]:
    return alternatives_of(incident, incident.episodes, support)


def on(asn: int, letters: str, **how: object) -> list[Reading]:
    return history(letters, asn=asn, vantage=f"v{asn}", **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Content:
    path = write_month(
        tmp_path_factory.mktemp("month") / "month.db", first="2017-06-18", last="2017-06-21"
    )
    with Store(path) as store:
        analysis = analyse(store, since="2017-06-18", until="2017-06-21", country="KZ", exact=True)
        return content_of(analysis, generated="2017-07-11", tool="sitewatch 0.1.0")


def test_the_headline_counts_networks_and_measurements_and_names_the_bracket(
    month: Content,
) -> None:
    assert month.headline == (
        "foreignpolicy.com is blocked on 2 of 3 networks in Kazakhstan, from 19 June 2017 between "
        "14:05 and 16:05 UTC (20:05–22:05 in Astana), and still at the last measurement, "
        "21 June 12:05 UTC (18:05 in Astana); the connection was cut off after the name was sent; "
        "36 of 36 measurements failed there in that time; other sites worked in the same minutes."
    )


def test_an_experiment_rules_out_what_the_server_could_do_itself(month: Content) -> None:
    answers = {a.question: a.answer for a in month.sections[0].episodes[0].alternatives}
    assert answers["The site was down."] == "ruled out"
    assert (
        answers["The site itself turned visitors away by their country (Kazakhstan)."]
        == "ruled out"
    )
    assert answers["The site's address failed, and not its name."] == "ruled out"
    assert answers["The volunteers' own lines were broken."] == "ruled out"
    assert answers["A filter on a volunteer's own computer or router."] == "unlikely"


def test_without_evidence_nothing_is_ruled_out() -> None:
    found = alternatives(incident(on(1, "bbb")), NOTHING)
    assert {other.answer for other in found} == {"not ruled out"}
    assert left_open(found) == "Nothing that was measured rules out 7 of these explanations."
    assert left_open([]) == "Each of these explanations is ruled out or unlikely."


def test_a_minority_of_views_from_abroad_makes_an_outage_only_unlikely() -> None:
    support = Support(**{**_fields(NOTHING), "reached_abroad": 1})
    assert alternatives(incident(on(1, "bbb")), support)[0].answer == "unlikely"


def _fields(support: Support) -> dict[str, int]:
    return {name: getattr(support, name) for name in Support.__struct_fields__}


def test_one_network_is_never_called_all_networks() -> None:
    assert "on the only measured network in Kazakhstan" in story(on(1, "obbbo")).title


def test_networks_with_too_little_data_are_counted_apart() -> None:
    told = story(on(1, "obbbbo") + on(2, "ooooo") + on(3, "o....o"))
    assert "on 1 of 2 networks" in told.headline
    assert any("Too little was measured on Network 3 (AS3)" in text for text in told.paragraphs)


def test_many_networks_are_told_in_one_sentence() -> None:
    told = story([reading for asn in range(1, 5) for reading in on(asn, "obbbo")])
    [sentence] = [text for text in told.paragraphs if "Network 4" in text]
    assert sentence.startswith("It was found blocked on Network 1 (AS1) (3 of 3 measurements), ")
    assert sentence.endswith(" and Network 4 (AS4) (3 of 3 measurements).")


def test_an_onset_without_an_earlier_open_measurement_is_at_the_latest() -> None:
    assert "at the latest from 19 June 2017 00:00 UTC" in story(on(1, "bbbo")).headline


def test_a_possible_incident_makes_no_claim() -> None:
    told = story(on(1, "osssso"))
    assert "may have been blocked" in told.title
    assert "was blocked" not in told.headline


def test_what_worked_beside_some_failures_only_is_said_so() -> None:
    support = Support(**{**_fields(NOTHING), "others_worked": 2})
    assert "in the same minutes as 2 of 3 failures" in story(on(1, "obbbo"), support).headline
    assert "same minutes" not in story(on(1, "obbbo")).headline


def test_the_unknown_names_lone_witnesses_gaps_and_who() -> None:
    lines = unknowns(incident(on(1, "oobb............bb")))
    text = "\n".join(lines)
    assert "one vantage is the only witness on Network 1 (AS1)" in text
    assert "1 gap without measurements" in text
    assert "Whether and when it ended" in text
    assert "not who" in text


def test_a_hostile_network_name_stays_one_harmless_line() -> None:
    readings = on(1, "obbbo")
    evil = [renamed(reading, "Evil\x1b[31m\n<script>") for reading in readings]
    told = story(evil)
    assert all(c.isprintable() for text in told.paragraphs for c in text)


def renamed(reading: Reading, network: str) -> Reading:
    return msgspec.structs.replace(reading, network=network)


@pytest.mark.parametrize(
    ("earliest", "latest", "text"),
    [
        (
            "06-19T15:10",
            "06-19T15:40",
            "19 June between 15:10 and 15:40 UTC (21:10–21:40 in Astana)",
        ),
        (
            "06-19T19:10",
            "06-19T19:40",
            "19 June between 19:10 and 19:40 UTC (20 June 01:10–01:40 in Astana)",
        ),
        (
            "06-19T17:10",
            "06-19T18:40",
            "19 June between 17:10 and 18:40 UTC (19 June 23:10 – 20 June 00:40 in Astana)",
        ),
        (
            "06-19T12:00",
            "06-20T00:00",
            "between 19 June 12:00 and 20 June 00:00 UTC (19 June 18:00 – 20 June 06:00 in Astana)",
        ),
    ],
)
def test_brackets_are_written_in_both_times(earliest: str, latest: str, text: str) -> None:
    assert ENGLISH.between(at(earliest), at(latest), KZ) == text


def test_a_country_without_one_obvious_time_is_written_in_utc_only() -> None:
    text = ENGLISH.between(at("06-19T15:10"), at("06-19T15:40"), place("RU"))
    assert text == "19 June between 15:10 and 15:40 UTC"
    assert place("XX").name == "XX"


def test_counts_durations_and_lists_read_like_words() -> None:
    assert (counted(1, "day"), counted(1200, "day")) == ("1 day", "1,200 days")
    duration = ENGLISH.duration
    assert duration(15 * 86400 + 3600) == "15 days 1 hour"
    assert duration(7200 + 60) == "2 hours 1 minute"
    assert duration(59) == "1 minute"
    assert ENGLISH.listed(["a", "b", "c", "d"], most=2) == "a, b and 2 others"


def test_public_reports_round_outward(tmp_path: Path) -> None:
    path = write_month(tmp_path / "m.db", first="2017-06-19", last="2017-06-20")
    with Store(path) as store:
        analysis = analyse(store, since="2017-06-19", until="2017-06-20", country="KZ")
        content = content_of(analysis, generated="2017-07-11", tool="sitewatch 0.1.0")
    assert "between 14:00 and 16:10 UTC" in content.headline
    [told] = [line for line in content.sections[0].unknowns if "only witness" in line]
    assert "on each of Altyn Telecom (AS64496) and Saryarka Online (AS64497)" in told
    (sheet,) = content.sections[0].episodes[0].sheets
    assert sheet.seconds % 600 == 0
    marks = content.sections[0].figures[0].wide.lanes[0].marks
    assert all(mark.seconds % 600 == 0 for mark in marks)
