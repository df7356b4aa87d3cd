"""Measure the detector of episodes against a known truth and against other detectors.

    python -m bench.episodes                  one seed, all scenarios; under two minutes
    python -m bench.episodes --seeds 3        what docs/accuracy.md prints
    python -m bench.episodes --only leaky     scenarios whose name holds the word
    python -m bench.episodes --scale          5,000,000 verdicts in 7,000 series

The detector is asked as reports ask it, by `find_episodes`. A block counts for recall where at
least three failing readings lie inside; it is found if an episode overlaps it. An episode that
overlaps no true block is false. Rivals are tuned to the lowest threshold with at most 0.05 false
episodes per series and year over all scenarios, or the least that they reach.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from bench.histories import DAY, SCENARIOS, Block, History, Scenario, simulate
from bench.rivals import RIVALS, Call
from bench.scale import from_arrays
from reports.episodes import Episode, find_episodes
from reports.readings import Reading
from reports.regime_runs import SURE, runs_of
from reports.regimes import regimes_of
from reports.verdict_arrays import DOWN, LIKELY, OPEN, SUSPECTED, VerdictArrays

TOLERATED = 0.05
ONLINE_LIMIT = 16  # readings inside a block; later than that is too late to be counted exactly
ONLINE_BLOCKS = 4  # per history


@dataclass
class Score:
    """Sums over histories; the lists hold one entry per end, or per block announced."""

    blocks: int = 0
    found: int = 0
    false: int = 0
    years: float = 0.0
    pieces: int = 0
    hard: list[bool] = field(default_factory=list)
    credible: list[bool] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / self.blocks if self.blocks else float("nan")

    @property
    def false_rate(self) -> float:
        return self.false / self.years

    def add(self, other: Score) -> None:
        for name in ("blocks", "found", "false", "years", "pieces"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("hard", "credible", "delays"):
            getattr(self, name).extend(getattr(other, name))


def readings_of(history: History) -> list[Reading]:
    """Return the history's readings as the store would give them."""
    data, sites = history.data, history.scenario.sites
    how = {OPEN: "accessible", DOWN: "down", SUSPECTED: "inconclusive", LIKELY: "blocked"}
    says = {SUSPECTED: "suspected", LIKELY: "likely"}
    columns = zip(
        data.series.tolist(),
        data.seconds.tolist(),
        data.vantage.tolist(),
        data.kind.tolist(),
        strict=True,
    )
    return [
        Reading(
            id=str(number),
            url=f"https://site-{series % sites}.example/",
            host=f"site-{series % sites}.example",
            seconds=seconds,
            vantage=str(vantage),
            country="AB"[int(data.country[series])] * 2,
            asn=64500 + series // sites,
            status=how[kind],  # type: ignore[arg-type]
            certainty=says.get(kind),  # type: ignore[arg-type]
        )
        for number, (series, seconds, vantage, kind) in enumerate(columns)
    ]


def scoreable(history: History) -> Iterator[tuple[int, Block, bool]]:
    """Yield each true block with its series, and whether three failing readings lie inside."""
    starts = history.data.starts()
    for block in history.truth:
        series = history.series_of(block)
        rows = slice(starts[series], starts[series + 1])
        seconds = history.data.seconds[rows]
        inside = (seconds >= block.onset) & (seconds < block.end)
        yield series, block, int((inside & (history.data.kind[rows] == LIKELY)).sum()) >= 3


def score_calls(history: History, calls: Sequence[Call]) -> Score:
    """Score what a rival, or the model on single series, called blocked."""
    score = Score(years=history.series_years)
    by_series: dict[int, list[Call]] = {}
    for call in calls:
        by_series.setdefault(call.series, []).append(call)
    true: set[Call] = set()
    starts = history.data.starts()
    for series, block, counts in scoreable(history):
        hits = [c for c in by_series.get(series, []) if c.begin < block.end and c.end > block.onset]
        true.update(hits)
        score.blocks += counts
        score.found += counts and bool(hits)
        if counts and hits:
            seconds = history.data.seconds[starts[series] : starts[series + 1]]
            until = hits[0].announced
            score.delays.append(int(((seconds >= block.onset) & (seconds <= until)).sum()))
    score.false = sum(call not in true for call in calls)
    return score


def score_episodes(history: History, episodes: Sequence[Episode]) -> Score:
    """Score the detector's episodes; `possible` ones say nothing and are left out."""
    score = Score(years=history.series_years)
    sites = history.scenario.sites
    by_series: dict[int, list[Episode]] = {}
    for episode in episodes:
        if episode.status != "possible":
            site = int(episode.host.removeprefix("site-").removesuffix(".example"))
            series = ((episode.asn or 0) - 64500) * sites + site
            by_series.setdefault(series, []).append(episode)
    true: set[str] = set()
    last = history.data.seconds[history.data.starts()[1:] - 1]
    for series, block, counts in scoreable(history):
        hits = [
            e
            for e in by_series.get(series, [])
            if e.onset_latest <= block.end and e.last_failing >= block.onset
        ]
        true.update(e.id for e in hits)
        if not counts:
            continue
        score.blocks += 1
        if hits:
            score.found += 1
            score.pieces += len(hits) - 1
            _ends(score, block, hits, float(last[series]))
    score.false = sum(e.id not in true for own in by_series.values() for e in own)
    return score


