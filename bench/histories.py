"""Simulated histories with a known truth: blocks, bad hours, outages and gaps, as arrays.

Nothing here has the form of the model that is measured: blocks last lognormal times or keep to
hours of the day, bad hours strike all sites of a line at random with a rate drawn for each, and
lines fall silent in stretches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reports.verdict_arrays import DOWN, LIKELY, OPEN, SUSPECTED, VerdictArrays

HOUR = 3600.0
DAY = 24 * HOUR
START = 1_497_830_400.0  # 19 June 2017


@dataclass(frozen=True, kw_only=True)
class Block:
    """One true block: the site on the network, from when to when, and how many readings fail."""

    site: int
    network: int
    onset: float
    end: float
    fails: float


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One kind of world. Times in hours, rates per day and per line or site."""

    name: str
    cadence: float
    days: int = 60
    sites: int = 40
    networks: int = 3
    vantages: int = 1  # per network
    countries: int = 1
    offline: float = 0.0  # share of the time, in stretches
    stray: float = 0.002
    bad_hours: float = 0.2
    bad_hours_last: float = 1.5
    site_outages: float = 1 / 30
    misread: float = 0.1  # of the readings in an outage that look like blocking
    misread_whole: float = 0.0  # of the outages: all their readings look so, everywhere
    fails: float = 0.99  # readings inside a block that fail
    blocks: bool = True
    markov: bool = False  # blocks last exponential times, as the model thinks
    one_off: Callable[[Scenario, np.random.Generator], list[Block]] | None = None
    broken_resolver: bool = False
    misread_cdn: bool = False


@dataclass(frozen=True, kw_only=True)
class History:
    """The readings and the truth; series = network × sites + site.

    `chance` is how probable each reading was to look like blocking without any.
    """

    scenario: Scenario
    data: VerdictArrays
    chance: np.ndarray
    truth: Sequence[Block] = field(default_factory=list)

    def series_of(self, block: Block) -> int:
        return block.network * self.scenario.sites + block.site

    @property
    def series_years(self) -> float:
        return len(self.data.site) * self.scenario.days / 365.25


def simulate(scenario: Scenario, seed: int) -> History:
    """Return one history of the scenario; the same seed gives the same one."""
    rng = np.random.default_rng([seed, *scenario.name.encode()])
    truth = _blocks(scenario, rng) if scenario.blocks else []
    if scenario.one_off is not None:
        truth = _apart([*scenario.one_off(scenario, rng), *truth])
    outages = [_spells(scenario, rng, scenario.site_outages, 2.0) for _ in range(scenario.sites)]
    columns = []
    for network in range(scenario.networks):
        own = [block for block in truth if block.network == network]
        for place in range(scenario.vantages):
            vantage = network * scenario.vantages + place
            rows = _vantage(scenario, rng, own, outages, first=vantage == 0)
            columns.append((network, vantage, *rows))
    data, chance = _arrays(scenario, columns)
    return History(scenario=scenario, data=data, chance=chance, truth=truth)


def _blocks(scenario: Scenario, rng: np.random.Generator) -> list[Block]:
    """Half of the sites are blocked once or several times, on one network or on all of them."""
    blocks = []
    for site in range(scenario.sites):
        if rng.random() < 0.5:
            continue
        together = rng.random() < 0.3  # all networks of one country
        for _ in range(1 + rng.poisson(0.5)):
            land = rng.integers(scenario.countries)
            onset = START + rng.uniform(0.05, 0.95) * scenario.days * DAY
            for network in range(scenario.networks):
                everywhere = together and network % scenario.countries == land
                if everywhere or rng.random() < 1 / scenario.networks:
                    begin = onset + rng.exponential(3 * HOUR)
                    if not everywhere:
                        begin = START + rng.uniform(0.05, 0.95) * scenario.days * DAY
                    end = begin + _lasting(scenario, rng)
                    blocks.append(
                        Block(
                            site=site, network=network, onset=begin, end=end, fails=scenario.fails
                        )
                    )
    return _apart(blocks)


_MEAN, _MEDIAN, _SPREAD = 3 * DAY, 36 * HOUR, 1.2


def _lasting(scenario: Scenario, rng: np.random.Generator) -> float:
    if scenario.markov:
        return float(rng.exponential(_MEAN))
    return float(rng.lognormal(math.log(_MEDIAN), _SPREAD))


