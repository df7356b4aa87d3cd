"""Lines: when the volunteers' own lines were cut, so that silence is not taken for blocking."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import msgspec

from reports.readings import Network, Reading
from reports.rounding import earlier, later
from storage.columns import RoundRow
from storage.outcomes import short
from storage.records import LineState

SLOT = 1800.0  # seconds; what one vantage read within it is taken as one round
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
    `national`: each
    network of the country that was looked at went down together with it.
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
    national: bool = False

    @property
    def network_key(self) -> Network:
        return self.country, self.asn, "" if self.asn is not None else self.vantage

    @property
    def is_outage(self) -> bool:
        """A cut by its shape or by its reach, not a line that was merely dead."""
        return self.national or any(state in OUTAGE for state in self.states)


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
    for mark in sorted(marks, key=lambda mark: (mark.seconds, mark.id)):
        by_vantage[mark.vantage].append(mark)
    spans = [span for own in by_vantage.values() for span in _spans_of(own)]
    by_country: dict[str | None, list[LineSpan]] = defaultdict(list)
    for span in spans:
        by_country[span.country].append(span)
    told = [
        msgspec.structs.replace(span, national=_is_national(span, own, by_vantage))
        for own in by_country.values()
        for span in own
    ]
    return sorted(told, key=lambda span: (span.begin_latest, span.vantage))


def marks_from(readings: Iterable[Reading]) -> list[RoundMark]:
    """Return marks for readings of which no rounds are known: down where all were offline."""
    slots: dict[tuple[str, int], list[Reading]] = defaultdict(list)
    for one in readings:
        slots[one.vantage, int(one.seconds // SLOT)].append(one)
    return [
        RoundMark(
            id=f"{vantage} {slot}",
            seconds=min(one.seconds for one in own),
            vantage=vantage,
            vantage_kind=own[0].vantage_kind,
            country=own[0].country,
            asn=own[0].asn,
            network=own[0].network,
            state="down" if all(one.status == "offline" for one in own) else "up",
        )
        for (vantage, slot), own in slots.items()
    ]


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


def _is_national(
    span: LineSpan, beside: Sequence[LineSpan], marks: Mapping[str, Sequence[RoundMark]]
) -> bool:
    """Did all networks of the country that made rounds then go down together, two at least?

    A single round is chance, and so are lines that went down at different times.
    """
    if span.states != ("down",) or span.rounds < 2 or span.country is None:
        return False
    together = {
        other.network_key
        for other in beside
        if other.states == ("down",) and other.rounds > 1 and _began_together(span, other)
    }
    looked_at: set[Network] = set()
    for own in marks.values():
        low = bisect_left(own, span.begin_latest, key=lambda mark: mark.seconds)
        high = bisect_right(own, span.end_earliest, key=lambda mark: mark.seconds)
        if low < high and own[0].country == span.country and own[0].vantage_kind == "field":
            looked_at.add(own[0].network_key)
            if any(mark.state == "up" for mark in own[low + 1 : high - 1]):
                return False
    return len(together) > 1 and looked_at <= together


def _began_together(one: LineSpan, other: LineSpan) -> bool:
    """Do the brackets of their begins have a moment in common?"""
    first = max(span.begin_earliest or float("-inf") for span in (one, other))
    return first < min(one.begin_latest, other.begin_latest)
