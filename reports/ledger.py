"""Ledger: all series of a report, so that each section finds its own quickly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np

from reports.history import History, Series
from reports.readings import Network, Reading
from reports.text import plain


class Ledger:
    """All series of a report."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.series = [history.series(number) for number in range(len(history.names))]
        self._by_network: dict[Network, list[Series]] = defaultdict(list)
        for series in self.field:
            self._by_network[series.name.network].append(series)

    @property
    def field(self) -> list[Series]:
        """What field vantages measured."""
        return [series for series in self.series if series.name.field]

    def on_network(self, network: Network) -> Sequence[Series]:
        """Return what field vantages measured on one network."""
        return self._by_network.get(network, ())

    def of_site(self, hosts: Collection[str], country: str | None) -> list[Reading]:
        """Return what field vantages in one country measured of these hosts, by time."""
        every = [one for own in self._history.of_hosts(hosts, country) for one in own]
        return sorted(every, key=lambda r: (r.seconds, r.id))

    def from_reference(self, hosts: Collection[str]) -> list[Series]:
        """Return what reference vantages measured of these hosts."""
        return [s for s in self.series if not s.name.field and s.host in hosts]

    @cached_property
    def vantages(self) -> dict[Network, set[str]]:
        """Return the field vantages of each network."""
        found: dict[Network, set[str]] = defaultdict(set)
        for series in self.field:
            numbers = np.unique(series.vantage).tolist()
            found[series.name.network].update(series.vantages[number] for number in numbers)
        return found

    @cached_property
    def names(self) -> dict[Network, str]:
        """Return how each network is called, with its number."""
        names: dict[Network, str] = {}
        for series in self.series:
            named = series.network_name
            _, asn, vantage = series.name.network
            if asn is None:
                text = named or f"network of vantage {vantage[:8]}"
            else:
                text = f"{named} (AS{asn})" if named else f"AS{asn}"
            if named or series.name.network not in names:
                names[series.name.network] = plain(text)
        return names
