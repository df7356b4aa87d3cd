"""Noise: how probable a failing reading is where nothing is blocked.

Four causes are told apart, each from what other readings show. A bad hour of a line hits all its
sites at once; a site that is down is so on every network; a vantage that misreads a site stands
alone among those of its network; what is left is the vantage's own rate of stray failures. The
first three are estimated here, the last is learnt together with the regimes (`reports.regimes`).

A bad hour must not be confused with a block of much of the list. In a bad hour the failures fall
at random, so sites that were open a reading earlier, or are a reading later, fail as often as all
others; where many sites are blocked, the sites that were open stay open. The rate is therefore
taken over sites open before and over sites open after, and the lower of the two holds. Where
hardly any site is open on either side, the whole line failed, and that is noise.
"""

from __future__ import annotations

import msgspec
import numpy as np

from reports.verdict_arrays import DOWN, LIKELY, OPEN, SUSPECTED, Flags, Floats, Ints, VerdictArrays

SLOT = 3600.0  # seconds; a bad hour, as the name says
NEAR = 2 * 3600.0  # seconds within which readings elsewhere tell about a reading here
HALF_DAY = 12 * 3600.0  # seconds, on either side, in which others of the network were to read
# Pulls the rate of a slot towards that of all its sites where few are open on one side: by one
# reading where the list is short and chance great, by less the more sites were read.
_PULL_SITES = 40.0
# The most that one shared cause can explain of a failure: the site called down elsewhere; the site
# failing in other countries in the same hours; others of the same network reading it open.
# Failures on other networks of one country explain nothing: blocks by order look just so.
DOWN_ELSEWHERE, FAILS_ABROAD, ALONE = 0.9, 0.6, 0.9


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """Per reading: what other networks explain, its hour and pair, its neighbours, its weight.

    A pair is one vantage in one series. `same` numbers the readings of one host in one hour of one
    vantage alike, None where no hour has two; `after_open` and `before_open` tell whether the
    pair's reading before, or after, was open. `weight` is below 1 where several are pooled and
    one of them read several times in one hour: no vantage counts more than once an hour there.
    """

    elsewhere: Floats
    slot: Ints
    same: Ints | None
    pair: Ints
    pairs: int
    vantage_of_pair: Ints
    after_open: Flags
    before_open: Flags
    weight: Floats


def noise_of(data: VerdictArrays) -> Noise:
    """Return what can be said about the noise of each reading from all others; at least one."""
    order, pair, vantage_of_pair = _pairs(data)
    before, after = _neighbours(data, order, pair)
    slot = _slots(data)
    failing = np.flatnonzero(data.kind == LIKELY)
    elsewhere = np.zeros(len(data.kind))
    elsewhere[failing] = _site(data, failing)
    pooled = _pooled(data)
    alone = failing[pooled[failing]]
    if len(alone):
        elsewhere[alone] = np.maximum(elsewhere[alone], _alone(data, alone))
    return Noise(
        elsewhere=elsewhere,
        slot=slot,
        same=_same_hour(data, order, pair, vantage_of_pair, slot),
        pair=pair,
        pairs=len(vantage_of_pair),
        vantage_of_pair=vantage_of_pair,
        after_open=before,
        before_open=after,
        weight=_weights(pair, slot, pooled),
    )


def shared_noise(data: VerdictArrays, noise: Noise, is_open: Floats | None = None) -> Floats:
    """Return the probability of failing by a shared cause, for each reading.

    `is_open` tells how probable each reading was not blocked, once that is known; sites that are
    held blocked then say little about the line.
    """
    evident = (data.open | data.failing).astype(np.float64)
    if is_open is not None:
        evident *= is_open
    line = _line(data, noise, evident)
    return np.maximum(line, noise.elsewhere)


def _pairs(data: VerdictArrays) -> tuple[Ints, Ints, Ints]:
    """The order by pair and time, each reading's pair, and each pair's vantage."""
    vantages = int(data.vantage.max(initial=-1)) + 1
    key = data.series * max(vantages, 1) + data.vantage
    order = np.argsort(key, kind="stable").astype(np.int64)
    ordered = key[order]
    fresh = np.ones(len(key), dtype=np.bool_)
    fresh[1:] = ordered[1:] != ordered[:-1]
    pair = np.empty(len(key), dtype=np.int64)
    pair[order] = np.cumsum(fresh) - 1
    return order, pair, (ordered[fresh] % max(vantages, 1)).astype(np.int64)


