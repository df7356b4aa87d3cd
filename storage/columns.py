"""Columns: what millions of measurements came to, read as columns and never as records."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Literal

import msgspec
from sqlalchemy import Connection, select

from storage.reading import verdict_in
from storage.records import Certainty, Layer, Status, Verdict
from storage.schema import conclusions, outcomes, records, series, verdicts
from storage.store import Store

_AT_ONCE = 100  # series in one query: some 200,000 rows of a year


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One target as one vantage measured it."""

    number: int
    url: str
    vantage: str
    vantage_kind: Literal["field", "reference"]
    country: str | None
    asn: int | None
    network: str | None


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What measurements came to, under which rules; `fixed`: whatever the rules are now."""

    number: int
    rules_version: str
    fixed: bool
    status: Status
    layer: Layer | None
    technique: str | None
    certainty: Certainty | None
    blocked_name: str | None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Some whole series, by series, time and id; one entry per measurement in each column.

    `seconds` is the corrected time, `ids` the ids as bytes, `conclusions` the numbers of
    conclusions, None where it is to be judged first.
    """

    series: Sequence[int]
    seconds: Sequence[float]
    ids: Sequence[bytes]
    rounds: Sequence[int]
    conclusions: Sequence[int | None]


def series_in(
    store: Store, *, country: str | None = None, urls: Collection[str] | None = None
) -> list[Series]:
    """Return what was ever measured, optionally in one country or of some targets only."""
    query = select(series)
    if country is not None:
        query = query.where(series.c.country == country)
    if urls is not None:
        query = query.where(series.c.url.in_(list(urls)))
    rows = store.read(lambda connection: connection.execute(query).mappings().all())
    return msgspec.convert([dict(row) for row in rows], list[Series])


def conclusions_in(store: Store) -> list[Conclusion]:
    """Return the different conclusions that the columns refer to."""
    query = select(conclusions)
    rows = store.read(lambda connection: connection.execute(query).mappings().all())
    return msgspec.convert([dict(row) for row in rows], list[Conclusion])


def batches(store: Store, wanted: Sequence[int], *, since: float, until: float) -> Iterator[Batch]:
    """Yield the measurements of these series from `since` to before `until` (epoch seconds)."""
    for start in range(0, len(wanted), _AT_ONCE):
        chosen = wanted[start : start + _AT_ONCE]
        rows = store.read(lambda connection: _rows(connection, chosen, since, until))  # noqa: B023
        if rows:
            of, seconds, ids, rounds, found = zip(*rows, strict=True)
            yield Batch(series=of, seconds=seconds, ids=ids, rounds=rounds, conclusions=found)


def kept_verdicts(store: Store, ids: Collection[str]) -> dict[str, Verdict]:
    """Return the verdicts that are kept of a few measurements, by id."""
    query = select(records.c.id, verdicts.c.verdict).join_from(verdicts, records)
    query = query.where(records.c.id.in_(list(ids)))
    rows = store.read(lambda connection: connection.execute(query).all())
    told = {row.id: verdict_in(row.verdict) for row in rows}
    return {id: verdict for id, verdict in told.items() if verdict is not None}


def _rows(
    connection: Connection, chosen: Sequence[int], since: float, until: float
) -> list[tuple[int, float, bytes, int, int | None]]:
    columns = [outcomes.c[name] for name in ("series", "seconds", "id", "round", "conclusion")]
    query = select(*columns).where(
        outcomes.c.series.in_(chosen), outcomes.c.seconds >= since, outcomes.c.seconds < until
    )
    query = query.order_by(outcomes.c.series, outcomes.c.seconds, outcomes.c.id)
    # The driver's own rows: SQLAlchemy's cost as much again, and these columns need no care.
    return list(connection.execute(query).cursor.fetchall())
