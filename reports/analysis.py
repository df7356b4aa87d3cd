"""Analysis: everything that can be concluded about one span of time, read once from the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from reports import episodes as of_sites
from reports import incidents as of_countries
from reports import lines as of_lines
from reports.cases import Case, gather
from reports.episodes import Episode, find_episodes
from reports.errors import ReportError
from reports.incidents import Incident, Outage, incidents_of, named, outages_of
from reports.kept import kept_readings
from reports.lines import LineSpan, RoundMark, line_spans, round_marks
from reports.readings import Reading, readings_of
from reports.verdicts import judge_all
from storage.records import Verdict, utc_text
from storage.store import Store

# Neighbouring days are read too, so that witnesses and the follow-ups of the edges are at hand
# and clocks that are wrong by hours are still put into their right day.
_MARGIN = timedelta(days=1)


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """Readings, episodes, incidents and line spans from `since` to `until` (seconds, exclusive).

    `readings` and `cases` are always exact: what is shown of them is rounded where it is shown.
    """

    since_day: str
    until_day: str
    since: float
    until: float
    country: str | None
    urls: frozenset[str] | None
    simulated: bool
    exact: bool
    readings: tuple[Reading, ...]
    rounds: tuple[RoundMark, ...]
    episodes: tuple[Episode, ...]
    incidents: tuple[Incident, ...]
    outages: tuple[Outage, ...]
    line_spans: tuple[LineSpan, ...]
    cases: Mapping[str, Case]
    verdicts: Mapping[str, Verdict]


def analyse(
    store: Store,
    *,
    since: str,
    until: str,
    country: str | None = None,
    urls: Collection[str] | None = None,
    exact: bool = False,
) -> Analysis:
    """Judge and analyse what `store` holds from day `since` to day `until` (UTC, both inclusive).

    `urls` limits what is concluded about; all targets stay in sight as contrast. Unless `exact`,
    times are rounded outward to ten minutes. Raises ReportError for impossible days.
    """
    first, end = _window(since, until)
    start, stop = first.timestamp(), end.timestamp()
    span = {"since": _text(first - _MARGIN), "until": _text(end + _MARGIN), "country": country}
    cases = gather(store.measurements(**span))
    verdicts = judge_all(store, cases)
    # Of what retention has thinned only the verdict is left.
    thinned = kept_readings(store.judged(**span, thinned_only=True))
    every = [*readings_of(cases, verdicts), *thinned]
    readings = [r for r in every if start <= r.seconds < stop]
    marks = [m for m in round_marks(store.rounds(**span)) if start <= m.seconds < stop]
    episodes = find_episodes(readings, marks, urls=urls)
    incidents = incidents_of(episodes, readings)
    spans = line_spans(mark for mark in marks if mark.vantage_kind == "field")
    found = Analysis(
        since_day=since,
        until_day=until,
        since=start,
        until=stop,
        country=country,
        urls=None if urls is None else frozenset(urls),
        simulated=bool(store.simulated()),
        exact=exact,
        readings=tuple(readings),
        rounds=tuple(marks),
        episodes=tuple(named(episodes, incidents)),
        incidents=tuple(incidents),
        outages=tuple(outages_of(spans)),
        line_spans=tuple(spans),
        cases={case.id: case for case in cases},
        verdicts=verdicts,
    )
    return found if exact else _public(found)


def _public(found: Analysis) -> Analysis:
    """Return the analysis with its concluded times rounded outward."""
    spans = tuple(of_lines.public(span) for span in found.line_spans)
    return msgspec.structs.replace(
        found,
        episodes=tuple(of_sites.public(episode) for episode in found.episodes),
        incidents=tuple(of_countries.public(incident) for incident in found.incidents),
        outages=tuple(outages_of(spans)),
        line_spans=spans,
    )


def _window(since: str, until: str) -> tuple[datetime, datetime]:
    first, last = _day(since), _day(until)
    if last < first:
        raise ReportError(f"the last day {until} lies before the first day {since}")
    return first, last + timedelta(days=1)


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise ReportError(f"{text!a} is no day; write it like 2017-06-19") from error


def _text(when: datetime) -> str:
    return utc_text(when.timestamp())
