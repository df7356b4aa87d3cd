"""Judged measurements without their bytes: index columns and verdict, also of what was thinned."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, func, select

from storage.reading import beyond, verdict_in
from storage.records import Verdict, utc_seconds, utc_text
from storage.schema import outcomes, records, series, verdicts

_PAGE = 2000
_WORST_CLOCK = 2 * 86400.0
_ORDER = records.c.time, records.c.id


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement (never a follow-up) as its row tells it, with the verdict that is kept.

    `thinned`: its bytes were dropped. `fixed`: the verdict can no longer be judged anew.
    """

    id: str
    time: str
    url: str
    vantage: str
    vantage_kind: Literal["field", "reference"]
    country: str | None
    asn: int | None
    network: str | None
    clock_offset_us: int | None
    round: str | None
    complete: bool
    thinned: bool
    fixed: bool
    verdict: Verdict

    @property
    def seconds(self) -> float:
        """The corrected time in seconds since the epoch."""
        return utc_seconds(self.time) + (self.clock_offset_us or 0) / 1e6


def judged(
    engine: Engine,
    *,
    since: str | None,
    until: str | None,
    country: str | None,
    urls: Collection[str] | None,
    thinned_only: bool,
) -> Iterator[Judged]:
    """Yield judged measurements by (time, id), each page in a transaction of its own."""
    names = [name for name in Judged.__struct_fields__ if name in records.c and name != "thinned"]
    columns = [records.c[name] for name in names]
    query = select(*columns, records.c.thinned, verdicts.c.fixed, verdicts.c.verdict)
    query = query.join_from(records, verdicts).where(
        records.c.kind == "measurement", records.c.follows.is_(None)
    )
    if since is not None:
        query = query.where(records.c.time >= since)
    if until is not None:
        query = query.where(records.c.time < until)
    if country is not None:
        query = query.where(records.c.country == country)
    if urls is not None:
        query = query.where(records.c.url.in_(list(urls)))
    if thinned_only:
        query = query.where(records.c.thinned.is_not(None))
    query = query.order_by(*_ORDER).limit(_PAGE)
    after: tuple[str, str] | None = None
    while True:
        page = query
        if after is not None:
            page = query.where(beyond(_ORDER, after))
        with engine.connect() as connection:
            rows = connection.execute(page).mappings().all()
        for row in rows:
            if (one := _judged(dict(row))) is not None:
                yield one
        if len(rows) < _PAGE:
            return
        after = (rows[-1]["time"], rows[-1]["id"])


def watched_urls(connection: Connection) -> list[str]:
    """Return every URL that was ever measured, in order."""
    query = select(series.c.url).distinct()
    return sorted(connection.execute(query).scalars())


def oldest_seconds(connection: Connection) -> float | None:
    """Return when the oldest record was made, by corrected time; None while there is none."""
    return min([*_of_rounds(connection, func.min), *_of_series(connection, func.min)], default=None)


def newest_seconds(connection: Connection) -> float | None:
    """Return when the newest record was made, by corrected time; None while there is none."""
    return max([*_of_rounds(connection, func.max), *_of_series(connection, func.max)], default=None)


def _of_series(connection: Connection, pick: Callable[..., ColumnElement[Any]]) -> Iterable[float]:
    """The corrected seconds of what `pick` takes from each series: one look into an index each."""
    own = select(pick(outcomes.c.seconds)).where(outcomes.c.series == series.c.number)
    found = connection.execute(select(own.scalar_subquery()).select_from(series)).scalars()
    return [seconds for seconds in found if seconds is not None]


def _of_rounds(connection: Connection, pick: Callable[..., ColumnElement[Any]]) -> Iterable[float]:
    """The corrected seconds of the rounds near the outermost: clocks are wrong by a day at most."""
    rounds = records.c.kind == "round"
    outermost = connection.execute(select(pick(records.c.time)).where(rounds)).scalar()
    if outermost is None:
        return []
    moment = utc_seconds(outermost)
    near = (utc_text(moment - _WORST_CLOCK), utc_text(moment + _WORST_CLOCK))
    query = select(records.c.time, records.c.clock_offset_us)
    found = connection.execute(query.where(rounds, records.c.time.between(*near))).all()
    return [utc_seconds(row.time) + (row.clock_offset_us or 0) / 1e6 for row in found]


def _judged(row: dict[str, Any]) -> Judged | None:
    """Return the row's value; None where its verdict cannot be read: it is only a cache."""
    verdict = verdict_in(row["verdict"])
    if verdict is None:
        return None
    return Judged(**{**row, "verdict": verdict, "thinned": row["thinned"] is not None})
