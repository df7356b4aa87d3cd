"""One incident: found by its id, and an analysis narrowed to it, for a report to be cited."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches

import msgspec

from reports.analysis import Analysis
from reports.errors import ReportError
from reports.incidents import Incident
from reports.lines import LineSpan
from storage.records import utc_text

_DAY = 86400
_AROUND = 3 * _DAY  # what is shown before the onset and after the end
_FEWEST = 6  # digits of an id
_MOST_NEAR = 3


def find_incident(incidents: Sequence[Incident], wanted: str) -> Incident:
    """Return the incident whose id, or earlier id, begins with `wanted`.

    It may be written with ``sha256:`` or as in a feed. Raises ReportError naming near ones.
    """
    digits = wanted.strip().lower().rpartition(":")[2]
    if len(digits) >= _FEWEST:
        found = [i for i in incidents if any(id.startswith(digits) for id in _digits(i))]
        if len(found) == 1:
            return found[0]
        if found:
            raise ReportError(f"{len(found)} incidents have an id like {wanted[:80]!a}")
    raise ReportError(f"no incident has the id {wanted[:80]!a}; {_near(incidents, digits)}")


def narrowed(analysis: Analysis, incident: Incident) -> Analysis:
    """Return the analysis with nothing concluded but this incident, and the days around it.

    All readings stay, as contrast.
    """
    began = incident.onset_latest if incident.onset_earliest is None else incident.onset_earliest
    since = max(analysis.since, math.floor((began - _AROUND) / _DAY) * _DAY)
    until = analysis.until
    if incident.end_latest is not None:
        until = min(until, math.ceil((incident.end_latest + _AROUND) / _DAY) * _DAY)
    spans = [
        span
        for span in analysis.line_spans
        if span.country == incident.country and _touches(span, since, until)
    ]
    return msgspec.structs.replace(
        analysis,
        since_day=utc_text(since)[:10],
        until_day=utc_text(until - 1)[:10],
        since=since,
        until=until,
        country=incident.country,
        urls=frozenset(episode.url for episode in incident.episodes),
        episodes=tuple(msgspec.structs.replace(e, incident=incident.id) for e in incident.episodes),
        incidents=(incident,),
        outages=tuple(o for o in analysis.outages if any(span in spans for span in o.spans)),
        line_spans=tuple(spans),
    )


def _digits(incident: Incident) -> list[str]:
    return [id.removeprefix("sha256:") for id in (incident.id, *incident.aliases)]


def _touches(span: LineSpan, since: float, until: float) -> bool:
    return span.begin_latest < until and since <= (span.end_latest or span.end_earliest)


def _near(incidents: Sequence[Incident], digits: str) -> str:
    """Return the incidents that may have been meant, those with the likest ids first."""
    if not incidents:
        return "there is no incident in these days"
    by_id = {_digits(incident)[0]: incident for incident in incidents}
    short = {id[: max(len(digits), _FEWEST)]: id for id in by_id}
    like = [short[match] for match in get_close_matches(digits, short, _MOST_NEAR)]
    latest = sorted(by_id, key=lambda id: -by_id[id].onset_latest)
    chosen = list(dict.fromkeys([*like, *latest]))[:_MOST_NEAR]
    told = [f"{id[:12]} ({_about(by_id[id])})" for id in chosen]
    return f"there {'is' if len(told) == 1 else 'are'} {', '.join(told)}"


def _about(incident: Incident) -> str:
    day = utc_text(incident.onset_latest)[:10]
    return " ".join(filter(None, [ascii(incident.host)[1:-1][:60], incident.country, day]))
