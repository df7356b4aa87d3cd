"""Columns: what millions of measurements came to, read as columns and never as records."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Literal

import msgspec
from sqlalchemy import Connection, func, select

from storage.compression import expand_record
from storage.insertion import IN_LIST
from storage.outcomes import KEY_COLUMNS, conclude
from storage.reading import Selection, Stored, conditions, records_where, verdict_in
from storage.records import (
    Certainty,
    Layer,
    LineState,
    Measurement,
    Record,
    Status,
    Verdict,
    utc_seconds,
)
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
    conclusions, 0 where it is to be judged first.
    """

    series: Sequence[int]
    seconds: Sequence[float]
    ids: Sequence[bytes]
    rounds: Sequence[int]
    conclusions: Sequence[int]


class RoundRow(msgspec.Struct, frozen=True, kw_only=True):
    """One round as its row tells it: who began it when, and how the line was."""

    id: str
    time: str
    clock_offset_us: int | None
    vantage: str
    vantage_kind: Literal["field", "reference"]
    country: str | None
    asn: int | None
    network: str | None
    line: LineState

    @property
    def seconds(self) -> float:
        """The corrected time in seconds since the epoch."""
        return utc_seconds(self.time) + (self.clock_offset_us or 0) / 1e6


def rounds_in(
    store: Store,
    *,
    since: str | None = None,
    until: str | None = None,
    country: str | None = None,
) -> list[RoundRow]:
    """Return rounds by (time, id); `since` is inclusive, `until` exclusive, both UTC text."""
    wanted = Selection(kind="round", since=since, until=until, country=country)
    query = select(*(records.c[name] for name in RoundRow.__struct_fields__))
    query = query.where(*conditions(wanted)).order_by(records.c.time, records.c.id)
    rows = store.read(lambda connection: connection.execute(query).mappings().all())
    return [RoundRow(**row) for row in rows]


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
    return [Series(**row) for row in rows]


def conclusions_in(store: Store) -> list[Conclusion]:
    """Return the different conclusions that the columns refer to."""
    query = select(conclusions)
    rows = store.read(lambda connection: connection.execute(query).mappings().all())
    return [Conclusion(**row) for row in rows]


def batches(store: Store, wanted: Sequence[int], *, since: float, until: float) -> Iterator[Batch]:
    """Yield the measurements of these series from `since` to before `until` (epoch seconds)."""
    for start in range(0, len(wanted), _AT_ONCE):
        chosen = wanted[start : start + _AT_ONCE]
        rows = store.read(lambda connection: _rows(connection, chosen, since, until))  # noqa: B023
        if rows:
            of, seconds, ids, rounds, found = zip(*rows, strict=True)
            yield Batch(series=of, seconds=seconds, ids=ids, rounds=rounds, conclusions=found)


def measured_between(
    store: Store, url: str, *, since: float, until: float
) -> list[Stored[Measurement]]:
    """Return what was measured of a target from `since` to before `until`, and what follows it.

    In corrected seconds since the epoch, whatever the clocks of vantages said; stubs are left out.
    """
    of = select(series.c.number).where(series.c.url == url)
    within = outcomes.c.seconds >= since, outcomes.c.seconds < until
    mains = select(outcomes.c.id).where(outcomes.c.series.in_(of), *within)

    def read(connection: Connection) -> list[tuple[str, Record]]:
        found = records_where(connection, records.c.id.in_(mains))
        return found + records_where(connection, records.c.follows.in_(mains))

    rows = store.read(read)
    return [Stored(id, record) for id, record in rows if isinstance(record, Measurement)]


def kept_verdicts(store: Store, ids: Collection[str]) -> dict[str, Verdict]:
    """Return the verdicts that are kept of a few measurements, by id."""
    query = select(records.c.id, verdicts.c.verdict).join_from(verdicts, records)
    query = query.where(records.c.id.in_(list(ids)))
    rows = store.read(lambda connection: connection.execute(query).all())
    told = {row.id: verdict_in(row.verdict) for row in rows}
    return {id: verdict for id, verdict in told.items() if verdict is not None}


def followed_by(store: Store, ids: Collection[str]) -> dict[str, list[str]]:
    """Return the ids of what follows each of these measurements, by time; stubs are left out."""
    return store.read(partial(_followed_by, ids=sorted(ids)))


def _followed_by(connection: Connection, ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for start in range(0, len(ids), IN_LIST):
        chunk = ids[start : start + IN_LIST]
        whole = select(records.c.id).where(
            records.c.id.in_(chunk), records.c.canonical.is_not(None)
        )
        found.update((id, []) for id in connection.execute(whole).scalars())
        following = select(records.c.follows, records.c.id).where(
            records.c.follows.in_(chunk), records.c.canonical.is_not(None)
        )
        ordered = following.order_by(records.c.time, records.c.id)
        for followed, id in connection.execute(ordered):
            if followed in found:
                found[followed].append(id)
    return found


def tools_in(
    store: Store, *, since: str | None, until: str | None, country: str | None
) -> list[str]:
    """Return the programs, with versions, that made the rounds between two times (UTC text)."""
    query = select(records.c.codec, records.c.canonical).where(
        *conditions(Selection(kind="round", since=since, until=until, country=country)),
        records.c.canonical.is_not(None),
    )
    rows = store.read(lambda connection: connection.execute(query).all())
    return sorted({msgspec.json.decode(expand_record(*row), type=_Tool).tool for row in rows})


class _Tool(msgspec.Struct, frozen=True):
    tool: str


def settle(store: Store, ids: Collection[str]) -> None:
    """Take over the verdicts that are kept of these measurements: nothing came in beside them."""
    store.write(partial(_settle, ids=list(ids)))


def _settle(connection: Connection, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), IN_LIST):
        query = select(verdicts.c.fixed, verdicts.c.verdict, *KEY_COLUMNS)
        query = query.join_from(verdicts, records)
        query = query.where(records.c.id.in_(ids[start : start + IN_LIST]))
        rows = connection.execute(query).mappings().all()
        told = ((row, verdict_in(row["verdict"])) for row in rows)
        conclude(connection, ((row, one, row["fixed"]) for row, one in told if one is not None))


def _rows(
    connection: Connection, chosen: Sequence[int], since: float, until: float
) -> list[tuple[int, float, bytes, int, int]]:
    columns = [outcomes.c[name] for name in ("series", "seconds", "id", "round")]
    query = select(*columns, func.coalesce(outcomes.c.conclusion, 0)).where(
        outcomes.c.series.in_(chosen), outcomes.c.seconds >= since, outcomes.c.seconds < until
    )
    query = query.order_by(outcomes.c.series, outcomes.c.seconds, outcomes.c.id)
    # The driver's own rows: SQLAlchemy's cost as much again, and these columns need no care.
    return list(connection.execute(query).cursor.fetchall())
