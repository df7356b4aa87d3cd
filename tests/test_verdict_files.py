"""What `sitewatch episodes --from-verdicts` makes of small files that people write by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sitewatch.cli import group

START = datetime(2017, 6, 19, tzinfo=UTC)
HEADER = "time,url,country,asn,status,layer,technique,certainty,vantage"
SITE = "https://foreignpolicy.com/"
VERDICTS = {
    "o": "accessible,,,",
    "r": "restricted,,,",
    "d": "down,,,",
    "x": "offline,,,",
    "i": "inconclusive,,,",
    "s": "inconclusive,tls,timeout,suspected",
    "b": "blocked,tls,timeout,",  # taken as likely
    "c": "blocked,tls,timeout,confirmed",
}


def rows(
    letters: str,
    *,
    step: float = 4,
    start: float = 0,
    url: str = SITE,
    asn: str = "9198",
    country: str = "KZ",
    vantage: str = "",
) -> list[str]:
    """Return rows `step` hours apart, one per letter of VERDICTS; a dot is no row."""
    return [
        f"{_time(start + step * place)},{url},{country},{asn},{how},{vantage}"
        for place, letter in enumerate(letters)
        if letter != "."
        for how in [VERDICTS[letter]]
    ]


def _time(hours: float) -> str:
    return (START + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def document(folder: Path, lines: Sequence[str]) -> dict[str, Any]:
    file = folder / "verdicts.csv"
    file.write_text("\n".join([HEADER, *lines]) + "\n")
    result = CliRunner().invoke(group, ["episodes", "--from-verdicts", str(file), "--json"])
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def brief(folder: Path, lines: Sequence[str]) -> list[tuple[object, ...]]:
    """Return status, certainty, and the brackets in hours since the start, of each episode."""
    names = ("onset_earliest", "onset_latest", "end_earliest", "end_latest")
    return [
        (one["status"], one["certainty"], *(_hours(one[name]) for name in names))
        for one in document(folder, lines)["episodes"]
    ]


def _hours(text: str | None) -> float | None:
    return None if text is None else (datetime.fromisoformat(text) - START) / timedelta(hours=1)


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("failing", [3, 6])
def test_a_clean_block_lies_between_the_open_rows_around_it(
    tmp_path: Path, step: float, failing: int
) -> None:
    found = brief(tmp_path, rows("oooooo" + failing * "b" + "oooooo", step=step))
    brackets = (5 * step, 6 * step, (5 + failing) * step, (6 + failing) * step)
    assert found == [("ended", "likely", *brackets)]


@pytest.mark.parametrize(
    ("letters", "wanted"),
    [
        ("oooocoooo", [("ended", "confirmed", 12, 16, 16, 20)]),
        ("c", [("ongoing", "confirmed", None, 0, None, None)]),
        ("ooooboooo", [("possible", "likely", 12, 16, 16, 20)]),  # not surely more than chance
        ("oooosssoooo", [("possible", "suspected", 12, 16, 24, 28)]),
        ("oooosoooo", []),
        ("oooo", []),
        ("oooobbb", [("ongoing", "likely", 12, 16, None, None)]),
        ("bbbooo", [("ended", "likely", None, 0, 8, 12)]),
        ("bbb", [("ongoing", "likely", None, 0, None, None)]),
        ("ooobibxbsbooo", [("ended", "likely", 8, 12, 36, 40)]),
        ("ooosbbbsooo", [("ended", "likely", 8, 16, 24, 32)]),
        ("oooxbbbxooo", [("ended", "likely", 8, 16, 24, 32)]),
        ("oooodddoooo", []),
        ("rrrbbbbrrr", [("ended", "likely", 8, 12, 24, 28)]),
        ("ooobbrbbooo", [("ended", "likely", 8, 12, 28, 32)]),
    ],
)
def test_what_one_vantage_saw(
    tmp_path: Path, letters: str, wanted: list[tuple[object, ...]]
) -> None:
    assert brief(tmp_path, rows(letters)) == wanted


def test_days_without_rows_inside_a_block_are_a_gap_that_is_told(tmp_path: Path) -> None:
    (episode,) = document(tmp_path, rows("oooobbb" + 20 * "." + "bbboooo"))["episodes"]
    assert episode["gaps"] == [["2017-06-20T00:00:00Z", "2017-06-23T12:00:00Z"]]
    assert any("not bridged" in reason for reason in episode["reasons"])


def test_two_networks_are_two_episodes_of_one_incident(tmp_path: Path) -> None:
    lines = rows("oooobbbbooo") + rows("ooooobbbboo", asn="21299")
    first, second = document(tmp_path, lines)["episodes"]
    assert (first["asn"], second["asn"]) == (9198, 21299)
    assert first["incident"] == second["incident"]


def test_the_rows_of_http_and_https_are_two_episodes_of_one_incident(tmp_path: Path) -> None:
    lines = rows("oooobbbbooo") + rows("oooobbbbooo", url="http://foreignpolicy.com/", start=0.1)
    found = document(tmp_path, lines)["episodes"]
    assert len(found) == 2
    assert len({one["incident"] for one in found}) == 1


def test_a_bracket_holds_all_rows_on_which_vantages_disagree(tmp_path: Path) -> None:
    lines = rows("oooobbbbooo", vantage="a") + rows("ooooobbbooo", start=1, vantage="b")
    (episode,) = document(tmp_path, lines)["episodes"]
    # One read it blocked at 16 h and the other open at 17 h: between 13 and 20 h it began.
    assert (_hours(episode["onset_earliest"]), _hours(episode["onset_latest"])) == (13, 20)
    assert episode["vantages"] == 2
    assert any("disagreed" in reason for reason in episode["reasons"])


def test_vantages_of_an_unknown_network_are_not_pooled(tmp_path: Path) -> None:
    lines = rows("oooobbbbooo", asn="", vantage="a") + rows("ooooooooooo", asn="", vantage="b")
    assert brief(tmp_path, lines) == [("ended", "likely", 12, 16, 28, 32)]


def test_repeated_shuffled_and_shifted_rows_say_the_same(tmp_path: Path) -> None:
    plain = rows("oooobbbbooo") + rows("ooooobbbboo", asn="21299")
    odd = [*plain, *plain[:7]]
    random.Random(1).shuffle(odd)
    almaty = timezone(timedelta(hours=6))
    for place, line in enumerate(odd):
        time, rest = line.split(",", 1)
        odd[place] = f"{datetime.fromisoformat(time).astimezone(almaty).isoformat()},{rest}"
    names = ("id", "incident", "onset_earliest", "onset_latest", "end_latest", "measurements")
    told = [
        [{name: one[name] for name in names} for one in document(tmp_path, lines)["episodes"]]
        for lines in (plain, odd)
    ]
    assert told[0] == told[1]


def test_a_site_that_fails_everywhere_at_once_is_blocked_nowhere(tmp_path: Path) -> None:
    countries = enumerate(("KZ", "KG", "UZ", "TJ"))
    lines = [
        row
        for number, country in countries
        for row in rows("oooobbbbooo", country=country, asn=str(64500 + number))
    ]
    assert brief(tmp_path, lines) == []


def test_a_line_on_which_the_whole_list_fails_is_no_block_of_any_site(tmp_path: Path) -> None:
    lines = [
        row
        for site in range(10)
        for row in rows("oooooobbboooooo", url=f"https://site{site}.example/", start=site / 60)
    ]
    assert [one for one in brief(tmp_path, lines) if one[0] != "possible"] == []


def test_a_country_whose_lines_all_go_down_has_an_outage_and_no_block(tmp_path: Path) -> None:
    lines = [
        row
        for number in range(3)
        for site in range(4)
        for row in rows("ooooxxxxoooo", asn=str(64500 + number), url=f"https://site{site}.example/")
    ]
    told = document(tmp_path, lines)
    assert told["episodes"] == []
    (outage,) = told["outages"]
    assert outage["country"] == "KZ"
    assert [one["rounds"] for one in outage["networks"]] == [4, 4, 4]
    assert {one["begin_latest"] for one in outage["networks"]} == {"2017-06-19T16:00:00Z"}
    assert {one["end_latest"] for one in outage["networks"]} == {"2017-06-20T08:00:00Z"}
