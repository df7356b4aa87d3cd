"""Contrast: what else worked in the same minutes, and what outside views saw meanwhile."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

import msgspec

from reports.analysis import Analysis
from reports.cases import Case
from reports.episodes import Episode
from reports.evidence import Evidence
from reports.readings import Network, Reading

SAME_MINUTES = 15 * 60
MOST_EXAMINED = 400  # failing measurements of one episode that are looked at one by one


class Support(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over failing measurements: what speaks for interference.

    Each count is of measurements in which the thing was seen; `failing` is how many were looked
    at, evenly spread in time where there are more than `MOST_EXAMINED` in an episode.
    """

    failing: int
    others_worked: int  # another site worked on the same vantage within 15 minutes
    helper_answered: int
    reached_abroad: int
    reached_inside: int  # from another network of the country within the hour
    experiments: int  # contrast experiments that were run
    name_alone: int  # in which only the name decided
    cut_elsewhere: int  # in which the name was cut off at a stranger's address
    address_known: int  # the address that failed is known to others as the site's
    vantages: int


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The same of one failing measurement."""

    vantage: str
    others_worked: bool
    helper_answered: bool = False
    reached_abroad: bool = False
    reached_inside: bool = False
    experiments: bool = False
    name_alone: bool = False
    cut_elsewhere: bool = False
    address_known: bool = False


_COUNTED = tuple(name for name in _Seen.__struct_fields__ if name != "vantage")


class Examiner:
    """Looks at failing measurements one by one, and at each only once."""

    def __init__(self, analysis: Analysis) -> None:
        self._cases: Mapping[str, Case] = analysis.cases
        failing = {id for episode in analysis.episodes for id in episode.readings}
        self._failing = {r.id: r for r in analysis.readings if r.id in failing}
        vantages = {reading.vantage for reading in self._failing.values()}
        self._working: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for reading in analysis.readings:
            if reading.is_open and reading.vantage in vantages:
                self._working[reading.vantage].append((reading.seconds, reading.host))
        for times in self._working.values():
            times.sort(key=itemgetter(0))
        self._seen: dict[str, _Seen] = {}

    def failing_of(self, episode: Episode) -> list[Reading]:
        """Return the failing readings of an episode, by time."""
        return [self._failing[id] for id in episode.readings if id in self._failing]

    def support(self, episodes: Iterable[Episode]) -> Support:
        """Count what was seen beside the failing measurements of some episodes."""
        seen = [
            self._look(reading)
            for episode in episodes
            for reading in spread(self.failing_of(episode), MOST_EXAMINED)
        ]
        counts = {name: sum(getattr(one, name) for one in seen) for name in _COUNTED}
        return Support(failing=len(seen), vantages=len({one.vantage for one in seen}), **counts)

    def _look(self, reading: Reading) -> _Seen:
        known = self._seen.get(reading.id)
        if known is None:
            known = self._seen[reading.id] = self._examine(reading)
        return known

    def _examine(self, reading: Reading) -> _Seen:
        beside = _Seen(vantage=reading.vantage, others_worked=self._others_worked(reading))
        case = self._cases.get(reading.id)
        if case is None:
            return beside
        e = Evidence(case)
        return msgspec.structs.replace(
            beside,
            helper_answered=bool(e.helpers),
            reached_abroad=bool(e.reached_abroad),
            reached_inside=bool(e.reached_inside),
            experiments=bool(e.contrast.results),
            name_alone=e.contrast.name_alone_decides(e.name),
            cut_elsewhere=e.blocked_elsewhere,
            address_known=e.failed is not None and e.failed.address in e.named_elsewhere,
        )

    def _others_worked(self, reading: Reading) -> bool:
        """Was another host's page open on the same vantage in the same minutes?"""
        times = self._working[reading.vantage]
        position = bisect_left(times, reading.seconds - SAME_MINUTES, key=itemgetter(0))
        while position < len(times) and times[position][0] <= reading.seconds + SAME_MINUTES:
            if times[position][1] != reading.host:
                return True
            position += 1
        return False


def spread(readings: Sequence[Reading], most: int) -> list[Reading]:
    """Return at most `most` readings, evenly spread, the first and the last among them."""
    if len(readings) <= most:
        return list(readings)
    return [readings[round(n * (len(readings) - 1) / (most - 1))] for n in range(most)]


class TargetRow(msgspec.Struct, frozen=True, kw_only=True):
    """How one target fared over the whole report: counts of readings by verdict.

    `by_network` has for each network how many readings failed (judged blocked) of how many.
    """

    url: str
    host: str
    measurements: int
    counts: dict[str, int]
    by_network: dict[Network, tuple[int, int]]
    first_down: float | None = None
    last_down: float | None = None
    down_networks: int = 0

    @property
    def networks(self) -> int:
        return len(self.by_network)


class _Tally:
    """Counts of one target, as readings go by."""

    def __init__(self, url: str, host: str) -> None:
        self.url, self.host = url, host
        self.counts: Counter[str] = Counter()
        self.networks: dict[Network, list[int]] = defaultdict(lambda: [0, 0])
        self.down: list[Reading] = []

    def add(self, reading: Reading) -> None:
        self.counts[reading.status] += 1
        network = self.networks[reading.network_key]
        network[0] += reading.is_blocked
        network[1] += 1
        if reading.status == "down":
            self.down.append(reading)

    def row(self) -> TargetRow:
        return TargetRow(
            url=self.url,
            host=self.host,
            measurements=sum(self.counts.values()),
            counts=dict(self.counts),
            by_network={key: (blocked, n) for key, (blocked, n) in self.networks.items()},
            first_down=min((reading.seconds for reading in self.down), default=None),
            last_down=max((reading.seconds for reading in self.down), default=None),
            down_networks=len({reading.network_key for reading in self.down}),
        )


def target_rows(readings: Iterable[Reading]) -> list[TargetRow]:
    """Return a row for each target, those with the most blocked readings first."""
    tallies: dict[str, _Tally] = {}
    for reading in readings:
        tally = tallies.get(reading.url)
        if tally is None:
            tally = tallies[reading.url] = _Tally(reading.url, reading.host)
        tally.add(reading)
    rows = [tally.row() for tally in tallies.values()]
    return sorted(rows, key=lambda row: (-row.counts.get("blocked", 0), row.host, row.url))
