"""The history that a store holds: read as columns, judged first where that is still to be done."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from reports.added import table_of
from reports.attempts import host_of
from reports.cases import gather
from reports.history import History, SeriesName, Texts, arrays, kind_of, series_name
from reports.readings import Network, Reading
from reports.verdict_arrays import Floats, Ints
from reports.verdicts import judge_all, version_with
from storage.columns import (
    Conclusion,
    Series,
    batches,
    conclusions_in,
    kept_verdicts,
    series_in,
    settle,
)
from storage.digits import HASH_PREFIX
from storage.records import utc_text
from storage.store import Store

_ID_BYTES = 32
# Clocks are wrong by a day at most where witnesses and follow-ups are looked for by their times.
_MARGIN = 86400.0
_JUDGED_AT_ONCE = 7 * 86400.0


class _Columns(msgspec.Struct, frozen=True, kw_only=True):
    """The columns by series, time and id; `source` is a place in the list of stored series."""

    source: npt.NDArray[np.int32]
    seconds: Floats
    ids: npt.NDArray[np.void]
    rounds: Ints
    conclusion: npt.NDArray[np.int32]  # number of the conclusion; 0: none


def read_history(
    store: Store, *, since: float, until: float, country: str | None = None
) -> History:
    """Return all readings from `since` to before `until` (epoch seconds), none of them stale.

    What entered since it was last judged, or was judged by other rules, is judged now.
    """
    stored = series_in(store, country=country)
    columns = _read(store, stored, since, until)
    stale = _stale(store, columns)
    if stale.any():
        _judge(store, stored, columns, stale)
        columns = _read(store, stored, since, until)
    return _history(store, stored, columns)


def _name(one: Series) -> SeriesName:
    network: Network = (one.country, one.asn, "" if one.asn is not None else one.vantage)
    return series_name(one.url, network, field=one.vantage_kind == "field")


def _stale(store: Store, columns: _Columns) -> npt.NDArray[np.bool_]:
    """Which rows have no conclusion by the rules and fingerprints of now."""
    version = version_with(table_of(store))
    good = [c.number for c in conclusions_in(store) if c.fixed or c.rules_version == version]
    stale: npt.NDArray[np.bool_] = ~np.isin(columns.conclusion, good)
    return stale


def _judge(
    store: Store, stored: Sequence[Series], columns: _Columns, stale: npt.NDArray[np.bool_]
) -> None:
    """Judge what is stale, a target and a few days at a time, with all that was seen beside it."""
    by_url: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(stale).tolist():
        by_url[stored[columns.source[row]].url].append(row)
    for url, rows in by_url.items():
        rows.sort(key=lambda row: float(columns.seconds[row]))
        while rows:
            first = float(columns.seconds[rows[0]])
            count = int(np.searchsorted(columns.seconds[rows], first + _JUDGED_AT_ONCE))
            last = float(columns.seconds[rows[count - 1]])
            wanted = {_id(columns, row) for row in rows[:count]}
            around = store.measurements(
                since=utc_text(first - _MARGIN), until=utc_text(last + _MARGIN), urls=[url]
            )
            judge_all(store, [case for case in gather(around) if case.id in wanted])
            settle(store, wanted)
            rows = rows[count:]


def _read(store: Store, stored: Sequence[Series], since: float, until: float) -> _Columns:
    places = np.zeros(max((one.number for one in stored), default=0) + 1, dtype=np.int32)
    places[[one.number for one in stored]] = np.arange(len(stored))
    parts: list[_Columns] = []
    for batch in batches(store, [one.number for one in stored], since=since, until=until):
        parts.append(
            _Columns(
                source=places[np.array(batch.series, dtype=np.int64)],
                seconds=np.array(batch.seconds, dtype=np.float64),
                ids=np.frombuffer(b"".join(batch.ids), dtype=f"V{_ID_BYTES}"),
                rounds=np.array(batch.rounds, dtype=np.int64),
                conclusion=np.array(batch.conclusions, dtype=np.int32),
            )
        )
    return _Columns(
        source=_joined([part.source for part in parts], np.int32),
        seconds=_joined([part.seconds for part in parts], np.float64),
        ids=_joined([part.ids for part in parts], np.dtype(f"V{_ID_BYTES}")),
        rounds=_joined([part.rounds for part in parts], np.int64),
        conclusion=_joined([part.conclusion for part in parts], np.int32),
    )


def _joined(parts: Sequence[npt.NDArray[Any]], kind: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)


def _in_order(columns: _Columns, of: Ints, rows: Ints) -> Ints:
    """The rows by series, time and id."""
    order = rows[np.argsort(of[columns.source[rows]], kind="stable")]
    series, seconds = of[columns.source[order]], columns.seconds[order]
    # Vantages that are pooled come one after the other so far.
    late = np.flatnonzero((series[1:] == series[:-1]) & (seconds[1:] <= seconds[:-1]))
    for number in np.unique(series[late]).tolist():
        low, high = np.searchsorted(series, [number, number + 1])
        own = order[low:high]
        ids = np.array([columns.ids[row].tobytes() for row in own])
        order[low:high] = own[np.lexsort((ids, columns.seconds[own]))]
    return order


def _history(store: Store, stored: Sequence[Series], columns: _Columns) -> History:
    names = sorted({_name(one) for one in stored})
    number = {name: place for place, name in enumerate(names)}
    of = np.array([number[_name(one)] for one in stored], dtype=np.int64)
    found = {one.number: one for one in conclusions_in(store)}
    kinds = np.zeros(max(found, default=0) + 1, dtype=np.int8)
    for conclusion in found.values():
        kinds[conclusion.number] = kind_of(conclusion.status, conclusion.certainty)
    order = _in_order(columns, of, np.flatnonzero(columns.conclusion > 0))
    columns = _Columns(
        **{name: getattr(columns, name)[order] for name in _Columns.__struct_fields__}
    )
    present = np.unique(of[columns.source])
    names = [names[place] for place in present.tolist()]
    vantages = sorted({one.vantage for one in stored})
    vantage_of = np.array([vantages.index(one.vantage) for one in stored], dtype=np.int64)
    hosts = [host_of(name.url) for name in names]
    data = arrays(
        names,
        hosts,
        series=np.searchsorted(present, of[columns.source]),
        seconds=columns.seconds,
        vantage=vantage_of[columns.source],
        kind=kinds[columns.conclusion],
    )
    texts = _StoredTexts(store, stored, columns, found)
    return History(
        names,
        hosts,
        vantages,
        data,
        Texts(
            reading=texts.reading,
            reason=texts.reason,
            round=lambda row: int(columns.rounds[row]),
            statuses=texts.statuses,
        ),
        rules=sorted({found[n].rules_version for n in np.unique(columns.conclusion).tolist()}),
    )


def _id(columns: _Columns, row: int) -> str:
    kept: bytes = columns.ids[row].tobytes()
    return HASH_PREFIX + kept.hex()


class _StoredTexts:
    """Makes the readings of rows."""

    def __init__(
        self,
        store: Store,
        stored: Sequence[Series],
        columns: _Columns,
        conclusions: Mapping[int, Conclusion],
    ) -> None:
        self._store, self._stored = store, stored
        self._columns, self._conclusions = columns, conclusions

    def reading(self, row: int) -> Reading:
        """Return the reading of a row, without its reason."""
        series = self._stored[self._columns.source[row]]
        conclusion = self._conclusions[int(self._columns.conclusion[row])]
        return Reading(
            id=_id(self._columns, row),
            url=series.url,
            host=host_of(series.url),
            seconds=float(self._columns.seconds[row]),
            vantage=series.vantage,
            vantage_kind=series.vantage_kind,
            country=series.country,
            asn=series.asn,
            network=series.network,
            status=conclusion.status,
            layer=conclusion.layer,
            technique=conclusion.technique,
            certainty=conclusion.certainty,
            blocked_name=conclusion.blocked_name,
        )

    def statuses(self, low: int, high: int) -> Counter[str]:
        """Return how many of the rows from `low` to before `high` have which status."""
        counts: Counter[str] = Counter()
        for number, count in enumerate(np.bincount(self._columns.conclusion[low:high]).tolist()):
            if count:
                counts[self._conclusions[number].status] += count
        return counts

    def reason(self, row: int) -> str | None:
        """Return the first reason of a row's verdict."""
        id = _id(self._columns, row)
        verdict = kept_verdicts(self._store, [id]).get(id)
        return verdict.reasons[0] if verdict is not None and verdict.reasons else None
