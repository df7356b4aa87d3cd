"""Episodes: spans in which one target was blocked on one network, with hard brackets.

A model of noise and of regimes (`reports.regimes`) tells which failing readings of a network's
vantages belong together. The onset lies between the last reading judged open and the first judged
blocked, the end likewise; where vantages of one network disagree the bracket is widened until it
holds all disagreeing readings. Inside it a credible interval of 90 % is given. Gaps without
measurements are listed, never bridged silently. The result does not depend on the order of the
readings.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from reports.history import History, Series
from reports.lines import RoundMark
from reports.readings import Network, Reading
from reports.recurrence import Recurrence, recurrence_of
from reports.regime_spans import RegimeSpan, regime_spans
from reports.rounding import earlier, later
from reports.spans import Span, suspected_spans
from storage.records import Certainty, canonical, digest, utc_text

GAP_SECONDS = 6 * 3600  # shorter silences are never called a gap
EpisodeStatus: TypeAlias = Literal["ongoing", "ended", "possible"]
_Interval: TypeAlias = tuple[float | None, float | None]
_RANK: dict[Certainty | None, int] = {None: 0, "suspected": 1, "likely": 2, "confirmed": 3}


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One episode. Times are corrected seconds since the epoch; end times None while ongoing.

    The truth lies between the 5 % and the 95 % quantile in nine of ten cases.

    `measurements` counts the readings between the first and the last failing one, `failing` those
    of them that failed; `coverage` is the share of rounds in that time with a measurement.
    """

    id: str
    incident: str | None = None
    url: str
    host: str
    name: str  # the name that is blocked: another one than the host's behind redirects
    country: str | None
    asn: int | None
    network: str | None
    network_key: Network
    status: EpisodeStatus
    onset_earliest: float | None
    onset_latest: float
    end_earliest: float | None
    end_latest: float | None
    onset_p05: float | None = None
    onset_p95: float | None = None
    end_p05: float | None = None
    end_p95: float | None = None
    last_failing: float
    measurements: int
    failing: int
    coverage: float | None
    gaps: tuple[tuple[float, float], ...]
    techniques: dict[str, int]
    certainty: Certainty
    vantages: int
    disagreement: bool
    strays: int  # open readings in between that did not end it
    reasons: tuple[str, ...]
    readings: tuple[str, ...]  # ids of the failing ones, by time
    bounds: tuple[str, ...]  # ids of the open ones that bound it

    def holds(self, seconds: float) -> bool:
        """Tell whether the target was certainly blocked at that time, gaps aside."""
        return self.onset_latest <= seconds <= self.last_failing


def find_episodes(
    readings: History | Iterable[Reading],
    rounds: Iterable[RoundMark] = (),
    *,
    urls: Collection[str] | None = None,
) -> list[Episode]:
    """Return all episodes by onset, `possible` ones among them; with `urls` only those of them.

    Other sites' readings tell when a line was bad, and those of reference vantages, which see no
    censor and have no episodes, when a site was down: give all there are. Repeated ids count
    once. Without `rounds` the coverage is None.
    """
    history = readings if isinstance(readings, History) else History.of(readings)
    by_network: dict[Network, list[RoundMark]] = defaultdict(list)
    for mark in rounds:
        by_network[mark.network_key].append(mark)
    found = regime_spans(history)
    episodes: list[Episode] = []
    for number, name in enumerate(history.names):
        if name.field and (urls is None or name.url in urls):
            series = history.series(number)
            episodes += _of_series(series, found.get(number, []), by_network[name.network])
    return sorted(episodes, key=lambda episode: (episode.onset_latest, episode.id))


def public(episode: Episode) -> Episode:
    """Return the episode with its times rounded outward."""
    return msgspec.structs.replace(
        episode,
        onset_earliest=earlier(episode.onset_earliest),
        onset_latest=later(episode.onset_latest),
        end_earliest=earlier(episode.end_earliest),
        end_latest=later(episode.end_latest),
        onset_p05=earlier(episode.onset_p05),
        onset_p95=later(episode.onset_p95),
        end_p05=earlier(episode.end_p05),
        end_p95=later(episode.end_p95),
        last_failing=later(episode.last_failing),
        gaps=tuple((earlier(start), later(end)) for start, end in episode.gaps),
    )


def _of_series(
    series: Series, found: Sequence[RegimeSpan], rounds: Sequence[RoundMark]
) -> list[Episode]:
    judged = [(_Pool(span.spans, series, span), span.sure) for span in found]
    suspected = [_Pool(group, series) for group in _suspected(series)]
    judged += [
        (pool, False) for pool in suspected if not any(pool.touches(other) for other, _ in judged)
    ]
    pattern = _pattern(series, [pool for pool, sure in judged if sure])
    return [
        _episode(pool, rounds, pattern if sure else None, possible=not sure)
        for pool, sure in judged
    ]


