"""Spans: failing readings of one vantage and its open ones around them, before they are pooled."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from reports.history import Series
from reports.readings import Reading
from reports.verdict_arrays import SILENT, SUSPECTED

# Where open readings lie between failing ones that are further apart than this, nothing says that
# the site was blocked in between, however leaky the filter: a new episode begins.
LEAK_SECONDS = 48 * 3600
POSSIBLE_RUN = 3  # suspicions in a row before a `possible` episode is worth a row


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive failing readings of one vantage and the open readings around them."""

    vantage: str
    before: Reading | None  # the last open one before
    failing: tuple[Reading, ...]
    after: Reading | None  # the first open one after

    @property
    def first(self) -> Reading:
        return self.failing[0]

    @property
    def last(self) -> Reading:
        return self.failing[-1]


def suspected_spans(series: Series) -> list[Span]:
    """Return runs of nothing but suspicions, bounded by open readings or by nothing.

    Suspicions next to a blocked reading belong to its bracket and make no run of their own.
    """
    if int((series.kind == SUSPECTED).sum()) < POSSIBLE_RUN:
        return []
    return [span for number in np.unique(series.vantage) for span in _of_vantage(series, number)]


def _of_vantage(series: Series, vantage: int) -> Iterator[Span]:
    rows = np.flatnonzero((series.vantage == vantage) & (series.kind != SILENT))
    doubtful = np.concatenate(([False], series.kind[rows] == SUSPECTED, [False]))
    edges = np.flatnonzero(doubtful[1:] != doubtful[:-1])
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        before = int(rows[begin - 1]) if begin else None
        after = int(rows[end]) if end < len(rows) else None
        beside = [row for row in (before, after) if row is not None]
        if end - begin >= POSSIBLE_RUN and not series.blocked[beside].any():
            yield Span(
                vantage=series.vantages[vantage],
                before=_bound(series, before),
                failing=tuple(series[row] for row in rows[begin:end].tolist()),
                after=_bound(series, after),
            )


def _bound(series: Series, row: int | None) -> Reading | None:
    return series[row] if row is not None and series.open[row] else None
