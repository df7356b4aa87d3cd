"""Noise: how probable a failing reading is where nothing is blocked.

Four causes are told apart, each from what other readings show. A bad hour of a line hits all its
sites at once (`reports.bad_hours`); a site that is down is so on every network, and a vantage that
misreads a site stands alone among those of its network (`reports.elsewhere`); what is left is the
vantage's own rate of stray failures, learnt together with the regimes (`reports.regimes`).
"""

from __future__ import annotations

import msgspec
import numpy as np

from reports.bad_hours import Hours, bad_hours, hours_of
from reports.elsewhere import site_outages, standing_alone
from reports.verdict_arrays import LIKELY, Flags, Floats, Ints, VerdictArrays


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """Per reading: what other networks explain, its pair, its weight; and the hours of each line.

    A pair is one vantage in one series. `weight` is below 1 where several are pooled and one of
    them read several times in one hour: no vantage counts more than once an hour there.
    """

    elsewhere: Floats
    hours: Hours
    pair: Ints
    pairs: int
    vantage_of_pair: Ints
    weight: Floats


def noise_of(data: VerdictArrays) -> Noise:
    """Return what can be said about the noise of each reading from all others; at least one."""
    order, pair, vantage_of_pair = _pairs(data)
    hours = hours_of(data, order, pair, vantage_of_pair)
    failing = np.flatnonzero(data.kind == LIKELY)
    elsewhere = np.zeros(len(data.kind))
    elsewhere[failing] = site_outages(data, failing)
    pooled = _pooled(data)
    alone = failing[pooled[failing]]
    if len(alone):
        elsewhere[alone] = np.maximum(elsewhere[alone], standing_alone(data, alone))
    return Noise(
        elsewhere=elsewhere,
        hours=hours,
        pair=pair,
        pairs=len(vantage_of_pair),
        vantage_of_pair=vantage_of_pair,
        weight=_weights(pair, hours.slot, pooled),
    )


def shared_noise(data: VerdictArrays, noise: Noise, stray: Floats, is_open: Floats) -> Floats:
    """Return the probability of failing by a shared cause, for each reading.

    `stray` is the rate of stray failures of each vantage. `is_open` tells how probable each reading
    was not blocked, as far as known; sites that are held blocked say little of the line.
    """
    evident = is_open * (data.open | data.failing)
    line = bad_hours(data, noise.hours, evident, stray[noise.hours.vantage])
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
