"""Timeline: where lanes, bands, gaps and ticks lie; pure layout, no drawing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from reports.episodes import Episode
from reports.incidents import Incident, NetworkPart
from reports.lines import LineSpan
from reports.places import moment, place
from reports.readings import Network, Reading
from reports.text import plain
from reports.wording import MONTHS, stamp

BandKind: TypeAlias = Literal["measured", "blocked", "possible", "uncertain", "line"]
MarkKind: TypeAlias = Literal["open", "blocked", "suspected", "down", "unknown"]

LANE = 74  # height of a lane: its label, its band and its strip of sample sizes
BAND_TOP = 22
BAND_HEIGHT = 26
GLYPH_ROOM = 9.0  # marks closer than this are drawn as ticks
_DAY = 86400.0
_STEPS = (600, 1800, 3600, 7200, 10800, 21600, 43200)


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a lane; `title` says it in words."""

    kind: BandKind
    x: float
    width: float
    title: str


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One reading; `tick` where there is no room for a glyph."""

    kind: MarkKind
    x: float
    tick: bool
    title: str


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """How many measurements one unit of the axis holds; `label` where it fits."""

    x: float
    width: float
    height: float
    label: str


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One network."""

    label: str
    note: str
    y: float
    bands: tuple[Band, ...]
    marks: tuple[Mark, ...]
    bars: tuple[Bar, ...]


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """A line across the lanes; `label` empty where it would not fit."""

    x: float
    label: str


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A laid-out timeline in units of one pixel at its natural size."""

    id: str
    title: str
    width: float
    height: float
    top: float
    bottom: float
    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    local_ticks: tuple[Tick, ...]
    local_name: str | None


class _Axis:
    """Maps seconds to x between `left` and `width` - `left`."""

    def __init__(self, since: float, until: float, width: float, left: float = 6.0) -> None:
        self.since, self.until, self.width, self.left = since, until, width, left
        self.scale = (width - 2 * left) / (until - since)
        days = (until - since) / _DAY
        # The unit of ticks and of the strip of sample sizes: hours, days, weeks or months.
        self.step = next(
            (s for s in _STEPS if self.scale * s >= 44),
            _DAY if days <= 62 else 7 * _DAY if days <= 400 else 30 * _DAY,
        )

    def x(self, seconds: float) -> float:
        inside = min(max(seconds, self.since), self.until)
        return round(self.left + (inside - self.since) * self.scale, 2)


def lay_out(
    incident: Incident,
    readings: Iterable[Reading],
    lines: Iterable[LineSpan],
    *,
    since: float,
    until: float,
    width: float,
    id: str,
) -> Timeline:
    """Lay out one incident between two moments (seconds since the epoch), a lane per network."""
    axis = _Axis(since, until, width)
    where = place(incident.country)
    by_network: dict[Network, list[Reading]] = defaultdict(list)
    for reading in readings:
        own = (reading.host, reading.country) == (incident.host, incident.country)
        if own and reading.vantage_kind == "field":
            by_network[reading.network_key].append(reading)
    cuts: dict[Network, list[LineSpan]] = defaultdict(list)
    for span in lines:
        key = span.country, span.asn, "" if span.asn is not None else span.vantage
        cuts[key].append(span)
    top = 24.0
    lanes = tuple(
        _lane(part, incident, by_network[part.key], cuts[part.key], axis, top + LANE * position)
        for position, part in enumerate(incident.networks)
    )
    bottom = top + LANE * len(lanes) + 4
    return Timeline(
        id=id,
        title=f"{plain(incident.host)} by network, {stamp(since)} to {stamp(until)}",
        width=width,
        height=bottom + (24 if where.zone else 6),
        top=top,
        bottom=bottom,
        lanes=lanes,
        ticks=_ticks(axis, ZoneInfo("UTC")),
        local_ticks=_ticks(axis, ZoneInfo(where.zone)) if where.zone else (),
        local_name=where.city,
    )


def _lane(
    part: NetworkPart,
    incident: Incident,
    readings: Sequence[Reading],
    cuts: Sequence[LineSpan],
    axis: _Axis,
    y: float,
) -> Lane:
    ordered = sorted(readings, key=lambda reading: (reading.seconds, reading.id))
    inside = [r for r in ordered if axis.since <= r.seconds <= axis.until]
    episodes = [e for e in incident.episodes if e.network_key == part.key]
    bands = [*_measured(ordered, axis)]
    for episode in episodes:
        bands += _of_episode(episode, axis)
    bands += [_of_line(cut, axis) for cut in cuts if _seen(cut, axis)]
    note = _note(part)
    room = int((axis.width - 6.4 * len(note) - 24) / 7.6)  # what the note leaves to the label
    return Lane(
        label=plain(part.name, max(8, room)),
        note=note,
        y=y,
        bands=tuple(bands),
        marks=tuple(_marks(inside, axis)),
        bars=tuple(_bars(inside, axis)),
    )


def _note(part: NetworkPart) -> str:
    if part.part in ("blocked", "possible"):
        return f"{part.failing} of {part.measurements} failed"
    if part.part == "not-blocked":
        return f"0 of {part.measurements} blocked"
    return "too little data"


def usual_interval(readings: Sequence[Reading]) -> float:
    """Return beyond which silence a lane is left blank, in seconds."""
    intervals = sorted(b.seconds - a.seconds for a, b in pairwise(readings))
    if not intervals:
        return 0.0
    return 1.5 * intervals[int(0.9 * (len(intervals) - 1))]


def _measured(readings: Sequence[Reading], axis: _Axis) -> Iterable[Band]:
    """The stretches between readings that follow each other as usual; the rest stays blank."""
    limit = usual_interval(readings)
    start: float | None = None
    for a, b in pairwise(readings):
        start = a.seconds if start is None else start
        if b.seconds - a.seconds > limit:
            yield from _band("measured", start, a.seconds, axis, "measured")
            start = None
    if start is not None:
        yield from _band("measured", start, readings[-1].seconds, axis, "measured")


def _of_episode(episode: Episode, axis: _Axis) -> Iterable[Band]:
    if episode.onset_earliest is not None:
        words = f"began between {stamp(episode.onset_earliest)} and {stamp(episode.onset_latest)}"
        yield from _band("uncertain", episode.onset_earliest, episode.onset_latest, axis, words)
    start = episode.onset_latest
    end = episode.end_earliest if episode.end_earliest is not None else episode.last_failing
    kind: BandKind = "possible" if episode.status == "possible" else "blocked"
    words = f"{kind} from {stamp(start)} to {stamp(end)}"
    for gap_start, gap_end in (*episode.gaps, (end, end)):
        yield from _band(kind, start, gap_start, axis, words)
        start = gap_end
    if episode.end_earliest is not None and episode.end_latest is not None:
        words = f"ended between {stamp(episode.end_earliest)} and {stamp(episode.end_latest)}"
        yield from _band("uncertain", episode.end_earliest, episode.end_latest, axis, words)


def _seen(cut: LineSpan, axis: _Axis) -> bool:
    return cut.begin_latest <= axis.until and (cut.end_latest or axis.until) >= axis.since


def _of_line(cut: LineSpan, axis: _Axis) -> Band:
    start = cut.begin_earliest if cut.begin_earliest is not None else cut.begin_latest
    end = cut.end_latest if cut.end_latest is not None else cut.end_earliest
    x = axis.x(start)
    states = " and ".join(cut.states)
    title = f"the line was {states}, at most from {stamp(start)} to {stamp(end)}"
    return Band(kind="line", x=x, width=max(2.0, round(axis.x(end) - x, 2)), title=title)


def _band(kind: BandKind, start: float, end: float, axis: _Axis, title: str) -> Iterable[Band]:
    if end < axis.since or start > axis.until:
        return
    x = axis.x(start)
    yield Band(kind=kind, x=x, width=max(1.0, round(axis.x(end) - x, 2)), title=title)


def _marks(readings: Sequence[Reading], axis: _Axis) -> Iterable[Mark]:
    places = [axis.x(reading.seconds) for reading in readings]
    for position, (reading, x) in enumerate(zip(readings, places, strict=True)):
        beside = places[max(0, position - 1) : position] + places[position + 1 : position + 2]
        kind = _mark_kind(reading)
        yield Mark(
            kind=kind,
            x=x,
            tick=any(abs(x - other) < GLYPH_ROOM for other in beside),
            title=f"{stamp(reading.seconds)}: {reading.status}",
        )


def _mark_kind(reading: Reading) -> MarkKind:
    if reading.is_open:
        return "open"
    if reading.is_blocked:
        return "blocked"
    if reading.is_suspected:
        return "suspected"
    return "down" if reading.status == "down" else "unknown"


def _bars(readings: Sequence[Reading], axis: _Axis) -> Iterable[Bar]:
    units = Counter(int((reading.seconds - axis.since) // axis.step) for reading in readings)
    most = max(units.values(), default=1)
    labelled = axis.step * axis.scale >= 6.5 * len(str(most)) + 3  # all of a lane, or none
    for unit, number in sorted(units.items()):
        x = axis.x(axis.since + unit * axis.step)
        width = axis.x(axis.since + (unit + 1) * axis.step) - x
        label = str(number) if labelled else ""
        yield Bar(x=x, width=round(width, 2), height=round(10 * number / most, 2), label=label)


def _ticks(axis: _Axis, zone: ZoneInfo) -> tuple[Tick, ...]:
    """Ticks at midnights (or hours) of `zone`, labelled as often as there is room."""
    step = timedelta(seconds=axis.step)
    when = moment(axis.since, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    ticks: list[Tick] = []
    free_from = 0.0
    while when.timestamp() <= axis.until:
        if when.timestamp() >= axis.since:
            x = axis.x(when.timestamp())
            label = _label(when, hours=axis.step < _DAY, first=not ticks)
            room = 6.2 * len(label)
            fits = x - room / 2 >= free_from and x + room / 2 <= axis.width
            ticks.append(Tick(x=x, label=label if fits else ""))
            free_from = x + room / 2 + 8 if fits else free_from
        when += step
    return tuple(ticks)


def _label(when: datetime, *, hours: bool, first: bool) -> str:
    if hours and (when.hour or when.minute):
        return f"{when:%H:%M}"
    return f"{when.day} {MONTHS[when.month - 1][:3]}"


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
