"""Analysis: everything that can be concluded about one span of time, read once from the store."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import msgspec

from reports import episodes as of_sites
from reports import incidents as of_countries
from reports import lines as of_lines
from reports.episodes import Episode, find_episodes
from reports.errors import ReportError
from reports.history import History
from reports.incidents import Incident, Outage, incidents_of, named, outages_of
from reports.lines import LineSpan, RoundMark, line_spans, round_marks
from reports.stored_cases import StoredCases
from reports.stored_history import read_history
from storage.columns import rounds_in, tools_in
from storage.records import utc_text
from storage.store import Store

# Rounds of neighbouring days are read too: clocks that are wrong by hours are still put right.
_MARGIN = timedelta(days=1)


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """Readings, episodes, incidents and line spans from `since` to `until` (seconds, exclusive).

    `readings` and `cases` are always exact: what is shown of them is rounded where it is shown.
    `cases`, and the reasons of readings, are read from the store when they are asked for.
    """

    since_day: str
    until_day: str
    since: float
    until: float
    country: str | None
    urls: frozenset[str] | None
    simulated: bool
    exact: bool
    readings: History
    rounds: tuple[RoundMark, ...]
    episodes: tuple[Episode, ...]
    incidents: tuple[Incident, ...]
    outages: tuple[Outage, ...]
    line_spans: tuple[LineSpan, ...]
    cases: StoredCases
    rules: tuple[str, ...]  # the versions that the readings were judged by
    tools: tuple[str, ...]  # the programs that measured


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
    readings = read_history(store, since=start, until=stop, country=country)
    span = {"since": _text(first - _MARGIN), "until": _text(end + _MARGIN), "country": country}
    marks = [m for m in round_marks(rounds_in(store, **span)) if start <= m.seconds < stop]
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
        readings=readings,
        rounds=tuple(marks),
        episodes=tuple(named(episodes, incidents)),
        incidents=tuple(incidents),
        outages=tuple(outages_of(spans)),
        line_spans=tuple(spans),
        cases=StoredCases(store),
        rules=tuple(readings.rules),
        tools=tuple(tools_in(store, **span)),
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
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise ReportError(f"{text!a} is no day; write it like 2017-06-19") from error
    if not 1970 <= day.year < 9999:  # days beside it must be days too
        raise ReportError(f"{text!a} lies outside the years that can be reported on")
    return day


def _text(when: datetime) -> str:
    return utc_text(when.timestamp())