def _ends(score: Score, block: Block, hits: Sequence[Episode], last: float) -> None:
    """Whether brackets and intervals of both ends hold the truth."""
    first, final = hits[0], hits[-1]
    if first.onset_earliest is not None:
        score.hard.append(first.onset_earliest <= block.onset <= first.onset_latest)
        assert first.onset_p05 is not None
        assert first.onset_p95 is not None
        score.credible.append(first.onset_p05 <= block.onset <= first.onset_p95)
    if final.end_earliest is not None and final.end_latest is not None and block.end < last:
        score.hard.append(final.end_earliest <= block.end <= final.end_latest)
        assert final.end_p05 is not None
        assert final.end_p95 is not None
        score.credible.append(final.end_p05 <= block.end <= final.end_p95)


# --- online --------------------------------------------------------------------------------------


def delays(history: History, seed: int) -> list[float]:
    """After how many readings inside a block it is announced, for some blocks.

    The detector is run anew on all data up to each reading, as the daemon does after a round.
    """
    rng = np.random.default_rng([seed, 7])
    blocks = [(series, block) for series, block, counts in scoreable(history) if counts]
    chosen = rng.permutation(len(blocks))[:ONLINE_BLOCKS]
    return [_delay(history, *blocks[index]) for index in chosen]


def _delay(history: History, series: int, block: Block) -> float:
    data = history.data
    inside = np.flatnonzero(
        (data.series == series) & (data.seconds >= block.onset) & (data.seconds < block.end)
    )
    for number, row in enumerate(inside[:ONLINE_LIMIT].tolist(), start=1):
        if data.kind[row] != LIKELY:
            continue
        until = data.seconds[row]
        known = _part(data, (data.seconds <= until) & (data.seconds > until - 30 * DAY))
        for run in runs_of(known, regimes_of(known)):
            recent = known.seconds[run.last] >= block.onset
            if run.series == series and run.probability >= SURE and recent:
                return number
    return float("inf")


def _part(data: VerdictArrays, rows: np.ndarray) -> VerdictArrays:
    return msgspec.structs.replace(
        data,
        series=data.series[rows],
        seconds=data.seconds[rows],
        vantage=data.vantage[rows],
        kind=data.kind[rows],
    )


def alone(data: VerdictArrays) -> list[Call]:
    """What the model calls blocked when each series is all that it sees."""
    single = msgspec.structs.replace(
        data,
        vantage=data.series,
        site=np.arange(len(data.site)),
        network=np.arange(len(data.site)),
        country=np.zeros(len(data.site), dtype=np.int64),
    )
    seconds = single.seconds
    return [
        Call(
            run.series,
            float(seconds[run.first]),
            float(seconds[run.last]),
            float(seconds[run.last]),
        )
        for run in runs_of(single, regimes_of(single))
        if run.probability >= SURE
    ]


# --- the run -------------------------------------------------------------------------------------


def run(scenarios: Sequence[Scenario], seeds: range) -> None:
    """Print one row per scenario and one per rival."""
    print("scenario | blocks | recall | false/series-year | hard | 90 % | online | pieces")
    everything, single = Score(), Score()
    rivals = {name: [Score() for _ in limits] for name, (_, limits) in RIVALS.items()}
    for scenario in scenarios:
        score = Score()
        for seed in seeds:
            history = simulate(scenario, seed)
            one = score_episodes(history, find_episodes(readings_of(history)))
            one.delays = delays(history, seed)
            score.add(one)
            single.add(score_calls(history, alone(history.data)))
            for name, (detect, limits) in RIVALS.items():
                for total, calls in zip(rivals[name], detect(history.data, limits), strict=True):
                    total.add(score_calls(history, calls))
        row(scenario.name, score)
        everything.add(score)
    row("all", everything)
    single.delays.clear()  # it was not run online
    row("the model, each series alone", single)
    for name, (_, limits) in RIVALS.items():
        scores = rivals[name]
        quiet = [s for s in range(len(limits)) if scores[s].false_rate <= TOLERATED]
        best = quiet[0] if quiet else min(range(len(limits)), key=lambda s: scores[s].false_rate)
        row(f"{name}, {limits[best]:g}", scores[best])


def row(name: str, score: Score) -> None:
    """Print one line of the table."""

    def share(values: list[bool]) -> str:
        return f"{np.mean(values):.3f}" if values else "–"

    recall = f"{score.recall:.3f}" if score.blocks else "–"
    online = f"{np.median(score.delays):.0f}" if score.delays else "–"
    print(
        f"{name} | {score.blocks} | {recall} | {score.false_rate:.3f} | {share(score.hard)} | "
        f"{share(score.credible)} | {online} | {score.pieces}",
        flush=True,
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.episodes", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="histories per scenario")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--only", default="", help="a word in the scenario's name")
    parser.add_argument("--scale", action="store_true", help="time 5,000,000 verdicts instead")
    asked = parser.parse_args()
    if asked.scale:
        from_arrays()
        return
    chosen = [scenario for scenario in SCENARIOS if asked.only in scenario.name]
    if not chosen:
        parser.error(f"no scenario's name holds {asked.only!r}")
    run(chosen, range(asked.first_seed, asked.first_seed + asked.seeds))


if __name__ == "__main__":
    main()
