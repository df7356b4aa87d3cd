"""Regime spans: the model's runs as spans of readings, those of one network's vantages together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from reports.readings import Reading
from reports.regime_runs import SURE, Run, runs_of
from reports.regimes import regimes_of
from reports.spans import LEAK_SECONDS, Span
from reports.verdict_arrays import arrays_of


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


def regime_spans(series: Sequence[Sequence[Reading]]) -> list[list[RegimeSpan]]:
    """Return the spans of each series, by time.

    Each series holds the readings of one target on one network, by time. All of them together
    tell what is noise: the more series of a line are given, the better.
    """
    data = arrays_of(series)
    starts = data.starts().tolist()
    found: list[list[RegimeSpan]] = [[] for _ in series]
    for run in runs_of(data, regimes_of(data)):
        readings = series[run.series]
        found[run.series] += _parts(_shifted(run, starts[run.series]), readings)
    return found


def _shifted(run: Run, start: int) -> Run:
    """The run with rows counted from the begin of its series."""
    rows = ("first", "last", "open_until", "blocked_from", "blocked_until", "open_from")
    return msgspec.structs.replace(run, **{name: getattr(run, name) - start for name in rows})


def _parts(run: Run, readings: Sequence[Reading]) -> list[RegimeSpan]:
    """The run, in parts where open readings lie in a long silence of the failing ones."""
    failing = [row for row in range(run.first, run.last + 1) if readings[row].is_blocked]
    cuts = [
        position
        for position, (a, b) in enumerate(pairwise(failing), start=1)
        if readings[b].seconds - readings[a].seconds > LEAK_SECONDS
        and any(readings[row].is_open for row in range(a + 1, b))
    ]
    if not cuts:
        return [_span(run, failing, readings)]
    bounds = [0, *cuts, len(failing)]
    return [_part(run, failing[a:b], readings) for a, b in pairwise(bounds)]


def _part(run: Run, failing: Sequence[int], readings: Sequence[Reading]) -> RegimeSpan:
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
    return _span(part, failing, readings)


def _span(run: Run, failing: Sequence[int], readings: Sequence[Reading]) -> RegimeSpan:
    settled = [row for row in failing if run.blocked_from <= row <= run.blocked_until]
    settled = settled or [row for row in failing if row >= run.blocked_from] or [failing[-1]]
    vantages = dict.fromkeys(readings[row].vantage for row in failing)
    return RegimeSpan(
        spans=tuple(_of_vantage(vantage, run, failing, readings) for vantage in vantages),
        sure=run.probability >= SURE,
        begun_by=readings[settled[0]].seconds,
        lasted_until=readings[settled[-1]].seconds,
        onset_p05=run.onset_p05,
        onset_p95=run.onset_p95,
        end_p05=run.end_p05,
        end_p95=run.end_p95,
    )


def _of_vantage(
    vantage: str, run: Run, failing: Sequence[int], readings: Sequence[Reading]
) -> Span:
    own = [row for row in failing if readings[row].vantage == vantage]
    before = (r for r in range(own[0] - 1, -1, -1) if _bounds(readings[r], vantage))
    after = (r for r in range(own[-1] + 1, len(readings)) if _bounds(readings[r], vantage))
    if any(_bounds(readings[r], vantage) for r in range(own[0], own[-1])):
        # It leaks, so the nearest open readings may lie inside; refusals by the server do not.
        before = (r for r in before if r <= run.open_until or not _may_leak(readings[r]))
        after = (r for r in after if r >= run.open_from or not _may_leak(readings[r]))
    first, last = next(before, None), next(after, None)
    return Span(
        vantage=vantage,
        before=None if first is None else readings[first],
        failing=tuple(readings[row] for row in own),
        after=None if last is None else readings[last],
    )


def _bounds(reading: Reading, vantage: str) -> bool:
    return reading.vantage == vantage and reading.is_open


def _may_leak(reading: Reading) -> bool:
    return reading.status == "accessible"
