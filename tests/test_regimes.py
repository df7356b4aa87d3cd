"""The model of regimes: against brute force, and against noise that only looks like blocking."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from bench.episodes import readings_of, score_episodes
from bench.histories import SCENARIOS, simulate
from reports.episodes import Episode, find_episodes
from reports.history import History
from reports.readings import Reading
from reports.regime_model import DAY, Model
from reports.regime_runs import runs_of
from reports.regimes import regimes_of
from reports.verdict_arrays import LIKELY, OPEN, VerdictArrays
from tests.histories import HOUR, bracket, history

SITES = 20


def url(number: int) -> str:
    return f"https://site-{number}.example/"


def listed(letters: Sequence[str], *, step: float = 2, **how: object) -> list[Reading]:
    """The histories of several sites of one line, all `likely`, one string per site."""
    return [
        reading
        for number, own in enumerate(letters)
        for reading in history(own, url=url(number), certainty="likely", step=step, **how)  # type: ignore[arg-type]
    ]


def sure(readings: list[Reading]) -> list[Episode]:
    return [episode for episode in find_episodes(readings) if episode.status != "possible"]


# --- the arithmetic ------------------------------------------------------------------------------


def by_enumeration(kinds: Sequence[int], seconds: Sequence[float], stray: float) -> list[float]:
    """P(blocked) of each reading by summing over every path of states: slow and plain."""
    model = Model()
    fails = [max(stray, model.least_likely), *(1 - opens for opens in model.opens)]
    start = [1 - sum(model.at_first), *model.at_first]
    totals = np.zeros((len(kinds), 4))
    for path in product(range(4), repeat=len(kinds)):
        weight = start[path[0]]
        for position, state in enumerate(path):
            if position:
                days = (seconds[position] - seconds[position - 1]) / DAY
                weight *= step(model, path[position - 1], state, days)
            weight *= fails[state] if kinds[position] == LIKELY else 1 - fails[state]
        for position, state in enumerate(path):
            totals[position, state] += weight
    return [float(1 - row[0] / row.sum()) for row in totals]


def step(model: Model, before: int, after: int, days: float) -> float:
    def moved(state: int) -> float:
        total = model.onset + model.end[state - 1]
        return float((1 - np.exp(-total * days)) / total)

    into = {state: model.onset * model.share[state - 1] * moved(state) for state in (1, 2, 3)}
    if before == 0:
        return 1 - sum(into.values()) if after == 0 else into[after]
    ended = model.end[before - 1] * moved(before)
    return {0: ended, before: 1 - ended}.get(after, 0.0)


@pytest.mark.parametrize("letters", ["oobboo", "obobbb", "bbbooo", "oooooo", "bobobo"])
def test_forward_and_backward_equal_the_sum_over_all_paths(letters: str) -> None:
    # Intervals that fall on the steps of the table, so that only rounding is left.
    interval = float(np.exp(np.round(np.log(2 * HOUR) * 12) / 12))
    kinds = np.array([LIKELY if letter == "b" else OPEN for letter in letters], dtype=np.int8)
    data = VerdictArrays(
        series=np.zeros(len(kinds), dtype=np.int64),
        seconds=(np.arange(len(kinds)) * interval).astype(np.float64),
        vantage=np.zeros(len(kinds), dtype=np.int64),
        kind=kinds,
        site=np.zeros(1, dtype=np.int64),
        network=np.zeros(1, dtype=np.int64),
        country=np.zeros(1, dtype=np.int64),
    )
    # Nothing is learnt: the priors weigh as much as a billion readings.
    fixed = Model(
        stray=0.01, stray_readings=1e9, site_readings=1e9, leaky_onsets=1e9, leaky_readings=1e9
    )
    found = regimes_of(data, fixed).blocked
    wanted = by_enumeration(kinds.tolist(), data.seconds.tolist(), 0.01)
    if "b" in letters:
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-9)
    else:
        assert not found.any()


def arrays_of(groups: Sequence[Sequence[Reading]]) -> VerdictArrays:
    return History.of([one for group in groups for one in group]).data


def test_series_of_different_lengths_do_not_disturb_each_other() -> None:
    texts = ["oobbboo", "o", "bbbbbbbbbbbb", "ooooooooooobbb", "ob"]
    together = arrays_of(
        [history(t, url=url(n), asn=n + 1, vantage=t) for n, t in enumerate(texts)]
    )
    blocked = regimes_of(together).blocked
    for number, text in enumerate(texts):
        single = regimes_of(arrays_of([history(text, url=url(number), vantage=text)])).blocked
        assert blocked[together.series == number] == pytest.approx(single, rel=1e-9)


def test_nothing_at_all_gives_nothing() -> None:
    empty = arrays_of([])
    assert runs_of(empty, regimes_of(empty)) == []


# --- noise that is shared ------------------------------------------------------------------------


def test_a_bad_hour_of_the_line_is_no_block() -> None:
    assert sure(listed(["o" * 20 + "bb" + "o" * 20] * SITES)) == []


def test_random_failures_of_a_broken_day_are_no_block() -> None:
    rng = np.random.default_rng(3)
    days = ["".join("ob"[int(b)] for b in rng.random(12) < 0.9) for _ in range(SITES)]
    assert sure(listed(["o" * 20 + day + "o" * 20 for day in days])) == []


def test_a_line_on_which_everything_fails_for_a_day_is_no_block() -> None:
    assert sure(listed(["o" * 20 + "b" * 12 + "o" * 20] * SITES)) == []


@pytest.mark.parametrize("blocked", [1, 8, 16])
def test_a_block_of_one_of_two_fifths_or_of_most_of_the_list_is_found(blocked: int) -> None:
    block = ["o" * 20 + "b" * 6 + "o" * 20] * blocked
    episodes = sure(listed([*block, *["o" * 46] * (SITES - blocked)]))
    assert sorted(episode.url for episode in episodes) == sorted(url(n) for n in range(blocked))
    for episode in episodes:
        onset = bracket(episode.onset_earliest, episode.onset_latest)
        end = bracket(episode.end_earliest, episode.end_latest)
        if blocked < SITES / 2:
            assert (onset, end) == ((38, 40), (50, 52))
        else:  # the outermost failures might still be a bad hour, and the brackets say so
            assert onset in ((38, 40), (38, 42), (38, 44))
            assert end in ((50, 52), (48, 52), (46, 52))


def test_a_vantage_that_often_fails_needs_more_to_be_believed() -> None:
    rng = np.random.default_rng(4)
    noisy = ["".join("ob"[int(b)] for b in rng.random(400) < 0.12) for _ in range(SITES)]
    assert sure(listed(noisy)) == []
    noisy[0] = noisy[0][:200] + 20 * "b" + noisy[0][220:]
    assert [episode.url for episode in sure(listed(noisy))] == [url(0)]


def test_a_vantage_alone_among_those_of_its_network_is_not_believed() -> None:
    alone = listed(["o" * 20 + "b" * 12 + "o" * 20])
    others = [listed(["o" * 52], vantage=name) for name in ("bbbb", "cccc")]
    assert sure(alone)
    assert sure(alone + others[0] + others[1]) == []


def test_two_vantages_that_disagree_outvote_nobody() -> None:
    here = listed(["o" * 20 + "b" * 12 + "o" * 20])
    other = listed(["o" * 52], vantage="bbbb", start=1)
    (episode,) = sure(here + other)
    assert episode.disagreement
    assert (episode.failing, episode.vantages) == (12, 1)


def test_a_vantage_that_misreads_several_sites_is_not_believed_against_one_other() -> None:
    here = listed(["o" * 20 + "b" * 12 + "o" * 20] * 5 + ["o" * 52] * 15)
    other = listed(["o" * 52] * 20, vantage="bbbb", start=1)
    assert sure(here + other) == []


def test_the_http_and_https_rows_of_a_host_do_not_excuse_each_other() -> None:
    both = [f"{scheme}://site.example/" for scheme in ("http", "https")]
    readings = [
        one
        for place, name in enumerate(both)
        for one in history("oooobbbbooo", url=name, step=4, start=place / 60, certainty="likely")
    ]
    assert [episode.url for episode in sure(readings)] == both


def test_a_site_that_is_down_elsewhere_is_not_blocked_here() -> None:
    here = listed(["o" * 20 + "bb" + "o" * 20])
    elsewhere = listed(["o" * 20 + "dd" + "o" * 20], asn=64497, vantage="bbbb")
    assert sure(here)
    assert sure(here + elsewhere) == []


def test_a_site_that_fails_on_reference_vantages_too_is_not_blocked() -> None:
    here = listed(["o" * 20 + "bb" + "o" * 20])
    reference = listed(["o" * 20 + "bb" + "o" * 20], kind="reference", vantage="rrrr", country="NL")
    assert sure(here + reference) == []


# --- what is said of it --------------------------------------------------------------------------


def test_a_leaky_block_is_one_episode() -> None:
    (episode,) = sure(listed(["o" * 60 + "bobbobobbboobbobbb" + "o" * 60]))
    assert episode.strays == 6
    assert episode.onset_earliest is not None
    assert episode.onset_p05 is not None
    assert episode.onset_earliest <= episode.onset_p05 < episode.onset_latest


def test_a_failure_at_the_very_end_is_possible_until_more_is_known() -> None:
    told = {}
    for end in ("b", "bb", "bo"):
        found = find_episodes(listed(["o" * 200 + end], step=0.5))
        told[end] = [episode.status for episode in found]
    assert told == {"b": ["possible"], "bb": ["ongoing"], "bo": []}


def test_a_failure_of_which_the_model_is_not_sure_is_possible() -> None:
    found = [find_episodes(listed(["o" * 12 + "b" + "o" * 12], step=step)) for step in (1, 4, 12)]
    assert [[e.status for e in each] for each in found] == [[], ["possible"], ["ended"]]


def test_the_interval_lies_inside_the_bracket_and_leaves_out_its_edges() -> None:
    (episode,) = sure(listed(["o" * 60 + "b" * 30 + "o" * 60]))
    onset = (episode.onset_earliest, episode.onset_p05, episode.onset_p95, episode.onset_latest)
    end = (episode.end_earliest, episode.end_p05, episode.end_p95, episode.end_latest)
    for times in (onset, end):
        known = [time for time in times if time is not None]
        assert len(set(known)) == 4
        assert known == sorted(known)


def test_late_data_give_what_they_would_have_given_in_time() -> None:
    early = listed(["o" * 20 + "." * 8 + "o" * 20, "o" * 48])
    late = listed(["." * 20 + "b" * 8])
    assert sure(early) == []
    assert len(sure(early + late)) == 1
    assert find_episodes(late + early) == find_episodes(early + late)


def test_only_the_urls_asked_for_are_reported_and_all_tell_about_noise() -> None:
    readings = listed(["o" * 20 + "bb" + "o" * 20] * SITES)
    assert find_episodes(readings, urls=[url(0)]) == []
    assert find_episodes([r for r in readings if r.url == url(0)]) != []


# --- the benchmark, in small ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["4-hourly, 30 % offline", "40 % at once for a day"],
)
def test_simulated_histories_give_their_blocks_and_little_else(name: str) -> None:
    (scenario,) = [each for each in SCENARIOS if each.name == name]
    history = simulate(scenario, seed=5)
    score = score_episodes(history, find_episodes(readings_of(history)))
    assert score.blocks > 10
    assert score.recall >= 0.93
    assert score.false <= 1
    assert np.mean(score.hard) >= 0.93
    assert np.mean(score.credible) >= 0.75