def lasts_longer(scenario: Scenario, seconds: np.ndarray) -> np.ndarray:
    """Return the share of blocks that last longer than each of so many seconds."""
    if scenario.markov:
        shares: np.ndarray = np.exp(-seconds / _MEAN)
        return shares
    # numpy has no error function: a table of it, finer than what matters.
    deviations = np.linspace(-8, 8, 1601)
    table = [0.5 * math.erfc(each / math.sqrt(2)) for each in deviations.tolist()]
    asked = (np.log(np.maximum(seconds, 1)) - math.log(_MEDIAN)) / _SPREAD
    found: np.ndarray = np.interp(asked, deviations, table)
    return found


def _apart(blocks: Sequence[Block]) -> list[Block]:
    """Leave out blocks that overlap an earlier one in the list or follow it within four days."""
    kept: list[Block] = []
    for block in blocks:
        near = (
            b.onset - 4 * DAY < block.end and block.onset < b.end + 4 * DAY
            for b in kept
            if (b.site, b.network) == (block.site, block.network) and b is not block
        )
        recurring = any(b.end - b.onset < 12 * HOUR and b.end == block.end for b in kept)
        if recurring or not any(near):
            kept.append(block)
    return kept


def _spells(
    scenario: Scenario, rng: np.random.Generator, per_day: float, median_hours: float
) -> list[tuple[float, float]]:
    count = rng.poisson(per_day * scenario.days)
    begins = START + rng.uniform(0, scenario.days * DAY, count)
    return [(b, b + rng.lognormal(math.log(median_hours * HOUR), 0.8)) for b in sorted(begins)]


