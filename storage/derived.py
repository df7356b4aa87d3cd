"""What follows from the records and may be made again: the cache of verdicts, the rows of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select, text

from storage.insertion import IN_LIST, insert_steps, link_blobs
from storage.outcomes import KEY_COLUMNS, conclude
from storage.reading import record_in
from storage.records import Record, Verdict
from storage.schema import DERIVED, blob_uses, records, steps, verdicts

_PAGE = 256


def put_verdicts(connection: Connection, rows: Sequence[tuple[str, str, Verdict]]) -> None:
    """Keep (measurement id, inputs hash, verdict) in place of earlier ones.

    Verdicts of records that are not there are passed over, as they could never be asked for, and
    so are those of records whose verdict is fixed.
    """
    for start in range(0, len(rows), IN_LIST):
        chunk = {id: (inputs, verdict) for id, inputs, verdict in rows[start : start + IN_LIST]}
        fixed = select(verdicts.c.record).where(verdicts.c.fixed)
        query = select(records.c.number, *KEY_COLUMNS).where(records.c.id.in_(chunk))
        query = query.where(records.c.number.not_in(fixed))
        rows_there = connection.execute(query).mappings().all()
        numbers = {row["id"]: row["number"] for row in rows_there}
        if not numbers:
            continue
        connection.execute(delete(verdicts).where(verdicts.c.record.in_(numbers.values())))
        connection.execute(
            insert(verdicts),
            [_verdict_row(number, *chunk[id]) for id, number in numbers.items()],
        )
        conclude(connection, ((row, chunk[row["id"]][1], False) for row in rows_there))


def rebuild_steps(connection: Connection) -> int:
    """Derive `steps` and `blob_uses` again from the records; return how many records."""
    triggers = _lift_triggers(connection)
    for table in (steps, blob_uses):
        connection.execute(delete(table))
    count = 0
    for number, record in _each_record(connection):
        insert_steps(connection, number, record)
        link_blobs(connection, number, record)
        count += 1
    for sql in triggers:
        connection.execute(text(sql))
    return count


def _each_record(connection: Connection) -> Iterator[tuple[int, Record]]:
    """Yield (local number, record), a page at a time."""
    columns = [records.c[name] for name in ("number", "id", "kind", "codec", "canonical")]
    query = select(*columns).where(records.c.canonical.is_not(None)).order_by(records.c.number)
    last = 0
    while rows := connection.execute(query.where(records.c.number > last).limit(_PAGE)).all():
        for row in rows:
            yield row.number, record_in(row)
        last = rows[-1].number


def _lift_triggers(connection: Connection) -> list[str]:
    """Drop the triggers of derived tables until the transaction's end; return their SQL."""
    if connection.dialect.name != "sqlite":
        return []
    query = text("SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'trigger'")
    lifted = [row for row in connection.execute(query) if row.tbl_name in DERIVED]
    for row in lifted:
        connection.execute(text(f'DROP TRIGGER "{row.name}"'))
    return [row.sql for row in lifted]


def _verdict_row(number: int, inputs: str, verdict: Verdict) -> dict[str, object]:
    return {
        "record": number,
        "rules_version": verdict.rules_version,
        "inputs": inputs,
        "status": verdict.status,
        "layer": verdict.layer,
        "technique": verdict.technique,
        "certainty": verdict.certainty,
        "verdict": _brief_json(verdict),
    }


def _brief_json(verdict: Verdict) -> str:
    """Return the verdict as JSON without the fields that say nothing: null and empty lists."""
    told = msgspec.structs.asdict(verdict)
    return msgspec.json.encode({name: one for name, one in told.items() if one}).decode()
