"""Regime spans: the model's runs as spans of readings, those of one network's vantages together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np

from reports.history import History, Series
from reports.regime_runs import SURE, Run, runs_of
from reports.regimes import regimes_of
from reports.spans import LEAK_SECONDS, Span
from reports.verdict_arrays import RESTRICTED


class RegimeSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One span in which a target was blocked on one network, by vantage and with its ends.

    `begun_by` and `lasted_until` are the times of readings that the block held, as good as
    certainly; the quantiles are epoch seconds as in `Run`.
    """

    spans: tuple[Span, ...]
    sure: bool
    begun_by: float
    lasted_until: float
    onset_p05: float | None = None
    onset_p95: float | None = None
    end_p05: float | None = None
    end_p95: float | None = None


def regime_spans(history: History) -> dict[int, list[RegimeSpan]]:
    """Return the spans by the number of their series, each series' by time.

    All series together tell what is noise: the more of a line are given, the better.
    """
    found: dict[int, list[RegimeSpan]] = defaultdict(list)
    for run in runs_of(history.data, regimes_of(history.data)):
        series = history.series(run.series)
        found[run.series] += _parts(_shifted(run, series.low), series)
    return found


def _shifted(run: Run, start: int) -> Run:
    """The run with rows counted from the begin of its series."""
    rows = ("first", "last", "open_until", "blocked_from", "blocked_until", "open_from")
    return msgspec.structs.replace(run, **{name: getattr(run, name) - start for name in rows})


def _parts(run: Run, series: Series) -> list[RegimeSpan]:
    """The run, in parts where open readings lie in a long silence of the failing ones."""
    rows = run.first + np.flatnonzero(series.blocked[run.first : run.last + 1])
    silences = 1 + np.flatnonzero(np.diff(series.seconds[rows]) > LEAK_SECONDS)
    failing = rows.tolist()
    cuts = [
        cut for cut in silences.tolist() if series.open[failing[cut - 1] + 1 : failing[cut]].any()
    ]
    if not cuts:
        return [_span(run, failing, series)]
    bounds = [0, *cuts, len(failing)]
    return [_part(run, failing[a:b], series) for a, b in pairwise(bounds)]


def _part(run: Run, failing: Sequence[int], series: Series) -> RegimeSpan:
    """A part of a run; of its inner ends only the brackets are known."""
    inner_begin, inner_end = failing[0] > run.first, failing[-1] < run.last
    part = msgspec.structs.replace(
        run,
        first=failing[0],
        last=failing[-1],
        open_until=failing[0] - 1 if inner_begin else run.open_until,
        blocked_from=failing[0] if inner_begin else run.blocked_from,
        blocked_until=failing[-1] if inner_end else run.blocked_until,
        open_from=failing[-1] + 1 if inner_end else run.open_from,
        onset_p05=None if inner_begin else run.onset_p05,
        onset_p95=None if inner_begin else run.onset_p95,
        end_p05=None if inner_end else run.end_p05,
        end_p95=None if inner_end else run.end_p95,
    )
    return _span(part, failing, series)


def _span(run: Run, failing: Sequence[int], series: Series) -> RegimeSpan:
    settled = [row for row in failing if run.blocked_from <= row <= run.blocked_until]
    settled = settled or [row for row in failing if row >= run.blocked_from] or [failing[-1]]
    vantages = dict.fromkeys(series.vantage[failing].tolist())
    return RegimeSpan(
        spans=tuple(_of_vantage(vantage, run, failing, series) for vantage in vantages),
        sure=run.probability >= SURE,
        begun_by=float(series.seconds[settled[0]]),
        lasted_until=float(series.seconds[settled[-1]]),
        onset_p05=run.onset_p05,
        onset_p95=run.onset_p95,
        end_p05=run.end_p05,
        end_p95=run.end_p95,
    )


def _of_vantage(vantage: int, run: Run, failing: Sequence[int], series: Series) -> Span:
    own = [row for row in failing if series.vantage[row] == vantage]
    bounding = np.flatnonzero(series.open & (series.vantage == vantage))
    before, after = bounding[bounding < own[0]], bounding[bounding > own[-1]]
    only = run.leaky_network and bool((series.vantage == vantage).all())
    if only or len(bounding) > len(before) + len(after):
        # It leaks, so the nearest open readings may lie inside; refusals by the server do not.
        refused = series.kind == RESTRICTED
        before = before[(before <= run.open_until) | refused[before]]
        after = after[(after >= run.open_from) | refused[after]]
    return Span(
        vantage=series.vantages[vantage],
        before=series[int(before[-1])] if len(before) else None,
        failing=tuple(series[row] for row in own),
        after=series[int(after[0])] if len(after) else None,
    )
