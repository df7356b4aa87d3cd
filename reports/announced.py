"""What was announced before: by which ids an incident was known, and when it was last told anew.

An incident's id follows from its host, country and day, and moves with the day when late data move
its onset. The log of announcements keeps what was said, so that earlier ids stay known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from reports.incidents import Incident, incident_id
from reports.rounding import later
from storage.announcements import Announcement
from storage.records import utc_seconds


class _Said(msgspec.Struct, frozen=True):
    """What of an announced episode tells which incident it belongs to."""

    host: str
    country: str | None
    onset_latest: float
    onset_earliest: float | None = None
    end_latest: float | None = None


def as_announced(incidents: Iterable[Incident], noted: Iterable[Announcement]) -> list[Incident]:
    """Return the incidents with the ids and the time under which they were announced before."""
    said = [(msgspec.json.decode(each.episode, type=_Said), each.noticed) for each in noted]
    return [_with_past(incident, said) for incident in incidents]


def _with_past(incident: Incident, said: Sequence[tuple[_Said, str]]) -> Incident:
    own = [(each, noticed) for each, noticed in said if _is_of(each, incident)]
    if not own:
        return incident
    ids = [incident_id(each.host, each.country, each.onset_latest) for each, _ in own]
    return msgspec.structs.replace(
        incident,
        aliases=tuple(id for id in dict.fromkeys(ids) if id != incident.id),
        announced=later(max(utc_seconds(noticed) for _, noticed in own)),
    )


def _is_of(said: _Said, incident: Incident) -> bool:
    """Tell whether the announced episode and the incident share any moment."""
    begin = said.onset_latest if said.onset_earliest is None else said.onset_earliest
    end = float("inf") if said.end_latest is None else said.end_latest
    known = incident.onset_earliest
    first = incident.onset_latest if known is None else known
    last = float("inf") if incident.end_latest is None else incident.end_latest
    same = (said.host, said.country) == (incident.host, incident.country)
    return same and begin <= last and first <= end
