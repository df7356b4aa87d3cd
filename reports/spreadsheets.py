"""Spreadsheets: episodes.csv, and stop.csv in the columns of Access Now's STOP data."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from reports.content import Content
from reports.episodes import Episode
from reports.incidents import Incident, Outage, Part
from reports.places import moment, place
from reports.tables import time_text
from reports.text import cell

EPISODE_COLUMNS = (
    *("id", "incident", "url", "country", "asn", "network", "status", "certainty"),
    *("onset_earliest", "onset_latest", "end_earliest", "end_latest"),
    *("onset_p05", "onset_p95", "end_p05", "end_p95", "last_blocked"),
    *("measurements", "failed", "coverage", "vantages", "techniques", "simulated", "rules"),
)
# STOP's own columns, under which its yearly sheets are kept.
STOP_COLUMNS = (
    *("start_date", "end_date", "duration", "country", "area_name", "ordered_by"),
    *("affected_network", "actual_cause", "event", "gov_justification", "gov_ack_source"),
    "info_source_link",
)
# What STOP has no column for.
OUR_COLUMNS = (
    *("sitewatch_id", "sitewatch_site", "sitewatch_technique", "sitewatch_certainty"),
    *("sitewatch_networks_blocked", "sitewatch_networks_not_blocked"),
    *("sitewatch_networks_unclear", "sitewatch_measurements", "sitewatch_failed"),
    *("sitewatch_onset_earliest", "sitewatch_onset_latest"),
    *("sitewatch_end_earliest", "sitewatch_end_latest", "sitewatch_simulated", "sitewatch_rules"),
)
_DAY = 86400


def episodes_csv(content: Content) -> str:
    """Return episodes.csv: a row for each episode of the report."""
    rows = [_episode(episode, content) for episode in content.analysis.episodes]
    return _table(EPISODE_COLUMNS, rows)


def stop_csv(content: Content) -> str:
    """Return stop.csv: a row for each incident that is not merely possible, and each cut line.

    Of STOP's columns only those are filled that measurements and annotations speak of.
    """
    rows = [_incident(section.incident, content) for section in content.sections]
    rows += [_outage(outage, content) for outage in content.analysis.outages]
    columns = (*STOP_COLUMNS, *OUR_COLUMNS)
    return _table(columns, [[row.get(column) for column in columns] for row in rows])


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if value is None else cell(str(value)) for value in row])
    return text.getvalue()


def _episode(episode: Episode, content: Content) -> list[object]:
    return [
        episode.id,
        episode.incident,
        episode.url,
        episode.country,
        episode.asn,
        episode.network,
        episode.status,
        episode.certainty,
        time_text(episode.onset_earliest),
        time_text(episode.onset_latest),
        time_text(episode.end_earliest),
        time_text(episode.end_latest),
        time_text(episode.onset_p05),
        time_text(episode.onset_p95),
        time_text(episode.end_p05),
        time_text(episode.end_p95),
        time_text(episode.last_failing),
        episode.measurements,
        episode.failing,
        None if episode.coverage is None else f"{episode.coverage:.3f}",
        episode.vantages,
        _counts(episode.techniques),
        _flag(content.simulated),
        content.rules_version,
    ]


def _incident(incident: Incident, content: Content) -> dict[str, object]:
    urls = {episode.url for episode in incident.episodes}
    return {
        **_days(incident.onset_latest, incident.end_earliest),
        "country": None if incident.country is None else place(incident.country).name,
        "info_source_link": " ".join(
            note.source for note in content.annotations if note.is_about(incident.country, urls)
        ),
        "sitewatch_id": incident.id,
        "sitewatch_site": incident.host,
        "sitewatch_technique": _counts(incident.techniques),
        "sitewatch_certainty": incident.certainty,
        "sitewatch_networks_blocked": _names(incident, "blocked"),
        "sitewatch_networks_not_blocked": _names(incident, "not-blocked"),
        "sitewatch_networks_unclear": _names(incident, "possible", "too-little"),
        "sitewatch_measurements": sum(e.measurements for e in incident.episodes),
        "sitewatch_failed": sum(e.failing for e in incident.episodes),
        "sitewatch_onset_earliest": time_text(incident.onset_earliest),
        "sitewatch_onset_latest": time_text(incident.onset_latest),
        "sitewatch_end_earliest": time_text(incident.end_earliest),
        "sitewatch_end_latest": time_text(incident.end_latest),
        "sitewatch_simulated": _flag(content.simulated),
        "sitewatch_rules": content.rules_version,
    }


def _outage(outage: Outage, content: Content) -> dict[str, object]:
    spans = outage.spans
    ended = all(span.end_latest is not None for span in spans)
    begin = min(span.begin_latest for span in spans)
    last = max(span.end_earliest for span in spans)
    known = [span.begin_earliest for span in spans if span.begin_earliest is not None]
    states = sorted({state for span in spans for state in span.states})
    names = sorted({_line(span.asn, span.network) for span in spans})
    return {
        **_days(begin, last if ended else None),
        "country": None if outage.country is None else place(outage.country).name,
        "sitewatch_id": outage.id,
        "sitewatch_technique": " ".join(states),
        "sitewatch_networks_blocked": "; ".join(names),
        "sitewatch_measurements": sum(span.rounds for span in spans),
        "sitewatch_failed": sum(span.rounds for span in spans),
        "sitewatch_onset_earliest": time_text(min(known, default=None)),
        "sitewatch_onset_latest": time_text(begin),
        "sitewatch_end_earliest": time_text(last) if ended else None,
        "sitewatch_end_latest": time_text(max(s.end_latest or 0 for s in spans)) if ended else None,
        "sitewatch_simulated": _flag(content.simulated),
        "sitewatch_rules": content.rules_version,
    }


def _days(begin: float, end: float | None) -> dict[str, object]:
    """STOP's dates: the UTC days of the first and the last failing measurement."""
    first = moment(begin)
    if end is None:
        return {"start_date": f"{first:%Y/%m/%d}"}
    last = moment(end)
    return {
        "start_date": f"{first:%Y/%m/%d}",
        "end_date": f"{last:%Y/%m/%d}",
        "duration": (last.date() - first.date()).days,
    }


def _names(incident: Incident, *parts: Part) -> str:
    return "; ".join(network.name for part in parts for network in incident.parts(part))


def _line(asn: int | None, network: str | None) -> str:
    number = None if asn is None else f"AS{asn}"
    return " ".join(filter(None, [number, network])) or "unknown network"


def _counts(techniques: dict[str, int]) -> str:
    return " ".join(f"{path}={count}" for path, count in techniques.items())


def _flag(value: bool) -> str:
    return "true" if value else "false"
