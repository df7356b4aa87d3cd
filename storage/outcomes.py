"""Outcomes: one narrow row for each measurement with what it came to, kept true with each change.

A verdict rests on a measurement, its follow-ups and what other vantages saw of the URL within an
hour. So whenever a record enters, all that it may bear on lose their conclusion, and whoever reads
the rows knows what is to be judged without looking at a single record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection, RowMapping, Table, bindparam, insert, select, update

from storage.records import Measurement, Record, Verdict, corrected_seconds, digest, utc_seconds
from storage.schema import conclusions, outcomes, records, series

WITNESS_SECONDS = 3600.0  # design: witnesses are measurements within 60 minutes
_Row: TypeAlias = Mapping[str, Any] | RowMapping
_SERIES = ("url", "vantage", "vantage_kind", "country", "asn", "network")
_CONCLUSION = (
    "rules_version",
    "fixed",
    "status",
    "layer",
    "technique",
    "certainty",
    "blocked_name",
)
# What of a row of `records` makes up the key of its outcome.
KEY_COLUMNS = [records.c[name] for name in ("id", "time", "clock_offset_us", *_SERIES)]


def short(round_id: str) -> int:
    """Return a number that stands for a round where its whole id would be too long."""
    return int.from_bytes(bytes.fromhex(digest(round_id.encode())[7:23]), signed=True)


def note(connection: Connection, entered: Iterable[tuple[str, Record]]) -> None:
    """Make the rows of measurements that entered, by id; what they bear on is to be judged."""
    fresh: list[dict[str, Any]] = []
    touched: list[dict[str, Any]] = []
    known: dict[tuple[Any, ...], int] = {}
    followed: set[str] = set()
    for id, record in entered:
        if not isinstance(record, Measurement):
            continue
        if record.follows is not None:
            followed.add(record.follows)
            continue
        vantage = record.vantage
        own = {
            "url": record.url,
            "vantage": vantage.id,
            "vantage_kind": vantage.kind,
            "country": vantage.country,
            "asn": vantage.asn,
            "network": vantage.network,
        }
        seconds = corrected_seconds(record)
        fresh.append(
            {
                "series": _series(connection, known, own),
                "seconds": seconds,
                "id": id,
                "round": short(record.round),
            }
        )
        touched.append(
            {
                "here": record.url,
                "low": seconds - WITNESS_SECONDS,
                "high": seconds + WITNESS_SECONDS,
            }
        )
    if fresh:
        connection.execute(insert(outcomes), fresh)
        connection.execute(_UNSETTLE_AROUND, touched)
    if followed:
        _unsettle(connection, followed)


def conclude(connection: Connection, judged: Iterable[tuple[_Row, Verdict, bool]]) -> None:
    """Set what measurements came to: rows with the KEY_COLUMNS, verdicts, whether these are fixed.

    A measurement without a row is passed over.
    """
    places: dict[tuple[Any, ...], int] = {}
    known: dict[tuple[Any, ...], int] = {}
    changes = []
    for row, verdict, fixed in judged:
        values = {
            "rules_version": verdict.rules_version,
            "fixed": fixed,
            "status": verdict.status,
            "layer": verdict.layer,
            "technique": verdict.technique,
            "certainty": verdict.certainty,
            "blocked_name": verdict.blocked_name,
        }
        number = _number(connection, conclusions, known, values, ("status", "rules_version"))
        changes.append({**_key(connection, places, row), "concluded": number})
    if changes:
        connection.execute(_CONCLUDE, changes)


def _unsettle(connection: Connection, ids: Iterable[str]) -> None:
    """Take the conclusions of these measurements away, but for fixed ones."""
    known: dict[tuple[Any, ...], int] = {}
    query = select(*KEY_COLUMNS).where(records.c.id.in_(list(ids)), records.c.follows.is_(None))
    rows = connection.execute(query).mappings().all()
    if keys := [_key(connection, known, row) for row in rows]:
        connection.execute(_UNSETTLE, keys)


def _key(connection: Connection, known: dict[tuple[Any, ...], int], row: _Row) -> dict[str, Any]:
    return {
        "of": _series(connection, known, row),
        "at": utc_seconds(row["time"]) + (row["clock_offset_us"] or 0) / 1e6,
        "this": row["id"],
    }


def _series(connection: Connection, known: dict[tuple[Any, ...], int], row: _Row) -> int:
    values = {name: row[name] for name in _SERIES}
    return _number(connection, series, known, values, ("url", "vantage"))


def _number(
    connection: Connection,
    table: Table,
    known: dict[tuple[Any, ...], int],
    values: dict[str, Any],
    found_by: Sequence[str],
) -> int:
    """Return the number of the row with these values, which is made where there is none."""
    key = tuple(values.values())
    if key not in known:
        near = select(table).where(*(table.c[name] == values[name] for name in found_by))
        for row in connection.execute(near).mappings():
            known[tuple(row[name] for name in values)] = int(row["number"])
    if key not in known:
        made = connection.execute(insert(table).values(values)).inserted_primary_key
        assert made is not None  # only multi-row inserts have none
        known[key] = int(made[0])
    return known[key]


_NOT_FIXED = outcomes.c.conclusion.not_in(select(conclusions.c.number).where(conclusions.c.fixed))
_THIS = (
    outcomes.c.series == bindparam("of"),
    outcomes.c.seconds == bindparam("at"),
    outcomes.c.id == bindparam("this"),
)
_CONCLUDE = update(outcomes).where(*_THIS).values(conclusion=bindparam("concluded"))
_UNSETTLE = update(outcomes).where(*_THIS, _NOT_FIXED).values(conclusion=None)
_UNSETTLE_AROUND = (
    update(outcomes)
    .where(
        outcomes.c.series.in_(select(series.c.number).where(series.c.url == bindparam("here"))),
        outcomes.c.seconds.between(bindparam("low"), bindparam("high")),
        _NOT_FIXED,
    )
    .values(conclusion=None)
)
