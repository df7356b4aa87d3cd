"""Lines: when the volunteers' own lines were cut, so that silence is not taken for blocking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from reports.readings import Network
from reports.rounding import earlier, later
from storage.columns import RoundRow
from storage.outcomes import short
from storage.records import LineState

OUTAGE: frozenset[str] = frozenset({"foreign-cut", "whitelisted"})


class RoundMark(msgspec.Struct, frozen=True, kw_only=True):
    """One round: when it began (corrected seconds since the epoch), where, and its line."""

    id: str
    seconds: float
    vantage: str
    vantage_kind: str = "field"
    country: str | None = None
    asn: int | None = None
    network: str | None = None
    state: LineState

    @property
    def network_key(self) -> Network:
        return self.country, self.asn, "" if self.asn is not None else self.vantage

    @property
    def number(self) -> int:
        """The number by which measurements name their round in columns."""
        return short(self.id)


class LineSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive rounds of one vantage in which its line was not up.

    It began between `begin_earliest` (the last round before with the line up, None without one)
    and `begin_latest`, and ended between `end_earliest` and `end_latest` likewise.
    """

    vantage: str
    country: str | None
    asn: int | None
    network: str | None
    states: tuple[LineState, ...]
    begin_earliest: float | None
    begin_latest: float
    end_earliest: float
    end_latest: float | None
    rounds: int

    @property
    def is_outage(self) -> bool:
        """A cut of the country's own making by its shape, not a line that was merely dead."""
        return any(state in OUTAGE for state in self.states)


def round_marks(rounds: Iterable[RoundRow]) -> list[RoundMark]:
    """Return the marks of stored rounds, by time."""
    marks = [
        RoundMark(
            id=row.id,
            seconds=row.seconds,
            vantage=row.vantage,
            vantage_kind=row.vantage_kind,
            country=row.country,
            asn=row.asn,
            network=row.network,
            state=row.line,
        )
        for row in rounds
    ]
    return sorted(marks, key=lambda mark: (mark.seconds, mark.id))


def line_spans(marks: Iterable[RoundMark]) -> list[LineSpan]:
    """Return all spans of lines that were not up, by their begin."""
    by_vantage: dict[str, list[RoundMark]] = defaultdict(list)
    for mark in marks:
        by_vantage[mark.vantage].append(mark)
    spans = [span for own in by_vantage.values() for span in _spans_of(own)]
    return sorted(spans, key=lambda span: (span.begin_latest, span.vantage))


def public(span: LineSpan) -> LineSpan:
    """Return the span with its times rounded outward."""
    return msgspec.structs.replace(
        span,
        begin_earliest=earlier(span.begin_earliest),
        begin_latest=later(span.begin_latest),
        end_earliest=earlier(span.end_earliest),
        end_latest=later(span.end_latest),
    )


def _spans_of(marks: Sequence[RoundMark]) -> list[LineSpan]:
    runs = [list(run) for _, run in groupby(marks, key=lambda mark: mark.state == "up")]
    spans = []
    for position, run in enumerate(runs):
        if run[0].state == "up":
            continue
        following = runs[position + 1] if position + 1 < len(runs) else None
        spans.append(
            LineSpan(
                vantage=run[0].vantage,
                country=run[0].country,
                asn=run[0].asn,
                network=run[0].network,
                states=tuple(sorted({mark.state for mark in run})),
                begin_earliest=runs[position - 1][-1].seconds if position else None,
                begin_latest=run[0].seconds,
                end_earliest=run[-1].seconds,
                end_latest=following[0].seconds if following else None,
                rounds=len(run),
            )
        )
    return spans