def _vantage(
    scenario: Scenario,
    rng: np.random.Generator,
    blocks: Sequence[Block],
    outages: Sequence[Sequence[tuple[float, float]]],
    *,
    first: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The sites, times and kinds of one vantage's readings, and their chances."""
    times = _times(scenario, rng)
    noise = np.full(times.shape, scenario.stray)
    for begin, end in _spells(scenario, rng, scenario.bad_hours, scenario.bad_hours_last):
        noise[(times >= begin) & (times < end)] = rng.uniform(0.3, 0.95)
    if scenario.broken_resolver:
        day = START + rng.uniform(0.1, 0.9) * scenario.days * DAY
        noise[(times >= day) & (times < day + DAY)] = rng.choice([0.9, 0.97, 1.0])
    kinds = np.where(rng.random(times.shape) < noise, LIKELY, OPEN).astype(np.int8)
    kinds[rng.random(times.shape) < 0.004] = SUSPECTED
    for site, spells in enumerate(outages):
        for begin, end in spells:
            hit = (times[:, site] >= begin) & (times[:, site] < end)
            wholly = int(begin) % 1000 < 1000 * scenario.misread_whole  # the same everywhere
            misread = (rng.random(len(hit)) < scenario.misread) | wholly
            kinds[hit, site] = np.where(misread, LIKELY, DOWN)[hit]
            noise[hit, site] = 1.0 if wholly else scenario.misread
    if first and scenario.misread_cdn:
        since = START + rng.uniform(0.2, 0.6) * scenario.days * DAY
        on_cdn = rng.random(scenario.sites) < 0.25
        hit = (times >= since) & (times < since + 5 * DAY) & on_cdn
        kinds[hit], noise[hit] = LIKELY, 1.0
    for block in blocks:
        here = (times[:, block.site] >= block.onset) & (times[:, block.site] < block.end)
        here &= rng.random(len(here)) < block.fails
        kinds[here, block.site] = LIKELY
    made = _online(scenario, rng, times[:, 0])
    sites = np.broadcast_to(np.arange(scenario.sites), times.shape)
    return sites[made].ravel(), times[made].ravel(), kinds[made].ravel(), noise[made].ravel()


def _times(scenario: Scenario, rng: np.random.Generator) -> np.ndarray:
    """When each site is read in each round: jittered rounds, the sites in shuffled order."""
    step = scenario.cadence * HOUR
    starts = START + np.arange(0, scenario.days * DAY, step)
    starts = starts + rng.uniform(0, 0.3 * step, len(starts))
    length = min(0.5 * step, 600.0)
    return starts[:, None] + rng.uniform(0, length, (len(starts), scenario.sites))


def _online(scenario: Scenario, rng: np.random.Generator, starts: np.ndarray) -> np.ndarray:
    """Which rounds were made: silence comes in stretches of a day or so."""
    made = np.ones(len(starts), dtype=bool)
    if not scenario.offline:
        return made
    moment, end = START, START + scenario.days * DAY
    while moment < end:
        up = rng.lognormal(math.log(30 * HOUR), 0.8)
        down = rng.lognormal(math.log(30 * HOUR), 0.8) * scenario.offline / (1 - scenario.offline)
        made[(starts >= moment + up) & (starts < moment + up + down)] = False
        moment += up + down
    return made


def _arrays(scenario: Scenario, columns: list[tuple[Any, ...]]) -> tuple[VerdictArrays, np.ndarray]:
    series = np.concatenate([net * scenario.sites + sites for net, _, sites, *_ in columns])
    seconds = np.concatenate([times for *_, times, _, _ in columns])
    vantage = np.concatenate([np.full(len(rows[2]), rows[1]) for rows in columns])
    kind = np.concatenate([kinds for *_, kinds, _ in columns])
    chance = np.concatenate([noise for *_, noise in columns])
    order = np.lexsort((seconds, series))
    count = scenario.networks * scenario.sites
    data = VerdictArrays(
        series=series[order].astype(np.int64),
        seconds=seconds[order],
        vantage=vantage[order].astype(np.int64),
        kind=kind[order],
        site=np.arange(count) % scenario.sites,
        network=np.arange(count) // scenario.sites,
        country=np.arange(count) // scenario.sites % scenario.countries,
    )
    return data, chance[order]


# --- what the crude detectors missed -----------------------------------------------------------


def most_of_the_list(scenario: Scenario, rng: np.random.Generator) -> list[Block]:
    """Four fifths of the list at once on one network, for six days."""
    return _at_once(scenario, rng, 0.8, 6 * DAY)


def election_day(scenario: Scenario, rng: np.random.Generator) -> list[Block]:
    """Two fifths of the list at once on every network, for a day."""
    return [
        block
        for network in range(scenario.networks)
        for block in _at_once(scenario, rng, 0.4, DAY, network=network)
    ]


def exam_hours(scenario: Scenario, rng: np.random.Generator) -> list[Block]:
    """Two fifths of the list from 4 to 9 UTC on each working day of two weeks, on one network."""
    chosen = np.flatnonzero(rng.random(scenario.sites) < 0.4)
    return [
        Block(
            site=int(site),
            network=0,
            onset=START + day * DAY + 4 * HOUR,
            end=START + day * DAY + 9 * HOUR,
            fails=scenario.fails,
        )
        for day in range(21, 35)
        if day % 7 < 5
        for site in chosen
    ]


def _at_once(
    scenario: Scenario, rng: np.random.Generator, share: float, lasts: float, network: int = 0
) -> list[Block]:
    onset = START + 0.4 * scenario.days * DAY + rng.uniform(0, DAY)
    return [
        Block(
            site=int(site),
            network=network,
            onset=onset + rng.exponential(600),
            end=onset + lasts,
            fails=scenario.fails,
        )
        for site in np.flatnonzero(rng.random(scenario.sites) < share)
    ]


SCENARIOS = (
    Scenario(name="every 15 minutes", cadence=0.25, days=30, sites=20),
    Scenario(name="hourly", cadence=1),
    Scenario(name="hourly, as the model thinks", cadence=1, markov=True),
    Scenario(name="4-hourly, 30 % offline", cadence=4, offline=0.3),
    Scenario(name="8-hourly, 50 % offline", cadence=8, offline=0.5, days=120),
    Scenario(name="leaky, hourly", cadence=1, fails=0.6),
    Scenario(name="leaky, 4-hourly", cadence=4, fails=0.6),
    Scenario(name="noisy vantages, hourly", cadence=1, stray=0.12),
    Scenario(name="short list, hourly", cadence=1, sites=6, networks=8),
    Scenario(name="many bad hours, 2-hourly", cadence=2, bad_hours=1.0),
    Scenario(name="resolver broken for a day", cadence=2, broken_resolver=True),
    Scenario(name="CDN misread by one of three", cadence=4, vantages=3, misread_cdn=True),
    Scenario(name="outages wholly misread", cadence=1, misread_whole=0.1),
    Scenario(
        name="the same in two countries", cadence=1, misread_whole=0.1, networks=4, countries=2
    ),
    Scenario(name="long bad hours, 1-hourly", cadence=1, bad_hours=0.3, bad_hours_last=5),
    Scenario(name="most of the list blocked", cadence=2, one_off=most_of_the_list),
    Scenario(name="40 % at once for a day", cadence=4, one_off=election_day),
    Scenario(name="only in exam hours", cadence=1, one_off=exam_hours),
    Scenario(name="nothing blocked, a year", cadence=4, days=365, offline=0.2, blocks=False),
)
