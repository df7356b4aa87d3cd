"""Spans: runs of failing readings of one vantage, before they are pooled over a network."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from reports.readings import Reading

# One open reading between failing ones does not end a span: leaky filters let some loads pass.
# Two do, and so does one where the failures around it lie further apart than this: nothing then
# says that the site was blocked in between.
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


def blocked_spans(readings: Sequence[Reading]) -> list[Span]:
    """Return the blocked spans of one vantage and target; `readings` stand in order of time."""
    spans: list[Span] = []
    failing: list[Reading] = []
    opened: list[Reading] = []  # since the last failing one
    before: Reading | None = None
    for reading in readings:
        if reading.is_open:
            opened.append(reading)
        elif reading.is_blocked:
            if failing and _ends(failing[-1], opened, reading):
                spans.append(_span(before, failing, opened))
                failing = []
            if not failing:
                before = opened[-1] if opened else None
            failing.append(reading)
            opened = []
    if failing:
        spans.append(_span(before, failing, opened))
    return spans


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


def _ends(last: Reading, opened: Sequence[Reading], reading: Reading) -> bool:
    if len(opened) >= 2:
        return True
    return bool(opened) and reading.seconds - last.seconds > LEAK_SECONDS


def _span(before: Reading | None, failing: list[Reading], opened: Sequence[Reading]) -> Span:
    return Span(
        vantage=failing[0].vantage,
        before=before,
        failing=tuple(failing),
        after=opened[0] if opened else None,
    )


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
