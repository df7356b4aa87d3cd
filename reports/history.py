"""History: all readings of a span as columns, a series for each target on each network.

Millions of readings fit into columns, and not into objects; a `Reading` is made for those alone
that something is said about.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import overload

import msgspec
import numpy as np

from reports.readings import Network, Reading
from reports.verdict_arrays import (
    CONFIRMED,
    DOWN,
    LIKELY,
    OPEN,
    RESTRICTED,
    SILENT,
    SUSPECTED,
    Flags,
    Floats,
    Ints,
    Kinds,
    VerdictArrays,
)
from storage.outcomes import short
from storage.records import Certainty, Status


class SeriesName(msgspec.Struct, frozen=True, order=True):
    """One target on one network, by field vantages or by reference ones."""

    field: bool
    url: str
    country: str
    asn: int
    vantage: str  # only where the network's number is unknown: such vantages are never pooled

    @property
    def network(self) -> Network:
        return self.country or None, self.asn or None, self.vantage


def series_name(url: str, network: Network, *, field: bool) -> SeriesName:
    """Return the name; what is unknown in it is empty, so that names can be sorted."""
    return SeriesName(field, url, network[0] or "", network[1] or 0, network[2])


def kind_of(status: Status, certainty: Certainty | None) -> int:
    """Return what a reading says, as a number of `reports.verdict_arrays`."""
    if status == "blocked":
        return CONFIRMED if certainty == "confirmed" else LIKELY
    if status == "inconclusive" and certainty == "suspected":
        return SUSPECTED
    return {"accessible": OPEN, "down": DOWN, "restricted": RESTRICTED}.get(status, SILENT)


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """What is in no column: a row's reading, its reason, its round's number, counts of verdicts."""

    reading: Callable[[int], Reading]
    reason: Callable[[int], str | None]
    round: Callable[[int], int | None]
    statuses: Callable[[int, int], Mapping[str, int]]  # how many of each from row to row


class History(Sequence[Reading]):
    """Readings by series, time and id. As a sequence it makes a `Reading` for each that is read."""

    def __init__(
        self,
        names: Sequence[SeriesName],
        hosts: Sequence[str],
        vantages: Sequence[str],
        data: VerdictArrays,
        texts: Texts,
        rules: Sequence[str] = (),
    ) -> None:
        self.rules = rules  # the versions that the readings were judged by, where known
        self.names, self.hosts, self.vantages = names, hosts, vantages
        self.data = data
        self._texts = texts
        self._starts = data.starts().tolist()
        self._open_by_vantage: dict[int, tuple[Floats, Ints]] = {}
        self._by_host: dict[tuple[str, str | None], list[int]] = defaultdict(list)
        for number, name in enumerate(names):
            if name.field:
                self._by_host[hosts[number], name.network[0]].append(number)

    @classmethod
    def of(cls, readings: Iterable[Reading]) -> History:
        """Return the history of readings in any order; repeated ids count once."""
        groups: dict[SeriesName, dict[str, Reading]] = {}
        for one in readings:
            name = series_name(one.url, one.network_key, field=one.vantage_kind == "field")
            groups.setdefault(name, {})[one.id] = one
        names = sorted(groups)  # so that sums of fractions do not depend on the order of arrival
        ordered = [sorted(groups[n].values(), key=lambda r: (r.seconds, r.id)) for n in names]
        every = [one for group in ordered for one in group]
        vantages = sorted({one.vantage for one in every})
        place = {vantage: number for number, vantage in enumerate(vantages)}
        hosts = [group[0].host for group in ordered]
        data = arrays(
            names,
            hosts,
            series=np.repeat(np.arange(len(names)), [len(group) for group in ordered]),
            seconds=np.array([one.seconds for one in every], dtype=np.float64),
            vantage=np.array([place[one.vantage] for one in every], dtype=np.int64),
            kind=np.array([kind_of(one.status, one.certainty) for one in every], dtype=np.int8),
        )
        texts = Texts(
            reading=every.__getitem__,
            reason=lambda row: every[row].reason,
            round=lambda row: None if (id := every[row].round) is None else short(id),
            statuses=lambda low, high: Counter(one.status for one in every[low:high]),
        )
        return cls(names, hosts, vantages, data, texts)

    def __len__(self) -> int:
        return len(self.data.kind)

    @overload
    def __getitem__(self, row: int) -> Reading: ...
    @overload
    def __getitem__(self, row: slice) -> list[Reading]: ...
    def __getitem__(self, row: int | slice) -> Reading | list[Reading]:
        if isinstance(row, slice):
            return [self._texts.reading(one) for one in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        return self._texts.reading(row % len(self))

    def __iter__(self) -> Iterator[Reading]:
        return map(self._texts.reading, range(len(self)))

    def series(self, number: int) -> Series:
        """Return one series, by the number of its name."""
        low, high = self._starts[number : number + 2]
        return Series(self, number, self._texts, low, high)

    def named(self, name: SeriesName) -> Series:
        """Return the series of a name; KeyError where there is none."""
        number = bisect_left(self.names, name)
        if number == len(self.names) or self.names[number] != name:
            raise KeyError(name)
        return self.series(number)

    def open_beside(self, vantage: str, seconds: float, width: float) -> Iterator[str]:
        """Yield the hosts that a vantage found open within `width` seconds of a moment."""
        number = bisect_left(self.vantages, vantage)
        if number not in self._open_by_vantage:
            rows = np.flatnonzero((self.data.vantage == number) & (self.data.kind == OPEN))
            order = rows[np.argsort(self.data.seconds[rows], kind="stable")]
            self._open_by_vantage[number] = self.data.seconds[order], self.data.series[order]
        times, series = self._open_by_vantage[number]
        low = int(np.searchsorted(times, seconds - width, side="left"))
        high = int(np.searchsorted(times, seconds + width, side="right"))
        yield from (self.hosts[one] for one in series[low:high].tolist())

    def of_hosts(self, hosts: Collection[str], country: str | None) -> list[Series]:
        """Return the series of field vantages of one country (None: unknown) at these hosts."""
        return [
            self.series(number)
            for host in sorted(hosts)
            for number in self._by_host.get((host, country), ())
        ]


class Series(Sequence[Reading]):
    """The readings of one target on one network, by time; columns and readings by place."""

    def __init__(self, history: History, number: int, texts: Texts, low: int, high: int) -> None:
        self.name, self.host = history.names[number], history.hosts[number]
        self._texts, self.low = texts, low
        data = history.data
        self.seconds: Floats = data.seconds[low:high]
        self.kind: Kinds = data.kind[low:high]
        self.vantage: Ints = data.vantage[low:high]
        self.vantages = history.vantages

    @property
    def open(self) -> Flags:
        """Which readings found the site open; the server's own refusal is open."""
        opened: Flags = (self.kind == OPEN) | (self.kind == RESTRICTED)
        return opened

    @property
    def blocked(self) -> Flags:
        blocked: Flags = self.kind >= LIKELY
        return blocked

    def open_between(self, since: float, until: float) -> tuple[int, int]:
        """Return how many readings from `since` to `until` were open, and how many there are."""
        begin = int(np.searchsorted(self.seconds, since, side="left"))
        end = int(np.searchsorted(self.seconds, until, side="right"))
        return int(self.open[begin:end].sum()), end - begin

    @cached_property
    def network_name(self) -> str | None:
        """What the network was called last."""
        return next((one.network for one in reversed(self) if one.network), None)

    def failing(self, ids: Collection[str]) -> list[Reading]:
        """Return those of the failing readings that have one of these ids, by time."""
        wanted = set(ids)
        places = np.flatnonzero(self.kind >= SUSPECTED).tolist()
        return [one for one in (self[place] for place in places) if one.id in wanted]

    def between_failing(self, ids: Collection[str]) -> list[Reading]:
        """Return all readings from the first to the last of these failing ones, by time."""
        failing = self.failing(ids)
        if not failing:
            return []
        low = int(np.searchsorted(self.seconds, failing[0].seconds, side="left"))
        high = int(np.searchsorted(self.seconds, failing[-1].seconds, side="right"))
        return self[low:high]

    def statuses(self) -> Mapping[str, int]:
        """Return how many readings have which status."""
        return self._texts.statuses(self.low, self.low + len(self))

    def reason(self, place: int) -> str | None:
        return self._texts.reason(self.low + place)

    def round(self, place: int) -> int | None:
        return self._texts.round(self.low + place)

    def __len__(self) -> int:
        return len(self.kind)

    @overload
    def __getitem__(self, place: int) -> Reading: ...
    @overload
    def __getitem__(self, place: slice) -> list[Reading]: ...
    def __getitem__(self, place: int | slice) -> Reading | list[Reading]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self._texts.reading(self.low + place)


def arrays(
    names: Sequence[SeriesName],
    hosts: Sequence[str],
    *,
    series: Ints,
    seconds: Floats,
    vantage: Ints,
    kind: Kinds,
) -> VerdictArrays:
    """Return the columns as the models want them, with each series' site, network and country."""
    sites: dict[str, int] = {}
    networks: dict[Network, int] = {}
    countries: dict[str, int] = {}
    for name, host in zip(names, hosts, strict=True):
        sites.setdefault(host, len(sites))
        networks.setdefault(name.network, len(networks))
        countries.setdefault(_country(name), len(countries))
    return VerdictArrays(
        series=series.astype(np.int64),
        seconds=seconds,
        vantage=vantage,
        kind=kind,
        site=np.array([sites[host] for host in hosts], dtype=np.int64),
        network=np.array([networks[name.network] for name in names], dtype=np.int64),
        country=np.array([countries[_country(name)] for name in names], dtype=np.int64),
    )


def _country(name: SeriesName) -> str:
    """Reference vantages, which see no censor, stand for a country of their own."""
    return name.country if name.field else "reference"
