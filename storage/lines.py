"""Records as JSON Lines, exact or derived, with their ids and the verdicts that are kept."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, select

from storage.derived_records import derive
from storage.intake import Sound
from storage.records import Verdict, digest
from storage.schema import records, verdicts
from storage.wanted import Exported, Wanted, sound_records


def lines(
    connection: Connection, wanted: Wanted, *, exact: bool, done: Exported
) -> Iterator[bytes]:
    """Yield one line, with its line feed, for each record wanted, in the order of their ids.

    A line is the canonical record, or the derived one, with two fields more: `id`, the hash of the
    canonical form without them, and `verdict`, null for rounds, follow-ups and what was not judged.
    """
    for sound in sound_records(connection, wanted, done):
        data = sound.canonical if exact else derive(sound)
        verdict = msgspec.json.encode(verdict_of(connection, sound))
        # The canonical bytes are passed on untouched, so that the id can be computed again.
        yield data[:-1] + b',"id":"' + digest(data).encode() + b'","verdict":' + verdict + b"}\n"
        done.records += 1


def verdict_of(connection: Connection, sound: Sound) -> Verdict | None:
    """Return the verdict that is kept for a record, None without one that can be read."""
    query = select(verdicts.c.verdict).join_from(verdicts, records).where(records.c.id == sound.id)
    kept = connection.execute(query).scalar()
    try:
        return None if kept is None else msgspec.json.decode(kept, type=Verdict)
    except msgspec.MsgspecError:
        return None  # it is only a cache
