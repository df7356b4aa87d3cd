"""Elsewhere: what readings by other vantages and on other networks say of a failing one.

A site that is down is so on every network; a vantage that misreads a site stands alone among those
of its network; and a site that one network of a country blocks is often blocked by others too.
"""

from __future__ import annotations

import numpy as np

from reports.verdict_arrays import DOWN, LIKELY, Flags, Floats, Ints, VerdictArrays

NEAR = 2 * 3600.0  # seconds within which readings elsewhere tell about a reading here
HALF_DAY = 12 * 3600.0  # seconds, on either side, in which others of the network were to read
# The most that one shared cause can explain of a failure: the site called down elsewhere; the site
# failing in other countries in the same hours; others of the same network reading it open.
# Failures on other networks of one country explain nothing: blocks by order look just so.
DOWN_ELSEWHERE, FAILS_ABROAD, ALONE = 0.9, 0.6, 0.9
# How probable it is that a block on one network of a country is followed or led by one on another,
# and within how many seconds: an order reaches several networks.
ORDERED, FOLLOWS = 0.5, 6 * 3600.0


def ordered(data: VerdictArrays, certain: Flags) -> Floats:
    """How probable it is that a block begins just before each reading, as others of its country do.

    `certain` tells which readings are held blocked already. Where one begins to be, other networks
    of the country are expected to have blocked the site shortly before, or to do so soon.
    """
    first = certain.copy()
    first[1:] &= ~(certain[:-1] & (data.series[1:] == data.series[:-1]))
    onsets = np.flatnonzero(first)
    chance = np.zeros(len(certain))
    if not len(onsets):
        return chance
    countries, networks = int(data.country.max()) + 1, int(data.network.max()) + 1
    land = (data.site * countries + data.country)[data.series]
    own = (data.site * networks + data.network)[data.series]
    at = np.flatnonzero(np.isin(land, np.unique(land[onsets])))
    at = at[(at > 0) & (data.series[at] == data.series[at - 1])]
    window = (FOLLOWS, FOLLOWS)
    others = _near(land, data, onsets, at, window) - _near(own, data, onsets, at, window)
    interval = data.seconds[at] - data.seconds[at - 1]
    chance[at] = (1 - (1 - ORDERED) ** others) * np.minimum(interval / (2 * FOLLOWS), 1)
    return chance


def site_outages(data: VerdictArrays, at: Ints) -> Floats:
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


def standing_alone(data: VerdictArrays, at: Ints) -> Floats:
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
