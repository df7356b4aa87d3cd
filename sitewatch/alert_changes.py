"""What changed: episodes as they are now, held against what was announced of them before.

Pure decisions. An episode is recognised by site, network and overlap in time, not by its id, which
moves with its onset when late data arrive. What was said and turned out otherwise is corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from reports.episodes import Episode, public
from reports.readings import Network
from storage.announcements import Announcement
from storage.records import Certainty

# `corrected`: a bracket that was announced lies elsewhere now. `reopened`: the end that was
# announced was none. `withdrawn`: there is no such episode any more.
Kind: TypeAlias = Literal["opened", "confirmed", "ended", "reopened", "corrected", "withdrawn"]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An episode as it is announced. Seconds since the epoch, rounded outward to ten minutes."""

    url: str
    host: str
    country: str | None
    asn: int | None
    network: str | None
    network_key: Network
    certainty: Certainty
    techniques: list[str]
    onset_earliest: float | None
    onset_latest: float
    end_earliest: float | None
    end_latest: float | None
    last_failing: float

    @classmethod
    def of(cls, episode: Episode) -> Said:
        """Return what may be said of an episode."""
        rounded = public(episode)
        return cls(
            url=episode.url,
            host=episode.name,
            country=episode.country,
            asn=episode.asn,
            network=episode.network,
            network_key=episode.network_key,
            certainty=episode.certainty,
            techniques=sorted(episode.techniques, key=lambda t: -episode.techniques[t]),
            onset_earliest=rounded.onset_earliest,
            onset_latest=rounded.onset_latest,
            end_earliest=rounded.end_earliest,
            end_latest=rounded.end_latest,
            last_failing=rounded.last_failing,
        )

    @property
    def ended(self) -> bool:
        return self.end_latest is not None

    def span(self) -> tuple[float, float]:
        """From the earliest onset to the latest end, without end while it goes on."""
        begin = self.onset_latest if self.onset_earliest is None else self.onset_earliest
        return begin, float("inf") if self.end_latest is None else self.end_latest


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What was announced of one episode: its last state as said, and how often."""

    id: str
    turns: int
    said: Said
    confirmed: bool = False
    withdrawn: bool = False


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to announce."""

    subject: str
    turn: int
    kind: Kind
    said: Said

    @classmethod
    def of(cls, noted: Announcement) -> Change:
        """Return the change that was noted."""
        said = msgspec.json.decode(noted.episode, type=Said)
        kind = msgspec.convert(noted.kind, Kind)
        return cls(subject=noted.subject, turn=noted.turn, kind=kind, said=said)

    def text(self) -> str:
        """Return the episode as it is noted: JSON."""
        return msgspec.json.encode(self.said).decode()

    @property
    def moment(self) -> float:
        """When what it tells of happened at the latest."""
        if self.kind == "ended" and self.said.end_latest is not None:
            return self.said.end_latest
        return self.said.onset_latest


def subjects_of(noted: Iterable[Announcement]) -> list[Subject]:
    """Return what was announced so far, in the order in which the subjects came up."""
    found: dict[str, Subject] = {}
    for one in noted:
        said = msgspec.json.decode(one.episode, type=Said)
        earlier = found.get(one.subject)
        confirmed = said.certainty == "confirmed" or (earlier is not None and earlier.confirmed)
        found[one.subject] = Subject(
            id=one.subject,
            turns=one.turn,
            said=said,
            confirmed=confirmed,
            withdrawn=one.kind == "withdrawn",
        )
    return list(found.values())


def changes(
    episodes: Iterable[Episode], subjects: Sequence[Subject], *, since: float
) -> list[Change]:
    """Return what is to be announced, in the order of the subjects, then of the onsets.

    `episodes` are all that the data since `since` (seconds) show; subjects that began before
    `since` are left as they were said, because the data no longer show all of them.
    """
    current = {e.id: Said.of(e) for e in episodes if e.status != "possible"}
    taken: set[str] = set()
    found: list[Change] = []
    for subject in subjects:
        matching = _best(subject, current)
        if matching is None:
            if not subject.withdrawn and subject.said.span()[0] >= since:
                found.append(_change(subject, 1, "withdrawn", subject.said))
        elif matching not in taken:  # of two that have become one, the first goes on
            taken.add(matching)
            found += _of(subject, current[matching])
    for id, said in sorted(current.items(), key=lambda item: (item[1].onset_latest, item[0])):
        if id not in taken:
            found += _first(id, said)
    return found


def _best(subject: Subject, current: dict[str, Said]) -> str | None:
    """Return the episode that this subject is now: of its id, or sharing most of its time."""
    if subject.id in current:
        return subject.id
    begin, end = subject.said.span()
    shared = {
        id: min(end, said.span()[1]) - max(begin, said.span()[0])
        for id, said in current.items()
        if (said.url, said.network_key) == (subject.said.url, subject.said.network_key)
    }
    fitting = {id: length for id, length in shared.items() if length >= 0}
    return min(fitting, key=lambda id: (-fitting[id], current[id].onset_latest), default=None)


def _of(subject: Subject, said: Said) -> list[Change]:
    """Return what is new about a subject, in the order in which it is told."""
    kinds: list[Kind] = []
    before = subject.said
    if subject.withdrawn or (before.ended and not said.ended):
        kinds.append("reopened")
    if not subject.confirmed and said.certainty == "confirmed":
        kinds.append("confirmed")
    if said.ended and (not before.ended or subject.withdrawn):
        kinds.append("ended")
    if not kinds and (_apart(_onset(before), _onset(said)) or _end_moved(before, said)):
        kinds.append("corrected")
    return [_change(subject, n, kind, said) for n, kind in enumerate(kinds, start=1)]


def _first(id: str, said: Said) -> list[Change]:
    opened = Change(subject=id, turn=1, kind="opened", said=said)
    ended = Change(subject=id, turn=2, kind="ended", said=said)
    return [opened, ended] if said.ended else [opened]


def _change(subject: Subject, further: int, kind: Kind, said: Said) -> Change:
    return Change(subject=subject.id, turn=subject.turns + further, kind=kind, said=said)


def _onset(said: Said) -> tuple[float, float]:
    earliest = float("-inf") if said.onset_earliest is None else said.onset_earliest
    return earliest, said.onset_latest


def _end_moved(before: Said, now: Said) -> bool:
    if before.end_latest is None or now.end_latest is None:
        return False
    first, second = before.end_earliest, now.end_earliest
    return _apart(
        (before.last_failing if first is None else first, before.end_latest),
        (now.last_failing if second is None else second, now.end_latest),
    )


def _apart(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Tell whether two brackets have no moment in common."""
    return first[1] < second[0] or second[1] < first[0]
