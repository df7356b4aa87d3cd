"""Regimes: a continuous-time hidden Markov model of one target on one network, many at once.

States: open; blocked for hours or for weeks, where nearly every reading fails; leaky, where many
do. What noise could explain comes from `reports.noise`; the rate of stray failures of each vantage
at each site, and how much each network leaks, are learnt (`reports.regime_learning`), and a block
on one network makes others on the other networks of its country more probable
(`reports.elsewhere`). The probabilities come from `reports.regime_smoothing`.
"""

from __future__ import annotations

import msgspec
import numpy as np

from reports.elsewhere import ordered
from reports.noise import noise_of, shared_noise
from reports.regime_learning import first_guess, leaks_of, learnt
from reports.regime_model import Model
from reports.regime_smoothing import Layout
from reports.verdict_arrays import (
    CONFIRMED,
    LIKELY,
    OPEN,
    SUSPECTED,
    Floats,
    Ints,
    Kinds,
    VerdictArrays,
)

_NONE: Floats = np.zeros(0)
# Readings smoothed at once: larger arrays are fetched anew from the system each time.
_PART = 800_000


class Regimes(msgspec.Struct, frozen=True, kw_only=True):
    """Per reading, in the order of the arrays, given all readings of the series.

    `blocked` is the probability of being blocked; `begun` that the block began between the reading
    before and this one; `ended` that it ended between this one and the next. `leaky` is by network:
    the share of its blocks that leak.
    """

    blocked: Floats
    begun: Floats
    ended: Floats
    leaky: Floats


def regimes_of(data: VerdictArrays, model: Model | None = None) -> Regimes:
    """Return the regimes of all series."""
    model = model or Model()
    if not len(data.series):
        return Regimes(blocked=_NONE, begun=_NONE, ended=_NONE, leaky=_NONE)
    noise = noise_of(data)
    layouts = [Layout(data, rows, model) for rows in _parts(data)]
    stray, rates = first_guess(data, noise, model)
    blocked, leaky, begun, ended = np.zeros((4, len(data.kind)))
    onsets = np.zeros((3, len(data.site)))
    shared = blocked  # no cause but stray failures is known yet
    for turn in range(model.passes):
        if turn:
            stray, rates = learnt(data, noise, shared, stray, 1 - blocked, model)
        shared = shared_noise(data, noise, rates, 1 - blocked)
        leaks = leaks_of(data, onsets, leaky, model)
        follows = ordered(data, blocked >= model.certain)
        fails = np.maximum(stray, shared)
        onsets = np.zeros_like(onsets)
        for layout in layouts:
            rows = layout.taken
            opens = leaks.opens[data.network[data.series[rows]]]
            emission = _emissions(data.kind[rows], noise.weight[rows], fails[rows], opens, model)
            found = layout.smoothed(emission, leaks.share[data.network], follows[rows])
            blocked[rows], leaky[rows], begun[rows], ended[rows] = found
            onsets += layout.onsets
    return Regimes(blocked=blocked, begun=begun, ended=ended, leaky=leaks.share)


def _parts(data: VerdictArrays) -> list[Ints]:
    """The rows to smooth, whole series together, in parts that fit into the processor's reach.

    Where nothing ever failed there is nothing to find; such series only tell about noise.
    """
    troubled = np.bincount(data.series, weights=data.kind >= LIKELY, minlength=len(data.site)) > 0
    rows = np.flatnonzero(troubled[data.series])
    of = data.series[rows]
    cuts = [int(np.searchsorted(of, of[at])) for at in range(_PART, len(rows), _PART)]
    return [part for part in np.split(rows, sorted(set(cuts))) if len(part)]


def _emissions(
    kind: Kinds, weight: Floats, fails: Floats, leaky_opens: Floats, model: Model
) -> Floats:
    """How probable each reading is in each state, as (4, readings); never the sum of evidence."""
    table = np.ones((4, len(kind)))
    fails = np.clip(fails, model.least_likely, 0.98)
    opened = kind == OPEN
    failed = (kind == LIKELY) | (kind == SUSPECTED)
    table[0, opened] = 1 - fails[opened]
    table[0, failed] = fails[failed]
    table[0, kind == SUSPECTED] = np.maximum(fails[kind == SUSPECTED], model.least_suspected)
    table[0, kind == CONFIRMED] = model.confirmed
    failed |= kind == CONFIRMED
    brief, lasting, _ = model.opens
    opens = np.stack((np.full(len(kind), brief), np.full(len(kind), lasting), leaky_opens))
    table[1:, opened] = opens[:, opened]
    table[1:, failed] = 1 - opens[:, failed]
    lighter = weight < 1
    if lighter.any():
        table[:, lighter] **= weight[lighter]
    return table
