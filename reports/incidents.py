"""Incidents: the episodes of one site over the networks of a country, and cuts of whole lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from reports.episodes import Episode
from reports.episodes import public as public_episode
from reports.history import History, Series
from reports.lines import LineSpan
from reports.readings import Network, Reading
from reports.rounding import earlier, later
from storage.records import Certainty, canonical, digest, utc_text

# Episodes that begin within a day of the others' end are one incident: networks follow an order
# within hours, and reports of consecutive days are usually of one event.
JOIN_SECONDS = 24 * 3600
ENOUGH = 3  # open readings for the statement that a network did not block

Part: TypeAlias = Literal["blocked", "possible", "not-blocked", "too-little"]


class NetworkPart(msgspec.Struct, frozen=True, kw_only=True):
    """One network's part in an incident; counts are of readings while the incident lasted."""

    key: Network
    asn: int | None
    network: str | None
    part: Part
    measurements: int
    failing: int
    vantages: int

    @property
    def name(self) -> str:
        if self.asn is None:
            return self.network or f"network of vantage {self.key[2][:8]}"
        return f"{self.network} (AS{self.asn})" if self.network else f"AS{self.asn}"


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Episodes of one name in one country that belong together. Times as in `Episode`.

    `host` is the name that is blocked, `hosts` those that were asked for: others behind redirects.
    `aliases` are the ids under which it was announced before late data moved its onset, the first
    one first; `announced` is when it was last announced, rounded up to ten minutes.
    """

    id: str
    aliases: tuple[str, ...] = ()
    announced: float | None = None
    host: str
    hosts: tuple[str, ...]
    country: str | None
    status: Literal["ongoing", "ended", "possible"]
    certainty: Certainty
    onset_earliest: float | None
    onset_latest: float
    end_earliest: float | None
    end_latest: float | None
    last_failing: float
    episodes: tuple[Episode, ...]
    networks: tuple[NetworkPart, ...]
    techniques: dict[str, int]

    def parts(self, part: Part) -> list[NetworkPart]:
        return [network for network in self.networks if network.part == part]


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """A line cut by its shape (foreign or most hosts unreachable): never a site's blocking."""

    id: str
    country: str | None
    spans: tuple[LineSpan, ...]


def incidents_of(
    episodes: Iterable[Episode], readings: History | Iterable[Reading]
) -> list[Incident]:
    """Return the incidents, those with a certain episode first, then by onset."""
    history = readings if isinstance(readings, History) else History.of(readings)
    incidents = [_incident(group, history) for own in _by_name(episodes) for group in _groups(own)]
    return sorted(incidents, key=lambda i: (i.status == "possible", i.onset_latest, i.id))


def _by_name(episodes: Iterable[Episode]) -> list[list[Episode]]:
    """Episodes of one country whose hosts, or whose blocked names, are the same."""
    groups: list[tuple[set[tuple[str, str | None]], list[Episode]]] = []
    for episode in episodes:
        names = {(name, episode.country) for name in (episode.host, episode.name)}
        members = [episode]
        for group in [group for group in groups if group[0] & names]:
            groups.remove(group)
            names |= group[0]
            members = group[1] + members
        groups.append((names, members))
    return [members for _, members in groups]


def public(incident: Incident) -> Incident:
    """Return the incident and its episodes with their times rounded outward; ids stay."""
    return msgspec.structs.replace(
        incident,
        onset_earliest=earlier(incident.onset_earliest),
        onset_latest=later(incident.onset_latest),
        end_earliest=earlier(incident.end_earliest),
        end_latest=later(incident.end_latest),
        last_failing=later(incident.last_failing),
        episodes=tuple(public_episode(episode) for episode in incident.episodes),
    )


def named(episodes: Iterable[Episode], incidents: Iterable[Incident]) -> list[Episode]:
    """Return the episodes with the ids of their incidents filled in."""
    ids = {episode.id: incident.id for incident in incidents for episode in incident.episodes}
    return [msgspec.structs.replace(episode, incident=ids[episode.id]) for episode in episodes]


def outages_of(spans: Iterable[LineSpan]) -> list[Outage]:
    """Return cuts of lines, those of one country that overlap together."""
    groups: list[list[LineSpan]] = []
    cut = [span for span in spans if span.is_outage]
    for span in sorted(cut, key=lambda span: (span.country or "", span.begin_latest, span.vantage)):
        last = groups[-1] if groups else []
        near = bool(last) and last[0].country == span.country
        if near and span.begin_latest <= max(s.end_latest or s.end_earliest for s in last):
            last.append(span)
        else:
            groups.append([span])
    return [
        Outage(
            id=incident_id("", group[0].country, group[0].begin_latest),
            country=group[0].country,
            spans=tuple(group),
        )
        for group in groups
    ]


