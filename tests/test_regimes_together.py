"""What series tell of each other: orders in a country, leaky networks, bad spells of a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from reports.episodes import Episode, find_episodes
from reports.readings import Reading
from tests.histories import HOUR
from tests.test_regimes import SITES, listed, sure, url


def noisy(seed: int, length: int = 300) -> list[str]:
    """A line of which every eighth reading fails by itself, but not about the middle of site 0."""
    rng = np.random.default_rng(seed)
    lines = ["".join("ob"[int(b)] for b in rng.random(length) < 0.12) for _ in range(SITES)]
    middle = length // 2
    lines[0] = lines[0][: middle - 10] + "o" * 20 + lines[0][middle + 10 :]
    return lines


def with_block(line: str, length: int) -> str:
    middle = len(line) // 2
    return line[:middle] + "b" * length + line[middle + length :]


def status(readings: Sequence[Reading], asn: int) -> list[str]:
    return [
        episode.status
        for episode in find_episodes(readings)
        if episode.url == url(0) and episode.asn == asn and episode.status != "possible"
    ]


@pytest.mark.parametrize(("country", "believed"), [("KZ", True), ("NL", False)])
def test_a_short_block_is_believed_where_another_network_of_the_country_blocks_too(
    country: str, believed: bool
) -> None:
    here = noisy(1)
    here[0] = with_block(here[0], 5)
    other = ["o" * 300] * SITES
    other[0] = with_block(other[0], 60)
    readings = listed(here, step=1)
    assert status(readings, 64496) == []
    readings += listed(other, step=1, asn=64497, vantage="bbbb", country=country)
    assert bool(status(readings, 64496)) is believed


def test_a_block_elsewhere_alone_makes_none() -> None:
    other = ["o" * 300] * SITES
    other[0] = with_block(other[0], 60)
    for here in (["o" * 300] * SITES, noisy(2)):
        readings = listed(here, step=1)
        readings += listed(other, step=1, asn=64497, vantage="bbbb")
        assert status(readings, 64496) == []


def onset(episodes: Sequence[Episode]) -> float:
    """How many hours wide the interval of the onset is."""
    (episode,) = [each for each in episodes if each.url == url(0)]
    assert episode.onset_p05 is not None
    assert episode.onset_p95 is not None
    return (episode.onset_p95 - episode.onset_p05) / HOUR


def test_an_unbroken_run_of_failures_has_wider_ends_on_a_network_that_leaks() -> None:
    rng = np.random.default_rng(5)
    widths = []
    for fails in (1.0, 0.6):
        lines = ["o" * 40 + "bbbb" + "o" * 76]
        for number in range(1, SITES):  # one after the other, each for twenty readings
            block = "".join("ob"[int(b)] for b in rng.random(20) < fails)
            lines.append(("o" * 5 * number + block).ljust(120, "o"))
        widths.append(onset(sure(listed(lines, step=4))))
    assert widths[0] < 4
    assert widths[1] > 6


def test_a_block_of_most_of_the_list_is_announced_at_its_third_reading() -> None:
    for read, known in ((1, 0), (3, 16)):
        lines = ["o" * 40 + "b" * read] * 16 + ["o" * (40 + read)] * 4
        assert len(sure(listed(lines))) == known


def test_a_bad_spell_of_a_short_list_is_no_block_where_one_hour_spares_all_but_one() -> None:
    spell = ("bbbbbb", "bbbobb", "bboobo", "boobob", "bobbbo", "obobob")
    assert sure(listed(["o" * 60 + each + "o" * 60 for each in spell], step=1)) == []


def test_a_bad_hour_of_a_noisy_line_does_not_hide_its_usual_rate() -> None:
    """Chance makes some hours of such a line worse than others; that alone is no bad hour."""
    lines = noisy(7)
    lines[0] = with_block(lines[0], 8)
    assert [each.url for each in sure(listed(lines, step=1))] == [url(0)]