def _neighbours(data: VerdictArrays, order: Ints, pair: Ints) -> tuple[Flags, Flags]:
    """Whether the pair's reading before was open, and the one after; silent ones are no reading."""
    speaking = order[np.isin(data.kind[order], (OPEN, LIKELY, SUSPECTED, DOWN))]
    same = pair[speaking][1:] == pair[speaking][:-1]
    was_open = data.open[speaking]
    before = np.zeros(len(order), dtype=np.bool_)
    after = np.zeros(len(order), dtype=np.bool_)
    before[speaking[1:]] = same & was_open[:-1]
    after[speaking[:-1]] = same & was_open[1:]
    return before, after


def _slots(data: VerdictArrays) -> Ints:
    """A number per vantage and hour, without holes."""
    if not len(data.seconds):
        return np.zeros(0, dtype=np.int64)
    hour = np.floor(data.seconds / SLOT).astype(np.int64)
    hour -= hour.min()
    key = data.vantage * (int(hour.max()) + 1) + hour
    span = int(key.max()) + 1
    if span > 20 * len(key) + 1_000_000:  # times far apart: number only those that occur
        key = np.unique(key, return_inverse=True)[1].reshape(-1)
    numbered: Ints = key.astype(np.int64)
    return numbered


def _same_hour(
    data: VerdictArrays, order: Ints, pair: Ints, vantage_of_pair: Ints, slot: Ints
) -> Ints | None:
    """A number for each host, vantage and hour; None where each has one reading only."""
    site_of_pair = np.empty(len(vantage_of_pair), dtype=np.int64)
    site_of_pair[pair] = data.site[data.series]
    key = site_of_pair * (int(vantage_of_pair.max(initial=0)) + 1) + vantage_of_pair
    hosts, host = np.unique(key, return_inverse=True)
    if len(hosts) < len(key):  # http and https rows: together, not as two sites
        pair = host.reshape(-1)[pair]
        order = np.lexsort((slot, pair))
    ordered_pair, ordered_slot = pair[order], slot[order]
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (ordered_pair[1:] != ordered_pair[:-1]) | (ordered_slot[1:] != ordered_slot[:-1])
    if fresh.all():
        return None
    same = np.empty(len(order), dtype=np.int64)
    same[order] = np.cumsum(fresh) - 1
    return same


def _line(data: VerdictArrays, noise: Noise, evident: Floats) -> Floats:
    """The rate of failures of the other sites in the same hour of the same vantage."""
    failed, every = _others(noise, data.failing, evident)
    overall = failed / np.maximum(every, 1)
    pull = np.minimum(1.0, _PULL_SITES / np.maximum(every, 1))
    rates = []
    for known_open in (noise.after_open, noise.before_open):
        failed, every = _others(noise, data.failing, evident * known_open)
        rates.append((failed + pull * overall) / (every + pull))
    lower: Floats = np.minimum(rates[0], rates[1])
    return lower


def _others(noise: Noise, failing: Flags, weight: Floats) -> tuple[Floats, Floats]:
    """Failures and readings of the other sites in each reading's hour, by weight."""
    failed = weight * failing
    failures: Floats = np.bincount(noise.slot, weights=failed).astype(np.float64)[noise.slot]
    readings: Floats = np.bincount(noise.slot, weights=weight).astype(np.float64)[noise.slot]
    if noise.same is None:
        return failures - failed, readings - weight
    own_failures = np.bincount(noise.same, weights=failed)[noise.same]
    own_readings = np.bincount(noise.same, weights=weight)[noise.same]
    # Sums of fractions leave traces where nothing is left.
    return np.maximum(failures - own_failures, 0), np.maximum(readings - own_readings, 0)


