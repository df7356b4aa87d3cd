"""Retention: dropping blobs, or whole old records but for their envelope, to keep within bounds.

Only measurements judged `accessible`, `down` or `restricted` are touched, with their follow-ups,
and none that the caller says is cited. What is dropped leaves its row, its envelope and its
verdict; that verdict, and those of measurements that were judged with it as a witness, are fixed
first: they can no longer be judged anew. The triggers refuse anything else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, delete, func, select, text, update

from storage.outcomes import KEY_COLUMNS, WITNESS_SECONDS, conclude
from storage.reading import verdict_in
from storage.records import utc_seconds, utc_text
from storage.schema import blob_uses, blobs, envelopes, records, steps, verdicts

THINNABLE = ("accessible", "down", "restricted")
_PAGE = 200
_PROGRESS_STEPS = 1000  # of SQLite's machine, well under a millisecond of work
# Clocks that are wrong by less than this are corrected when witnesses are looked for.
_WORST_CLOCK = timedelta(hours=25).total_seconds()


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of the database file: all of it, and how much of that is in use."""

    file: int
    used: int


class Thinned(msgspec.Struct, frozen=True, kw_only=True):
    """How many records of the database are stubs, and how many could be."""

    records: int
    kept: int


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What one step of thinning did; `last` is where the next one goes on, None at the end."""

    dropped: int = 0
    last: int | None = None


def size_of(connection: Connection) -> Size:
    """Return how large the database is; pages that are free do not count as used."""
    if connection.dialect.name != "sqlite":
        return Size(file=0, used=0)
    page, count, free = (
        int(connection.execute(text(f"PRAGMA {name}")).scalar_one())
        for name in ("page_size", "page_count", "freelist_count")
    )
    return Size(file=page * count, used=page * (count - free))


def count_thinned(connection: Connection) -> Thinned:
    """Count the stubs that retention left, and the records that are whole."""
    stubs = select(func.count()).where(records.c.thinned.is_not(None))
    whole = select(func.count()).where(records.c.canonical.is_not(None))
    return Thinned(
        records=connection.execute(stubs).scalar_one(),
        kept=connection.execute(whole).scalar_one(),
    )


def drop_blobs(connection: Connection, *, after: int, before: str, cited: Collection[str]) -> Page:
    """Drop the blobs that only thinnable measurements older than `before` use, one page of them."""
    with_blobs = records.c.number.in_(select(blob_uses.c.record))
    rows = _candidates(connection, after, before, THINNABLE, with_blobs)
    numbers = [row.number for row in rows if (row.follows or row.id) not in cited]
    dropped = _drop_blobs_of(connection, numbers)
    return Page(dropped=dropped, last=rows[-1].number if rows else None)


def drop_records(
    connection: Connection,
    *,
    after: int,
    before: str,
    cited: Collection[str],
    statuses: Collection[str],
    now: float,
) -> Page:
    """Make stubs of thinnable measurements older than `before` and their follow-ups, one page."""
    mains = records.c.follows.is_(None)
    rows = _candidates(connection, after, before, statuses, mains)
    chosen = [row for row in rows if row.id not in cited]
    _fix_verdicts(connection, chosen)
    following = select(records.c.number).where(
        records.c.follows.in_([row.id for row in chosen]), records.c.canonical.is_not(None)
    )
    numbers = [row.number for row in chosen] + list(connection.execute(following).scalars())
    _drop(connection, numbers, utc_text(now))
    return Page(dropped=len(numbers), last=rows[-1].number if rows else None)


def vacuum(engine: Engine, folder_free: int, stopping: Callable[[], bool]) -> bool:
    """Give free pages back to the disk; False, and nothing done, where that needs more room.

    SQLite writes the file anew beside the old one, so `folder_free` bytes must hold it. Once
    `stopping` says so it ends soon, with False and the file as it was.
    """
    if engine.dialect.name != "sqlite":
        return False
    with engine.connect() as connection:
        if 2 * size_of(connection).used > folder_free:
            return False
    raw = engine.raw_connection()
    try:
        driver = raw.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_progress_handler(stopping, _PROGRESS_STEPS)
        driver.execute("VACUUM")
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError:
        if stopping():
            return False
        raise
    finally:
        raw.invalidate()  # the handler must not outlive this
    return True


def stubs_without_leave(connection: Connection) -> list[str]:
    """Return the ids of records whose bytes are gone although retention may not have dropped them.

    A stub needs its envelope, the time of thinning and a fixed verdict that may be thinned.
    """
    judged = records.alias()
    allowed = (
        select(verdicts.c.record)
        .join_from(verdicts, judged, judged.c.number == verdicts.c.record)
        .where(
            judged.c.id == func.coalesce(records.c.follows, records.c.id),
            verdicts.c.status.in_(THINNABLE),
            verdicts.c.fixed,
        )
    )
    signed = select(envelopes.c.hash).where(envelopes.c.id == records.c.id)
    legitimate = records.c.thinned.is_not(None) & allowed.exists() & signed.exists()
    query = select(records.c.id).where(records.c.canonical.is_(None), ~legitimate)
    return list(connection.execute(query.order_by(records.c.number)).scalars())


def _candidates(
    connection: Connection, after: int, before: str, statuses: Collection[str], wanted: Any
) -> Sequence[Any]:
    """Return rows of whole, complete measurements whose judgement allows thinning, oldest first.

    A follow-up goes by the verdict of what it follows.
    """
    judged = records.alias()
    query = (
        select(
            *(records.c[name] for name in ("number", "id", "follows", "url", "time")),
            records.c.vantage,
            records.c.clock_offset_us,
        )
        .join(judged, judged.c.id == func.coalesce(records.c.follows, records.c.id))
        .join(verdicts, verdicts.c.record == judged.c.number)
        .where(records.c.kind == "measurement", records.c.canonical.is_not(None))
        .where(records.c.complete, records.c.time < before, records.c.number > after)
        .where(verdicts.c.status.in_(list(statuses)), wanted)
        .order_by(records.c.number)
        .limit(_PAGE)
    )
    return connection.execute(query).all()


def _fix_verdicts(connection: Connection, rows: Sequence[Any]) -> None:
    """Fix the verdicts of what is dropped, and of what had it as a witness."""
    numbers = {row.number for row in rows}
    for row in rows:
        numbers |= _witnessed(connection, row)
    connection.execute(update(verdicts).where(verdicts.c.record.in_(numbers)).values(fixed=True))
    query = select(verdicts.c.verdict, *KEY_COLUMNS).join_from(verdicts, records)
    rows_there = connection.execute(query.where(verdicts.c.record.in_(numbers))).mappings().all()
    with_verdicts = ((row, verdict_in(row["verdict"])) for row in rows_there)
    conclude(connection, ((row, verdict, True) for row, verdict in with_verdicts if verdict))


def _witnessed(connection: Connection, row: Any) -> set[int]:
    """Return the measurements of the URL by other vantages within 60 minutes of corrected time."""
    moment = utc_seconds(row.time)
    query = select(records.c.number, records.c.time, records.c.clock_offset_us).where(
        records.c.url == row.url,
        records.c.time >= utc_text(moment - _WORST_CLOCK),
        records.c.time <= utc_text(moment + _WORST_CLOCK),
        records.c.vantage != row.vantage,
        records.c.follows.is_(None),
    )
    here = _corrected(row)
    return {
        other.number
        for other in connection.execute(query)
        if abs(_corrected(other) - here) <= WITNESS_SECONDS
    }


def _corrected(row: Any) -> float:
    return utc_seconds(row.time) + (row.clock_offset_us or 0) / 1e6


def _drop(connection: Connection, numbers: Sequence[int], now: str) -> None:
    """Drop the bytes of these records, then what follows from them."""
    _drop_blobs_of(connection, numbers)
    change = update(records).where(records.c.number.in_(numbers))
    connection.execute(change.values(canonical=None, thinned=now))
    connection.execute(delete(steps).where(steps.c.record.in_(numbers)))


def _drop_blobs_of(connection: Connection, numbers: Sequence[int]) -> int:
    """Drop the blobs that no record but these uses; return how many."""
    used = select(blob_uses.c.blob).where(blob_uses.c.record.in_(numbers))
    here = set(connection.execute(used).scalars())
    connection.execute(delete(blob_uses).where(blob_uses.c.record.in_(numbers)))
    still = select(blob_uses.c.blob).where(blob_uses.c.blob.in_(here))
    unused = here.difference(connection.execute(still).scalars())
    connection.execute(delete(blobs).where(blobs.c.number.in_(unused)))
    return len(unused)
