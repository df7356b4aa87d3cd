"""Timeline: where lanes, bands, gaps and annotations lie; pure layout, no drawing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec

from reports.annotations import Note
from reports.axis import Axis
from reports.catalogue import N_
from reports.drawing import (
    LINES,
    STATUSES,
    Band,
    BandKind,
    Flag,
    Lane,
    Mark,
    MarkKind,
    Timeline,
    Unit,
)
from reports.episodes import Episode
from reports.incidents import Incident, NetworkPart
from reports.lines import LineSpan
from reports.places import place
from reports.readings import Network, Reading
from reports.rounding import earlier
from reports.text import plain
from reports.wording import ENGLISH, Words

LANE = 74  # height of a lane: its label, its band and its strip of sample sizes
BAND_TOP = 22
GLYPH_ROOM = 9.0  # marks closer than this are drawn as ticks
MOST_MARKS = 120  # of a lane; where there are more, each unit of the axis shows its share
MOST_NUMBERS = 31  # units of a lane with their sample size as a number, not as a bar
FLAG_ROOM = 20.0  # height of the row of annotations
_FLAG_WIDTH = 16.0


def lay_out(
    incident: Incident,
    readings: Iterable[Reading],
    lines: Iterable[LineSpan],
    *,
    since: float,
    until: float,
    width: float,
    id: str,
    notes: Sequence[tuple[int, Note]] = (),
    words: Words = ENGLISH,
    exact: bool = True,
) -> Timeline:
    """Lay out one incident between two moments (seconds since the epoch), a lane per network.

    `readings` may be of other sites too; unless `exact`, their times are rounded. `notes` are
    annotations with their numbers.
    """
    drawer = _Drawer(incident, Axis(since, until, width), words, exact)
    return drawer.timeline(readings, lines, notes, id)


def usual_interval(readings: Sequence[Reading]) -> float:
    """Return beyond which silence a lane is left blank, in seconds."""
    intervals = sorted(b.seconds - a.seconds for a, b in pairwise(readings))
    if not intervals:
        return 0.0
    return 1.5 * intervals[int(0.9 * (len(intervals) - 1))]


class _Drawer:
    """One incident on one axis, in one language."""

    def __init__(self, incident: Incident, axis: Axis, words: Words, exact: bool) -> None:
        self.incident, self.axis, self.words, self.exact = incident, axis, words, exact

    def timeline(
        self,
        readings: Iterable[Reading],
        lines: Iterable[LineSpan],
        notes: Sequence[tuple[int, Note]],
        id: str,
    ) -> Timeline:
        incident, axis, words = self.incident, self.axis, self.words
        where = place(incident.country)
        measured = self._by_network(readings)
        cuts: dict[Network, list[LineSpan]] = defaultdict(list)
        for span in lines:
            cuts[span.country, span.asn, "" if span.asn is not None else span.vantage].append(span)
        flags = self._flags(notes)
        top = 24.0 + (FLAG_ROOM if flags else 0)
        lanes = tuple(
            self._lane(part, measured[part.key], cuts[part.key], top + LANE * position)
            for position, part in enumerate(incident.networks)
        )
        bottom = top + LANE * len(lanes) + 4
        return Timeline(
            id=id,
            title=words.text(
                "{host} by network, {since} to {until}",
                host=plain(incident.host),
                since=words.stamp(axis.since),
                until=words.stamp(axis.until, year=True),
            ),
            width=axis.width,
            height=bottom + (24 if where.zone else 6),
            top=top,
            bottom=bottom,
            since=axis.since,
            until=axis.until,
            step=axis.step,
            lanes=lanes,
            ticks=axis.ticks(ZoneInfo("UTC"), words),
            local_ticks=axis.ticks(ZoneInfo(where.zone), words) if where.zone else (),
            local_name=words.city(where) or None,
            flags=flags,
        )

    def _by_network(self, readings: Iterable[Reading]) -> dict[Network, list[Reading]]:
        incident = self.incident
        by_network: dict[Network, list[Reading]] = defaultdict(list)
        for reading in readings:
            own = reading.host in incident.hosts and reading.country == incident.country
            if own and reading.vantage_kind == "field":
                if not self.exact:
                    shown = earlier(reading.seconds)
                    reading = msgspec.structs.replace(reading, seconds=shown)
                by_network[reading.network_key].append(reading)
        for own_readings in by_network.values():
            own_readings.sort(key=lambda reading: (reading.seconds, reading.id))
        return by_network

    # --- lanes -----------------------------------------------------------------------------

    def _lane(
        self, part: NetworkPart, readings: Sequence[Reading], cuts: Sequence[LineSpan], y: float
    ) -> Lane:
        axis = self.axis
        inside = [r for r in readings if axis.since <= r.seconds <= axis.until]
        bands = [*self._measured(readings)]
        for episode in self.incident.episodes:
            if episode.network_key == part.key:
                bands += self._of_episode(episode)
        bands += [self._of_line(cut) for cut in cuts if self._is_seen(cut)]
        note = self._note(part)
        room = int((axis.width - 6.4 * len(note) - 24) / 7.6)  # what the note leaves to the label
        said = [band.title for band in bands if band.kind != "measured"]
        return Lane(
            key=part.key,
            label=plain(part.name, max(8, room)),
            note=note,
            summary="; ".join([f"{plain(part.name)}: {note}", *said]) + ".",
            y=y,
            bands=tuple(bands),
            marks=tuple(self._marks(inside)) if len(inside) <= MOST_MARKS else (),
            units=tuple(self._units(inside)),
        )

    def _note(self, part: NetworkPart) -> str:
        if part.part in ("blocked", "possible"):
            counts = {"failing": part.failing, "n": part.measurements}
            return self.words.text("{failing} of {n} failed", **counts)
        if part.part == "not-blocked":
            return self.words.text("0 of {n} blocked", n=part.measurements)
        return self.words.text("too little data")

    def _measured(self, readings: Sequence[Reading]) -> Iterable[Band]:
        """The stretches between readings that follow each other as usual; the rest is blank."""
        limit = usual_interval(readings)
        title = self.words.text("measured")
        start: float | None = None
        for a, b in pairwise(readings):
            start = a.seconds if start is None else start
            if b.seconds - a.seconds > limit:
                yield from self._band("measured", start, a.seconds, title)
                start = None
        if start is not None:
            yield from self._band("measured", start, readings[-1].seconds, title)

    def _of_episode(self, episode: Episode) -> Iterable[Band]:
        if episode.onset_earliest is not None:
            times = episode.onset_earliest, episode.onset_latest
            title = self._span(N_("began between {start} and {end}"), *times)
            yield from self._band("uncertain", *times, title)
        start = episode.onset_latest
        end = episode.end_earliest if episode.end_earliest is not None else episode.last_failing
        end = max(start, end)  # times that are rounded outward may have crossed
        possible = episode.status == "possible"
        kind: BandKind = "possible" if possible else "blocked"
        message = (
            N_("possible from {start} to {end}")
            if possible
            else N_("blocked from {start} to {end}")
        )
        for gap_start, gap_end in (*episode.gaps, (end, end)):
            yield from self._band(kind, start, gap_start, self._span(message, start, gap_start))
            start = gap_end
        if episode.end_earliest is not None and episode.end_latest is not None:
            times = episode.end_earliest, episode.end_latest
            yield from self._band(
                "uncertain", *times, self._span(N_("ended between {start} and {end}"), *times)
            )

    def _is_seen(self, cut: LineSpan) -> bool:
        axis = self.axis
        return cut.begin_latest <= axis.until and (cut.end_latest or axis.until) >= axis.since

    def _of_line(self, cut: LineSpan) -> Band:
        start = cut.begin_earliest if cut.begin_earliest is not None else cut.begin_latest
        end = cut.end_latest if cut.end_latest is not None else cut.end_earliest
        x = self.axis.x(start)
        title = self.words.text(
            "the line was {states}, at most from {start} to {end}",
            states=self.words.listed([self.words.text(LINES[state]) for state in cut.states]),
            start=self.words.stamp(start),
            end=self.words.stamp(end),
        )
        width = max(2.0, round(self.axis.x(end) - x, 2))
        return Band(kind="line", x=x, width=width, title=title)

    def _span(self, message: str, start: float, end: float) -> str:
        return self.words.text(message, start=self.words.stamp(start), end=self.words.stamp(end))

    def _band(self, kind: BandKind, start: float, end: float, title: str) -> Iterable[Band]:
        if end < self.axis.since or start > self.axis.until:
            return
        x = self.axis.x(start)
        width = max(1.0, round(self.axis.x(end) - x, 2))
        yield Band(kind=kind, x=x, width=width, title=title)

    # --- readings --------------------------------------------------------------------------

    def _marks(self, readings: Sequence[Reading]) -> Iterable[Mark]:
        places = [self.axis.x(reading.seconds) for reading in readings]
        for position, (reading, x) in enumerate(zip(readings, places, strict=True)):
            beside = places[max(0, position - 1) : position] + places[position + 1 : position + 2]
            status = self.words.text(STATUSES[reading.status])
            path = f", {reading.path}" if reading.path else ""
            yield Mark(
                kind=_mark_kind(reading),
                x=x,
                tick=any(abs(x - other) < GLYPH_ROOM for other in beside),
                seconds=reading.seconds,
                says=f"{status}{path}",
            )

    def _units(self, readings: Sequence[Reading]) -> Iterable[Unit]:
        axis = self.axis
        counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for reading in readings:
            count = counts[axis.unit_of(reading.seconds)]
            count[0] += 1
            count[1] += reading.is_blocked
        most = max((measured for measured, _ in counts.values()), default=1)
        # Numbers stand at all units of a lane, or at none.
        fits = axis.step * axis.scale >= 6.5 * len(str(most)) + 3
        labelled = fits and len(counts) <= MOST_NUMBERS
        for unit, (measured, failing) in sorted(counts.items()):
            x = axis.x(axis.begin_of(unit))
            yield Unit(
                index=unit,
                begin=axis.begin_of(unit),
                x=x,
                width=round(axis.x(axis.begin_of(unit + 1)) - x, 2),
                height=round(10 * measured / most, 2),
                label=str(measured) if labelled else "",
                measured=measured,
                failing=failing,
            )

    # --- annotations -----------------------------------------------------------------------

    def _flags(self, notes: Sequence[tuple[int, Note]]) -> tuple[Flag, ...]:
        """Those of the days shown; numbers that would lie on each other are moved aside."""
        flags: list[Flag] = []
        free_from = 0.0
        for number, note in notes:
            if note.until <= self.axis.since or note.seconds >= self.axis.until:
                continue
            x = self.axis.x(note.seconds)
            width = max(1.0, round(self.axis.x(note.until) - x, 2))
            label_x = max(x + width / 2, free_from + _FLAG_WIDTH / 2)
            label_x = min(label_x, self.axis.width - _FLAG_WIDTH / 2)
            free_from = label_x + _FLAG_WIDTH / 2
            flags.append(
                Flag(
                    x=x,
                    width=width,
                    label_x=round(label_x, 2),
                    number=number,
                    title=plain(note.text, 200),
                )
            )
        return tuple(flags)


def _mark_kind(reading: Reading) -> MarkKind:
    if reading.is_open:
        return "open"
    if reading.is_blocked:
        return "blocked"
    if reading.is_suspected:
        return "suspected"
    return "down" if reading.status == "down" else "unknown"


def close_up(episodes: Sequence[Episode], *, end: bool) -> tuple[float, float] | None:
    """Return the hours around the onset (or the end) of several episodes, None where unknown.

    The view is some times wider than the bracket, so that readings on both sides show.
    """
    if end:
        pairs = [(e.end_earliest, e.end_latest) for e in episodes]
    else:
        pairs = [(e.onset_earliest, e.onset_latest) for e in episodes]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not known:
        return None
    first, last = min(a for a, _ in known), max(b for _, b in known)
    margin = max(2 * (last - first), 3600.0)
    return (first - margin) // 3600 * 3600, -((-last - margin) // 3600) * 3600