def _site(data: VerdictArrays, at: Ints) -> Floats:
    """How far an outage of the site explains failures, from its readings on other networks."""
    site, series = data.site[data.series], data.series
    down = np.flatnonzero(data.kind == DOWN)
    opened, failed = np.flatnonzero(data.open), np.flatnonzero(data.kind >= LIKELY)
    said_down = _near(site, data, down, at)
    failing = _near(site, data, failed, at)
    every = said_down + failing + _near(site, data, opened, at)
    share: Floats = DOWN_ELSEWHERE * said_down / np.maximum(every, 1)
    if int(data.country.max()) == 0:
        return share
    land = site * (int(data.country.max()) + 1) + data.country[series]
    abroad = failing - _near(land, data, failed, at)
    reached = _near(site, data, opened, at) - _near(land, data, opened, at)
    abroad_too = FAILS_ABROAD * abroad / np.maximum(abroad + reached, 1)
    return np.maximum(share, abroad_too)


def _alone(data: VerdictArrays, at: Ints) -> Floats:
    """How surely a vantage stands alone: others of its network read open before it and after it.

    One side is not enough: at the onset of a block the others were open before, at its end after.
    Against a single other one it stands alone only if it does so on several sites at once, for
    then it is the vantage that errs; otherwise the two disagree, and nobody is outvoted.
    """
    vantages = int(data.vantage.max()) + 1
    series, pair = data.series, data.series * vantages + data.vantage
    opened, failed = np.flatnonzero(data.open), np.flatnonzero(data.kind >= LIKELY)
    sides = []
    for window in ((HALF_DAY, 0.0), (0.0, HALF_DAY)):
        is_open = _near(series, data, opened, at, window) - _near(pair, data, opened, at, window)
        fails = _near(series, data, failed, at, window) - _near(pair, data, failed, at, window)
        share = fails / np.maximum(is_open + fails, 1)
        sides.append(is_open / (is_open + 0.5) * np.maximum(1 - 4 * share, 0))
    alone = ALONE * np.minimum(sides[0], sides[1])
    doubted = at[alone > ALONE / 2]
    here = data.site[data.series] * vantages + data.vantage
    beside = _near(data.vantage, data, doubted, at) - _near(here, data, doubted, at)
    outvoted: Floats = np.where((_witnesses(data, at) > 1) | (beside > 1), alone, 0.0)
    return outvoted


def _witnesses(data: VerdictArrays, at: Ints) -> Floats:
    """How many other vantages of the series read the site open within half a day."""
    opened = np.flatnonzero(data.open)
    vantages = int(data.vantage.max()) + 1
    pair = data.series * vantages + data.vantage
    known, number = np.unique(pair, return_inverse=True)
    first = np.searchsorted(known // vantages, np.arange(len(data.site)))
    place = number.reshape(-1) - first[data.series]  # of the vantage among those of its series
    count = np.zeros(len(at))
    for one in range(int(place.max()) + 1):
        rows = opened[place[opened] == one]
        near = _near(data.series, data, rows, at, (HALF_DAY, HALF_DAY)) > 0
        count += near & (place[at] != one)
    return count


def _near(
    group: Ints,
    data: VerdictArrays,
    rows: Ints,
    at: Ints,
    window: tuple[float, float] = (NEAR, NEAR),
) -> Floats:
    """How many of `rows` lie near each of `at`, seconds before and after, in the same group."""
    if not len(rows) or not len(at):
        return np.zeros(len(at))
    start = float(data.seconds.min())
    span = float(data.seconds.max()) - start + 4 * HALF_DAY
    keys = data.seconds[rows] - start
    keys += group[rows] * span
    keys.sort()
    centre = group[at] * span + data.seconds[at] - start
    low = np.searchsorted(keys, centre - window[0], side="left")
    return (np.searchsorted(keys, centre + window[1], side="right") - low).astype(np.float64)


def _pooled(data: VerdictArrays) -> Flags:
    """Which readings lie in a series of more than one vantage."""
    count = len(data.site)
    low = np.full(count, np.iinfo(np.int64).max)
    high = np.full(count, -1)
    np.minimum.at(low, data.series, data.vantage)
    np.maximum.at(high, data.series, data.vantage)
    pooled: Flags = (low != high)[data.series]
    return pooled


def _weights(pair: Ints, slot: Ints, pooled: Flags) -> Floats:
    rows = np.flatnonzero(pooled)
    if not len(rows):
        return np.broadcast_to(np.float64(1), len(pair))  # takes no room
    weight = np.ones(len(pair))
    key = pair[rows] * (int(slot.max()) + 1) + slot[rows]
    _, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
    weight[rows] = 1.0 / count[inverse.reshape(-1)]
    return weight
