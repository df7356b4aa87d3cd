"""Regimes: a continuous-time hidden Markov model of one target on one network, many at once.

States: open; blocked for hours or for weeks, where nearly every reading fails; leaky, where many
do. What noise could
explain comes from `reports.noise`; the rate of stray failures of each vantage at each site is
learnt here by EM under weak priors. Forward–backward runs over all series side by side: readings
are laid out by their position in their series, so that one step of the loop is one numpy
operation over all series that are long enough.
"""

from __future__ import annotations

import msgspec
import numpy as np

from reports.noise import Noise, noise_of, shared_noise
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

DAY = 86400.0
_NONE: Floats = np.zeros(0)
_PART = (
    800_000  # readings smoothed at once: larger arrays are fetched anew from the system each time
)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The constants; how they were chosen stands in docs/accuracy.md.

    Rates are per day; triples are for brief, lasting and leaky blocks: their shares among onsets,
    how fast they end, how probable they are before the first reading, and how probable a reading
    inside is open.
    """

    onset: float = 1 / 60
    share: tuple[float, float, float] = (0.3, 0.55, 0.15)
    end: tuple[float, float, float] = (2.0, 1 / 20, 1 / 8)
    at_first: tuple[float, float, float] = (0.001, 0.05, 0.001)
    opens: tuple[float, float, float] = (0.01, 0.01, 0.4)
    stray: float = 0.0001  # prior mean of a vantage's stray failures, per reading
    stray_readings: float = 300.0  # the weight of that prior
    site_readings: float = 120.0  # the weight of the vantage's rate for each of its sites
    least_likely: float = 0.0001  # no series makes a failure less probable under noise than this
    least_suspected: float = 0.25
    confirmed: float = 1e-7  # an artefact or an experiment, not a statistic
    passes: int = 3


class Regimes(msgspec.Struct, frozen=True, kw_only=True):
    """Per reading, in the order of the arrays, given all readings of the series.

    `blocked` is the probability of being blocked or leaky; `begun` that the block began between
    the reading before and this one; `ended` that it ended between this one and the next.
    `stray` is the learnt rate of stray failures of the reading's vantage at its site.
    """

    blocked: Floats
    begun: Floats
    ended: Floats
    stray: Floats


def regimes_of(data: VerdictArrays, model: Model | None = None) -> Regimes:
    """Return the regimes of all series."""
    model = model or Model()
    if not len(data.series):
        return Regimes(blocked=_NONE, begun=_NONE, ended=_NONE, stray=_NONE)
    noise = noise_of(data)
    layouts = [_Layout(data, rows, model) for rows in _parts(data)]
    shared = shared_noise(data, noise)
    stray = _first_guess(data, noise, shared, model)
    blocked, begun, ended = np.zeros((3, len(data.kind)))
    for turn in range(model.passes):
        if turn:
            stray = _learnt(data, noise, shared, stray, 1 - blocked, model)
            shared = shared_noise(data, noise, 1 - blocked)
        fails = np.maximum(stray, shared)
        for layout in layouts:
            rows = layout.taken
            emission = _emissions(data.kind[rows], noise.weight[rows], fails[rows], model)
            last = turn == model.passes - 1
            blocked[rows], *jumps = layout.smoothed(emission, jumps=last)
            if last:  # until then they take no room
                begun[rows], ended[rows] = jumps
    return Regimes(blocked=blocked, begun=begun, ended=ended, stray=stray)


def _parts(data: VerdictArrays) -> list[Ints]:
    """The rows to smooth, whole series together, in parts that fit into the processor's reach.

    Where nothing ever failed there is nothing to find; such series only tell about noise.
    """
    troubled = np.bincount(data.series, weights=data.kind >= LIKELY, minlength=len(data.site)) > 0
    rows = np.flatnonzero(troubled[data.series])
    of = data.series[rows]
    cuts = [int(np.searchsorted(of, of[at])) for at in range(_PART, len(rows), _PART)]
    return [part for part in np.split(rows, sorted(set(cuts))) if len(part)]


# --- noise that is learnt ------------------------------------------------------------------------


def _first_guess(data: VerdictArrays, noise: Noise, shared: Floats, model: Model) -> Floats:
    """Stray failures among readings that follow an open one, before any regime is known."""
    known = (noise.after_open & (data.open | data.failing)).astype(np.float64)
    return _rates(noise, known * data.failing * (1 - shared), known, model)


def _learnt(
    data: VerdictArrays,
    noise: Noise,
    shared: Floats,
    stray: Floats,
    is_open: Floats,
    model: Model,
) -> Floats:
    """Stray failures given how probable each reading was open; shared causes take their part."""
    evident = is_open * (data.open | data.failing)
    own = stray / np.maximum(stray + shared, 1e-12)
    return _rates(noise, evident * data.failing * own, evident, model)


def _rates(noise: Noise, failed: Floats, counted: Floats, model: Model) -> Floats:
    """Each reading's rate: of its pair, drawn towards its vantage's, drawn towards the prior.

    A failing reading is left out of its own rate: it must not serve as its own explanation.
    """
    owner = noise.vantage_of_pair
    by_pair = np.bincount(noise.pair, weights=failed, minlength=noise.pairs)
    count = np.bincount(noise.pair, weights=counted, minlength=noise.pairs)
    failures = np.bincount(owner, weights=by_pair)[owner] + model.stray * model.stray_readings
    readings = np.bincount(owner, weights=count)[owner] + model.stray_readings
    pair = noise.pair
    vantage = (failures[pair] - failed) / readings[pair]
    rate = by_pair[pair] - failed + vantage * model.site_readings
    rate /= count[pair] + model.site_readings
    per_reading: Floats = np.clip(rate, model.least_likely, 0.9)
    return per_reading


def _emissions(kind: Kinds, weight: Floats, fails: Floats, model: Model) -> Floats:
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
    for state, opens in enumerate(model.opens, start=1):
        table[state, opened] = opens
        table[state, failed] = 1 - opens
    lighter = weight < 1
    if lighter.any():
        table[:, lighter] **= weight[lighter]
    return table


# --- forward and backward ------------------------------------------------------------------------

_BINS_PER_E = 12  # steps of the logarithm of an interval; 4 % wide, far below what matters


class _Layout:
    """The readings by position in their series, and how states change between them."""

    def __init__(self, data: VerdictArrays, rows: Ints, model: Model) -> None:
        self._model = model
        self.taken = rows
        lengths = np.bincount(data.series[rows], minlength=len(data.site))
        by_length = np.argsort(-lengths, kind="stable")
        rank = np.empty(len(lengths), dtype=np.int64)
        rank[by_length] = np.arange(len(lengths))
        longest = int(lengths.max(initial=0))
        # How many series have a reading at each position: they are the first in the ranking.
        self.widths = np.searchsorted(-lengths[by_length], -np.arange(longest), side="left")
        self.rows = np.concatenate(([0], np.cumsum(self.widths)))
        begins = np.concatenate(([0], np.cumsum(lengths)))
        position = np.arange(len(rows)) - begins[data.series[rows]]
        self.place: Ints = self.rows[position] + rank[data.series[rows]]
        self._changes(data.seconds[rows])

    def _changes(self, seconds: Floats) -> None:
        """Probabilities of a change since the reading before, by place."""
        model = self._model
        interval = np.maximum(np.diff(seconds, prepend=seconds[:1]), 60.0)
        step = np.rint(np.log(interval) * _BINS_PER_E).astype(np.int16)
        low, high = int(step.min(initial=0)), int(step.max(initial=0))
        days = np.exp(np.arange(low, high + 1) / _BINS_PER_E) / DAY
        self.bins = np.empty(len(step), dtype=np.int16)
        self.bins[self.place] = step - low
        self.into, self.out = np.empty((3, len(days))), np.empty((3, len(days)))
        for state, (share, end) in enumerate(zip(model.share, model.end, strict=True)):
            total = model.onset + end
            moved = -np.expm1(-total * days) / total
            self.into[state] = model.onset * share * moved
            self.out[state] = end * moved

    def smoothed(self, emission: Floats, *, jumps: bool) -> tuple[Floats, Floats, Floats]:
        """Return for each taken row P(blocked), P(began just before), P(ends just after)."""
        placed = np.empty_like(emission)
        placed[:, self.place] = emission
        forward = self._forward(placed)
        blocked, begun, ended = self._backward(placed, forward, jumps=jumps)
        return blocked[self.place], begun[self.place], ended[self.place]

    def _forward(self, emission: Floats) -> Floats:
        """The filtered probabilities, as (4, readings) by place."""
        filtered = np.empty_like(emission)
        at_first = self._model.at_first
        last: Floats = np.array([[1 - sum(at_first)], *([share] for share in at_first)])
        for position, width in enumerate(self.widths):
            here = slice(self.rows[position], self.rows[position] + width)
            if position:
                last = self._moved(last[:, :width], here)
            joint = last * emission[:, here]
            joint /= joint.sum(axis=0)
            filtered[:, here] = joint
            last = joint
        return filtered

    def _moved(self, state: Floats, here: slice) -> Floats:
        """The probabilities one interval later, before the reading there is seen."""
        into, out = self._change(here)
        begun, ended = state[0] * into, state[1:] * out
        moved = np.empty_like(state)
        moved[1:] = state[1:] - ended + begun
        moved[0] = state[0] - begun.sum(axis=0) + ended.sum(axis=0)
        return moved

    def _change(self, places: slice) -> tuple[Floats, Floats]:
        bins = self.bins[places]
        return self.into[:, bins], self.out[:, bins]

    def _backward(
        self, emission: Floats, filtered: Floats, *, jumps: bool
    ) -> tuple[Floats, Floats, Floats]:
        count = emission.shape[1]
        blocked = np.empty(count)
        begun, ended = np.zeros(count), np.zeros(count)
        # What the later readings say, relative: 1 where a series ends.
        later = np.ones((4, 0))
        for position in range(len(self.widths) - 1, -1, -1):
            width = int(self.widths[position])
            here = slice(self.rows[position], self.rows[position] + width)
            message = np.ones((4, width))
            if later.shape[1]:
                longer = later.shape[1]
                there = slice(self.rows[position + 1], self.rows[position + 1] + longer)
                into, out = self._change(there)
                told = later * emission[:, there]
                arrived = (into * told[1:]).sum(axis=0)
                message[0, :longer] = (1 - into.sum(axis=0)) * told[0] + arrived
                message[1:, :longer] = (1 - out) * told[1:] + out * told[0]
                scale = message[:, :longer].sum(axis=0)
                message[:, :longer] /= scale
                if jumps:
                    was = filtered[:, self.rows[position] : self.rows[position] + longer]
                    norm = (was * message[:, :longer]).sum(axis=0) * scale
                    begun[there] = was[0] * arrived / norm
                    left = self.rows[position]
                    ended[left : left + longer] = (was[1:] * out).sum(axis=0) * told[0] / norm
            posterior = filtered[:, here] * message
            blocked[here] = 1 - posterior[0] / posterior.sum(axis=0)
            later = message
        return blocked, begun, ended