def _groups(episodes: Sequence[Episode]) -> list[list[Episode]]:
    """Those that overlap or nearly do; possible ones never join certain ones."""
    groups: list[list[Episode]] = []
    ordered = sorted(episodes, key=lambda e: (e.status == "possible", e.onset_latest, e.id))
    reach = float("-inf")
    for episode in ordered:
        same_kind = bool(groups) and (groups[-1][0].status == "possible") == (
            episode.status == "possible"
        )
        if same_kind and episode.onset_latest <= reach + JOIN_SECONDS:
            groups[-1].append(episode)
            reach = max(reach, _reach(episode))
        else:
            groups.append([episode])
            reach = _reach(episode)
    return groups


def _reach(episode: Episode) -> float:
    return float("inf") if episode.end_latest is None else episode.end_latest


def _incident(episodes: Sequence[Episode], history: History) -> Incident:
    first = min(episodes, key=lambda e: (e.onset_latest, e.id))
    ongoing = any(episode.end_latest is None for episode in episodes)
    last = max(episodes, key=lambda e: (e.end_latest or float("inf"), e.id))
    last_failing = max(episode.last_failing for episode in episodes)
    techniques: dict[str, int] = defaultdict(int)
    for episode in episodes:
        for path, count in episode.techniques.items():
            techniques[path] += count
    possible = episodes[0].status == "possible"
    hosts = sorted({episode.host for episode in episodes})
    return Incident(
        id=incident_id(first.name, first.country, first.onset_latest),
        host=first.name,
        hosts=tuple(hosts),
        country=first.country,
        status="possible" if possible else "ongoing" if ongoing else "ended",
        certainty="confirmed"
        if any(episode.certainty == "confirmed" for episode in episodes)
        else first.certainty,
        onset_earliest=first.onset_earliest,
        onset_latest=first.onset_latest,
        end_earliest=None if ongoing else last.end_earliest,
        end_latest=None if ongoing else last.end_latest,
        last_failing=last_failing,
        episodes=tuple(sorted(episodes, key=lambda e: (e.asn or 0, e.onset_latest, e.id))),
        networks=_networks(
            episodes, history.of_hosts(hosts, first.country), first.onset_latest, last_failing
        ),
        techniques=dict(sorted(techniques.items(), key=lambda item: (-item[1], item[0]))),
    )


def _networks(
    episodes: Sequence[Episode], every: Iterable[Series], since: float, until: float
) -> tuple[NetworkPart, ...]:
    """Every network that ever measured the site, by its part between `since` and `until`."""
    by_network: dict[Network, list[Series]] = defaultdict(list)
    for series in every:
        by_network[series.name.network].append(series)
    affected: dict[Network, list[Episode]] = defaultdict(list)
    for episode in episodes:
        affected[episode.network_key].append(episode)
    parts = [_part(key, own, affected[key], since, until) for key, own in by_network.items()]
    order = ("blocked", "possible", "not-blocked", "too-little")
    return tuple(sorted(parts, key=lambda p: (order.index(p.part), p.asn or 0, p.key[2])))


def _part(
    key: Network, every: Sequence[Series], episodes: Sequence[Episode], since: float, until: float
) -> NetworkPart:
    inside = [(s, (s.seconds >= since) & (s.seconds <= until)) for s in every]
    part: Part = "too-little"
    if any(episode.status != "possible" for episode in episodes):
        part = "blocked"
    elif episodes:
        part = "possible"
    elif sum(int((series.open & rows).sum()) for series, rows in inside) >= ENOUGH:
        part = "not-blocked"
    measured = sum(int(rows.sum()) for _, rows in inside)
    return NetworkPart(
        key=key,
        asn=key[1],
        network=max(every, key=lambda series: float(series.seconds[-1])).network_name,
        part=part,
        measurements=sum(e.measurements for e in episodes) if episodes else measured,
        failing=sum(e.failing for e in episodes) if episodes else 0,
        vantages=len({number for s, rows in inside for number in s.vantage[rows].tolist()}),
    )


def incident_id(host: str, country: str | None, onset: float) -> str:
    """Return the id: the hash of host, country and the UTC date of the latest onset."""
    return digest(canonical({"host": host, "country": country, "date": utc_text(onset)[:10]}))