def _pattern(series: Series, pools: Sequence[_Pool]) -> Recurrence | None:
    kept = np.zeros(len(series), dtype=np.bool_)
    for pool in pools:
        kept |= series.blocked & (series.seconds >= pool.first) & (series.seconds <= pool.last)
    return recurrence_of(series.seconds, kept, series.open) if pools else None


def _suspected(series: Series) -> list[list[Span]]:
    """Return runs of suspicions of all vantages, those together that overlap in time."""
    groups: list[list[Span]] = []
    reach = float("-inf")
    spans = suspected_spans(series)
    for span in sorted(spans, key=lambda span: (span.first.seconds, span.vantage)):
        if groups and span.first.seconds <= reach:
            groups[-1].append(span)
        else:
            groups.append([span])
            reach = float("-inf")
        reach = max(reach, span.after.seconds if span.after is not None else span.last.seconds)
    return groups


class _Pool:
    """Overlapping spans of one network's vantages, and the brackets that they give together."""

    def __init__(
        self,
        spans: Sequence[Span],
        series: Series,
        model: RegimeSpan | None = None,
    ) -> None:
        self.spans = spans
        self.model = model
        self.failing = sorted(
            (reading for span in spans for reading in span.failing),
            key=lambda reading: (reading.seconds, reading.id),
        )
        self.first, self.last = self.failing[0].seconds, self.failing[-1].seconds
        self.series = series
        names = {span.vantage for span in spans}
        numbers = [n for n in np.unique(series.vantage) if series.vantages[n] in names]
        members = np.isin(series.vantage, numbers)
        # Vantages that never saw the block bound nothing: they are counted, not bracketed by.
        self._open = series.seconds[series.open & members].tolist()
        self.onset_earliest, self.onset_latest, early = self._onset()
        self.end_earliest, self.end_latest, late = self._end()
        self.bounds = {self.onset_earliest, self.end_latest}
        # The places of the readings between the first and the last failing one, and around them.
        self.begin = int(np.searchsorted(series.seconds, self.first, side="left"))
        self.end = int(np.searchsorted(series.seconds, self.last, side="right"))
        inside = slice(self.begin, self.end)
        self.strays = int(series.open[inside].sum())
        aside = bool((series.open[inside] & ~members[inside]).any())
        self.disagreement = early or late or aside

    def intervals(self) -> tuple[_Interval, _Interval]:
        """The 90 % credible intervals of onset and end, inside the hard brackets.

        Without a model, or on a side where the bracket is open, there is none.
        """
        model = self.model
        if model is None:
            return (None, None), (None, None)
        onset = _inside(self.onset_earliest, self.onset_latest, model.onset_p05, model.onset_p95)
        end = _inside(self.end_earliest, self.end_latest, model.end_p05, model.end_p95)
        return onset, end

    def place_of(self, reading: Reading) -> int:
        """Return the place of one of its readings in the series."""
        place = int(np.searchsorted(self.series.seconds, reading.seconds, side="left"))
        while self.series[place].id != reading.id:
            place += 1
        return place

    def touches(self, other: _Pool) -> bool:
        return self.first <= other.last and other.first <= self.last

    def _onset(self) -> tuple[float | None, float, bool]:
        """The bracket of the onset, and whether it had to be widened."""
        opening: dict[str, Span] = {}
        for span in self.spans:  # by time: the first of each vantage
            opening.setdefault(span.vantage, span)
        befores = [s.before.seconds for s in opening.values() if s.before is not None]
        begun = self.model.begun_by if self.model is not None else self.first
        if not befores:
            return None, begun, False
        latest_open = max(befores)
        if latest_open < self.first:
            return latest_open, begun, False
        earlier = [seconds for seconds in self._open if seconds < self.first]
        settled = [r.seconds for r in self.failing if r.seconds > latest_open]
        return (max(earlier) if earlier else None), (settled or [self.last])[0], True

    def _end(self) -> tuple[float | None, float | None, bool]:
        closing = {span.vantage: span for span in self.spans}  # the last of each vantage
        afters = [s.after.seconds for s in closing.values() if s.after is not None]
        lasted = self.model.lasted_until if self.model is not None else self.last
        if not afters:
            return None, None, False
        earliest_open = min(afters)
        if earliest_open > self.last:
            return lasted, earliest_open, False
        later = [seconds for seconds in self._open if seconds > self.last]
        if not later:  # one vantage still sees it blocked, after another saw it open
            return None, None, True
        settled = [r.seconds for r in self.failing if r.seconds < earliest_open]
        return (settled or [self.first])[-1], min(later), True


