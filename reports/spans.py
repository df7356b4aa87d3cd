"""Spans: failing readings of one vantage and its open ones around them, before they are pooled."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from reports.readings import Reading

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


def suspected_spans(readings: Sequence[Reading]) -> list[Span]:
    """Return runs of nothing but suspicions, bounded by open readings or by nothing.

    Suspicions next to a blocked reading belong to its bracket and make no run of their own.
    """
    spans: list[Span] = []
    failing: list[Reading] = []
    bound: Reading | None = None
    for reading in readings:
        if reading.is_suspected:
            failing.append(reading)
        elif reading.is_open or reading.is_blocked or reading.status == "down":
            spans += _possible(bound, failing, reading)
            failing, bound = [], reading
    return spans + _possible(bound, failing, None)


def _possible(before: Reading | None, failing: list[Reading], after: Reading | None) -> list[Span]:
    beside = [bound for bound in (before, after) if bound is not None]
    if len(failing) < POSSIBLE_RUN or any(bound.is_blocked for bound in beside):
        return []
    return [
        Span(
            vantage=failing[0].vantage,
            before=before if before is not None and before.is_open else None,
            failing=tuple(failing),
            after=after if after is not None and after.is_open else None,
        )
    ]
