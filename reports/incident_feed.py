"""The feed of incidents: incidents.atom, in which each keeps its entry while data arrive."""

from __future__ import annotations

from reports.atom import Entry, feed
from reports.content import Content, Section
from reports.incidents import Incident
from storage.records import canonical, digest, utc_text


def incidents_atom(content: Content) -> str:
    """Return incidents.atom: an entry for each incident that is not merely possible.

    The feed's id follows from country and targets, an entry's from the id of the incident, so that
    a report of later days brings the same entries up to date.
    """
    mark = "SIMULATED: " if content.simulated else ""
    sections = sorted(content.sections, key=lambda s: (-_changed(s.incident), s.incident.id))
    return feed(
        [_entry(section, mark, content.rules_version) for section in sections],
        id=f"urn:sitewatch:incidents:{_scope(content)}",
        title=f"{mark}Sitewatch: blocked sites in {content.country}",
        updated=content.generated,
    )


def _scope(content: Content) -> str:
    analysis = content.analysis
    urls = None if analysis.urls is None else sorted(analysis.urls)
    return digest(canonical({"country": analysis.country, "urls": urls}))[7:]


def _entry(section: Section, mark: str, rules: str) -> Entry:
    incident = section.incident
    cited = [
        f"Incident {incident.id}, {len(section.records)} records, judged by the rules {rules}."
    ]
    if incident.aliases:
        cited.append(f"Known before as {', '.join(incident.aliases)}.")
    return Entry(
        id=f"urn:sitewatch:incident:{_first_id(incident)[7:]}",
        title=mark + section.story.title,
        updated=utc_text(_changed(incident)),
        paragraphs=[mark + section.story.headline, *section.story.paragraphs, *cited],
        categories=[incident.country or "??", incident.status, incident.certainty],
    )


def _first_id(incident: Incident) -> str:
    """Return the id under which it came first, since an entry's id may never change."""
    return incident.aliases[0] if incident.aliases else incident.id


def _changed(incident: Incident) -> float:
    """Return when it was last otherwise: the last measurement of it, or the last announcement."""
    last = incident.last_failing if incident.end_latest is None else incident.end_latest
    return last if incident.announced is None else max(last, incident.announced)