def _episode(
    pool: _Pool, rounds: Sequence[RoundMark], pattern: Recurrence | None, *, possible: bool
) -> Episode:
    first = pool.failing[0]
    strongest = max(pool.failing, key=lambda r: (_RANK[r.certainty], -r.seconds, r.id))
    ended: EpisodeStatus = "ongoing" if pool.end_latest is None else "ended"
    gaps = _gaps(pool)
    onset, end = pool.intervals()
    return Episode(
        id=_id(first, pool.onset_latest),
        url=first.url,
        host=first.host,
        name=Counter(r.name for r in pool.failing).most_common(1)[0][0],
        country=first.country,
        asn=first.asn,
        network=next((r.network for r in reversed(pool.failing) if r.network), None),
        network_key=first.network_key,
        status="possible" if possible else ended,
        onset_earliest=pool.onset_earliest,
        onset_latest=pool.onset_latest,
        end_earliest=pool.end_earliest,
        end_latest=pool.end_latest,
        onset_p05=onset[0],
        onset_p95=onset[1],
        end_p05=end[0],
        end_p95=end[1],
        last_failing=pool.last,
        measurements=pool.end - pool.begin,
        failing=len(pool.failing),
        coverage=_coverage(pool, rounds),
        gaps=gaps,
        techniques=dict(sorted(Counter(r.path for r in pool.failing if r.path).items())),
        certainty=strongest.certainty or "suspected",
        vantages=len({reading.vantage for reading in pool.failing}),
        disagreement=pool.disagreement,
        strays=pool.strays,
        reasons=_reasons(strongest, pool, len(gaps), pattern),
        readings=tuple(reading.id for reading in pool.failing),
        bounds=_bounding(pool),
    )


def _inside(
    earliest: float | None, latest: float | None, p05: float | None, p95: float | None
) -> _Interval:
    """The quantiles drawn into their hard bracket; those beyond the readings are its sides."""
    if earliest is None or latest is None:
        return None, None
    low = earliest if p05 is None else min(max(p05, earliest), latest)
    high = latest if p95 is None else min(max(p95, earliest), latest)
    return low, high


def _id(first: Reading, onset_latest: float) -> str:
    """The same for exact and for rounded times: it names the onset by its public time."""
    country, asn, vantage = first.network_key
    onset = utc_text(later(onset_latest))
    parts = {"url": first.url, "country": country, "asn": asn, "vantage": vantage, "onset": onset}
    return digest(canonical(parts))


def _bounding(pool: _Pool) -> tuple[str, ...]:
    """The ids of the open readings at the outer sides of the brackets."""
    seconds = [at for at in pool.bounds if at is not None]
    rows = np.flatnonzero(pool.series.open & np.isin(pool.series.seconds, seconds))
    return tuple(pool.series[row].id for row in rows.tolist())


def _gaps(pool: _Pool) -> tuple[tuple[float, float], ...]:
    """Silences inside the episode that are long beside the usual interval of the series."""
    intervals = np.sort(np.diff(pool.series.seconds))
    if not len(intervals):
        return ()
    usual = float(intervals[int(0.9 * (len(intervals) - 1))])
    limit = max(GAP_SECONDS, 2.5 * usual)
    inside = pool.series.seconds[pool.begin : pool.end]
    long = np.flatnonzero(np.diff(inside) > limit).tolist()
    return tuple((float(inside[at]), float(inside[at + 1])) for at in long)


def _coverage(pool: _Pool, rounds: Sequence[RoundMark]) -> float | None:
    if not rounds:
        return None
    measured = {pool.series.round(place) for place in range(pool.begin, pool.end)}
    begins = [mark.seconds for mark in rounds if mark.number in measured]
    if not begins:
        return None
    planned = [mark for mark in rounds if min(begins) <= mark.seconds <= pool.last]
    return round(sum(mark.number in measured for mark in planned) / len(planned), 3)


def _reasons(
    strongest: Reading, pool: _Pool, gaps: int, pattern: Recurrence | None
) -> tuple[str, ...]:
    said = pool.series.reason(pool.place_of(strongest))
    reasons = [said] if said else []
    if pattern is not None:
        reasons.append(
            f"It recurs {pattern.name}: {pattern.inside[0]} of {pattern.inside[1]} measurements "
            f"then failed, {pattern.outside[0]} of {pattern.outside[1]} at other times."
        )
    if pool.strays:
        measured = pool.end - pool.begin
        reasons.append(
            f"It leaks: {pool.strays} of {measured} measurements in between found it open."
        )
    if pool.disagreement:
        reasons.append("Vantages on this network disagreed; the brackets hold all their readings.")
    if gaps:
        reasons.append(f"{gaps} gaps without any measurement lie inside; they are not bridged.")
    return tuple(reasons)
