"""Contrast: what else worked in the same minutes, and what outside views saw meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from reports.analysis import Analysis
from reports.episodes import Episode
from reports.evidence import Evidence
from reports.history import History, Series, series_name
from reports.readings import Network, Reading
from reports.verdict_arrays import DOWN

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
        self._cases = analysis.cases
        self._history = analysis.readings
        self._failing: dict[str, list[Reading]] = {}
        self._cases.look_up({id for episode in analysis.episodes for id in episode.readings})
        self._seen: dict[str, _Seen] = {}

    def failing_of(self, episode: Episode) -> list[Reading]:
        """Return the failing readings of an episode, by time."""
        known = self._failing.get(episode.id)
        if known is None:
            name = series_name(episode.url, episode.network_key, field=True)
            known = self._history.named(name).failing(episode.readings)
            self._failing[episode.id] = known
        return known

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
        if reading.id not in self._cases:
            return beside
        e = Evidence(self._cases[reading.id])
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
        beside = self._history.open_beside(reading.vantage, reading.seconds, SAME_MINUTES)
        return any(host != reading.host for host in beside)


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


def target_rows(history: History) -> list[TargetRow]:
    """Return a row for each target, those with the most blocked readings first."""
    by_url: dict[str, list[Series]] = defaultdict(list)
    for number, name in enumerate(history.names):
        by_url[name.url].append(history.series(number))
    rows = [_row(url, every) for url, every in by_url.items()]
    return sorted(rows, key=lambda row: (-row.counts.get("blocked", 0), row.host, row.url))


def _row(url: str, every: Sequence[Series]) -> TargetRow:
    counts: Counter[str] = Counter()
    networks: dict[Network, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for series in every:
        counts.update(series.statuses())
        blocked, measured = networks[series.name.network]
        own = blocked + int(series.blocked.sum()), measured + len(series)
        networks[series.name.network] = own
    down = [(s.seconds[s.kind == DOWN], s) for s in every if (s.kind == DOWN).any()]
    return TargetRow(
        url=url,
        host=every[0].host,
        measurements=sum(counts.values()),
        counts=dict(counts),
        by_network=dict(networks),
        first_down=min((float(times[0]) for times, _ in down), default=None),
        last_down=max((float(times[-1]) for times, _ in down), default=None),
        down_networks=len({series.name.network for _, series in down}),
    )
