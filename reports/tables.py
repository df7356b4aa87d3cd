"""Tables: episodes.json, the report's data for other programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from reports.content import Content
from reports.episodes import Episode
from reports.incidents import Outage, incidents_of, named
from reports.lines import LineSpan
from reports.text import plain

FORMAT = "sitewatch-episodes/1"


def episodes_json(content: Content) -> str:
    """Return episodes.json of a report."""
    analysis = content.analysis
    return document(
        analysis.episodes,
        analysis.outages,
        generated=content.generated,
        simulated=content.simulated,
        rules=analysis.rules,
        aliases={incident.id: incident.aliases for incident in analysis.incidents},
    )


def document(
    episodes: Iterable[Episode],
    outages: Iterable[Outage] = (),
    *,
    generated: str,
    simulated: bool | None,
    rules: Sequence[str] = (),
    aliases: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return a document of format sitewatch-episodes/1 as indented JSON text.

    Episodes that come straight from readings get their incidents here. `rules` are the versions
    that judged the readings, where known; `aliases` are earlier ids of incidents, by id.
    """
    episodes = list(episodes)
    if any(episode.incident is None for episode in episodes):
        episodes = named(episodes, incidents_of(episodes, readings=[]))
    value = {
        "format": FORMAT,
        "generated": generated,
        "simulated": simulated,
        "rules": list(rules),
        "outages": [_outage(outage) for outage in outages],
        "episodes": [
            _episode(episode, (aliases or {}).get(episode.incident or "", ()))
            for episode in episodes
        ],
    }
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def _episode(episode: Episode, aliases: Sequence[str]) -> dict[str, Any]:
    return {
        "id": episode.id,
        "incident": episode.incident,
        "incident_aliases": list(aliases),
        "url": plain(episode.url, 2000),
        "country": episode.country,
        "asn": episode.asn,
        "network": _text(episode.network),
        "status": episode.status,
        "onset_earliest": time_text(episode.onset_earliest),
        "onset_latest": time_text(episode.onset_latest),
        "end_earliest": time_text(episode.end_earliest),
        "end_latest": time_text(episode.end_latest),
        "onset_p05": time_text(episode.onset_p05),
        "onset_p95": time_text(episode.onset_p95),
        "end_p05": time_text(episode.end_p05),
        "end_p95": time_text(episode.end_p95),
        "last_blocked": time_text(episode.last_failing),
        "measurements": episode.measurements,
        "blocked": episode.failing if episode.certainty != "suspected" else 0,
        "coverage": episode.coverage,
        "gaps": [[time_text(start), time_text(end)] for start, end in episode.gaps],
        "vantages": episode.vantages,
        "techniques": episode.techniques,
        "certainty": episode.certainty,
        "reasons": [plain(reason, 500) for reason in episode.reasons],
    }


def _outage(outage: Outage) -> dict[str, Any]:
    return {
        "id": outage.id,
        "country": outage.country,
        "networks": [_line(span) for span in outage.spans],
    }


def _line(span: LineSpan) -> dict[str, Any]:
    return {
        "asn": span.asn,
        "network": _text(span.network),
        "states": list(span.states),
        "begin_earliest": time_text(span.begin_earliest),
        "begin_latest": time_text(span.begin_latest),
        "end_earliest": time_text(span.end_earliest),
        "end_latest": time_text(span.end_latest),
        "rounds": span.rounds,
    }


def _text(text: str | None) -> str | None:
    return None if text is None else plain(text)


def time_text(seconds: float | None) -> str | None:
    """Return seconds as ISO 8601 in UTC; microseconds only where there are any."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
