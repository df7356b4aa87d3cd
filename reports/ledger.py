"""Ledger: all readings of a report in order, so that each section finds its own quickly."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate
from operator import attrgetter

from reports.readings import Network, Reading
from reports.text import plain

_seconds = attrgetter("seconds")


class Series:
    """The readings of one target on one network by vantages of one kind, by time."""

    def __init__(self, readings: list[Reading]) -> None:
        self.readings = sorted(readings, key=lambda r: (r.seconds, r.id))
        first = self.readings[0]
        self.url, self.host, self.kind = first.url, first.host, first.vantage_kind
        self.country, self.network = first.country, first.network_key

    @cached_property
    def _opened(self) -> list[int]:
        return [0, *accumulate(int(reading.is_open) for reading in self.readings)]

    def open_between(self, since: float, until: float) -> tuple[int, int]:
        """Return how many readings from `since` to `until` were open, and how many there are."""
        begin = bisect_left(self.readings, since, key=_seconds)
        end = bisect_right(self.readings, until, key=_seconds)
        return self._opened[end] - self._opened[begin], end - begin


class Ledger:
    """All series of a report."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        grouped: dict[tuple[str, Network, str], list[Reading]] = defaultdict(list)
        for reading in readings:
            grouped[reading.vantage_kind, reading.network_key, reading.url].append(reading)
        self.series = [Series(own) for own in grouped.values()]
        self._by_network: dict[Network, list[Series]] = defaultdict(list)
        self._by_site: dict[tuple[str, str | None], list[Series]] = defaultdict(list)
        for series in self.series:
            if series.kind == "field":
                self._by_network[series.network].append(series)
                self._by_site[series.host, series.country].append(series)

    def on_network(self, network: Network) -> list[Series]:
        """Return what field vantages measured on one network."""
        return self._by_network[network]

    def of_site(self, host: str, country: str | None) -> list[Reading]:
        """Return what field vantages in one country measured of one host, by time."""
        readings = [r for series in self._by_site[host, country] for r in series.readings]
        return sorted(readings, key=lambda r: (r.seconds, r.id))

    def from_reference(self, host: str) -> list[Series]:
        """Return what reference vantages measured of one host."""
        return [s for s in self.series if s.kind == "reference" and s.host == host]

    @cached_property
    def names(self) -> dict[Network, str]:
        """Return how each network is called, with its number."""
        names: dict[Network, str] = {}
        for series in self.series:
            named = next((r.network for r in reversed(series.readings) if r.network), None)
            asn = series.network[1]
            if asn is None:
                text = named or f"network of vantage {series.network[2][:8]}"
            else:
                text = f"{named} (AS{asn})" if named else f"AS{asn}"
            if named or series.network not in names:
                names[series.network] = plain(text)
        return names
