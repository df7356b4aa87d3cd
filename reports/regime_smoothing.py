"""Forward and backward over all series side by side.

Readings are laid out by their position in their series, so that one step of the loop is one numpy
operation over all series that are long enough.
"""

from __future__ import annotations

import numpy as np

from reports.regime_model import DAY, Model
from reports.verdict_arrays import Floats, Ints, VerdictArrays

_BINS_PER_E = 12  # steps of the logarithm of an interval; 4 % wide, far below what matters


class Layout:
    """The readings by position in their series, and how states change between them."""

    def __init__(self, data: VerdictArrays, rows: Ints, model: Model) -> None:
        self._model = model
        self.taken = rows
        lengths = np.bincount(data.series[rows], minlength=len(data.site))
        self._by_length = by_length = np.argsort(-lengths, kind="stable")
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
        for state, end in enumerate(model.end):
            total = model.onset + end
            moved = -np.expm1(-total * days) / total
            self.into[state] = model.onset * moved
            self.out[state] = end * moved

    def smoothed(self, emission: Floats, leaky: Floats, ordered: Floats) -> Floats:
        """Return for each taken row P(blocked), P(leaky), P(began just before), P(ends just after).

        `leaky` is the share of leaky blocks among the onsets of each series, `ordered` how much
        more probable than elsewhere a block begins just before each taken row. How many blocks of
        each kind began is kept in `onsets`, by series.
        """
        brief, lasting, _ = self._model.share
        others = (1 - leaky[self._by_length]) / (brief + lasting)
        self._share = np.stack((brief * others, lasting * others, leaky[self._by_length]))
        placed = np.empty_like(emission)
        placed[:, self.place] = emission
        self._ordered = np.zeros(len(self.place))
        self._ordered[self.place] = ordered
        found = self._backward(placed, self._forward(placed))
        return found[:, self.place]

    def _forward(self, emission: Floats) -> Floats:
        """The filtered probabilities, as (4, readings) by place."""
        filtered = np.empty_like(emission)
        last = self._at_first()
        for position, width in enumerate(self.widths):
            here = slice(self.rows[position], self.rows[position] + width)
            if position:
                last = self._moved(last[:, :width], here)
            joint = last * emission[:, here]
            joint /= joint.sum(axis=0)
            filtered[:, here] = joint
            last = joint
        return filtered

    def _at_first(self) -> Floats:
        """The probabilities before the first reading of each series."""
        at_first = self._model.at_first
        return np.array([[1 - sum(at_first)], *([share] for share in at_first)])

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
        into = (self.into[:, bins] + self._ordered[places]) * self._share[:, : len(bins)]
        return into, self.out[:, bins]

    def _backward(self, emission: Floats, filtered: Floats) -> Floats:
        """P(blocked), P(leaky), P(began just before) and P(ends just after), by place."""
        found = np.zeros_like(emission)
        blocked, leaky, begun, ended = found
        onsets = np.zeros_like(self._share)
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
                arrived = into * told[1:]
                message[0, :longer] = (1 - into.sum(axis=0)) * told[0] + arrived.sum(axis=0)
                message[1:, :longer] = (1 - out) * told[1:] + out * told[0]
                scale = message[:, :longer].sum(axis=0)
                message[:, :longer] /= scale
                left = slice(self.rows[position], self.rows[position] + longer)
                was = filtered[:, left]
                norm = (was * message[:, :longer]).sum(axis=0) * scale
                arrived *= was[0] / norm
                onsets[:, :longer] += arrived
                begun[there] = arrived.sum(axis=0)
                ended[left] = (was[1:] * out).sum(axis=0) * told[0] / norm
            posterior = filtered[:, here] * message
            total = posterior.sum(axis=0)
            blocked[here] = 1 - posterior[0] / total
            leaky[here] = posterior[3] / total
            later = message
        self.onsets = np.empty_like(onsets)
        self.onsets[:, self._by_length] = onsets
        return found
