"""Adding many records of this installation at once: as `storage.signing` does, by the page.

One statement for all records of a page instead of a dozen for each: for imports, where the disk and
the database, not a network, set the pace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Column, Connection, insert, select

from storage.chain import Envelope, envelope_hash, public_hex, sign_envelope
from storage.compression import MAX_BLOB_BYTES, RECORD_CODEC, compress_blob, compress_record
from storage.errors import RefusedError
from storage.insertion import (
    IN_LIST,
    blob_numbers,
    insert_certifications,
    insert_envelopes,
    require_kind,
)
from storage.intake import Sound, accept_made, referred_blobs
from storage.keys import KeysFile, Signer
from storage.outcomes import note
from storage.records import Record
from storage.rows import index_columns, step_rows
from storage.schema import blob_uses, blobs, records, steps
from storage.signing import head


class Item(msgspec.Struct, frozen=True):
    """A record with its blobs, whose ids the caller has just computed from their contents."""

    record: Record
    blobs: Mapping[str, bytes] = {}


class Added(msgspec.Struct, frozen=True):
    """What became of an item: added, known already (`new` False), or refused, and why."""

    new: bool = False
    refused: str | None = None


def add_page(connection: Connection, keys: KeysFile, page: Sequence[Item]) -> list[Added]:
    """Add what is not there yet, signed and chained, inside the transaction; one result an item.

    Raises RefusedError where the records are of the other kind than the database's (simulated or
    real), StoreError for a vantage whose keys are not in the file; then nothing enters.
    """
    results: list[Added] = []
    fresh: dict[str, tuple[Sound, Item]] = {}
    accepted: list[tuple[int, Sound, Item]] = []
    for item in page:
        try:
            accepted.append((len(results), _accepted(item), item))
            results.append(Added())
        except RefusedError as error:
            results.append(Added(refused=str(error)))
    known = _present(connection, records.c.id, [sound.id for _, sound, _ in accepted])
    for place, sound, item in accepted:
        if sound.id not in known and sound.id not in fresh:
            fresh[sound.id] = sound, item
            results[place] = Added(new=True)
    if fresh:
        _add(connection, keys, list(fresh.values()))
    return results


def _accepted(item: Item) -> Sound:
    sound = accept_made(item.record)
    if strangers := item.blobs.keys() - referred_blobs(sound.record):
        raise RefusedError(f"{sound.id}: the record does not name the blob {min(strangers)}")
    for id, content in item.blobs.items():
        if len(content) > MAX_BLOB_BYTES:
            raise RefusedError(f"blob {id}: larger than {MAX_BLOB_BYTES} bytes")
    return sound


def _add(connection: Connection, keys: KeysFile, fresh: Sequence[tuple[Sound, Item]]) -> None:
    for simulated in {item.record.simulated for _, item in fresh}:
        require_kind(connection, simulated)
    sounds = [sound for sound, _ in fresh]
    _sign(connection, keys, sounds)
    rows = [
        index_columns(sound)
        | {"codec": RECORD_CODEC, "canonical": compress_record(sound.canonical)}
        for sound in sounds
    ]
    connection.execute(insert(records), rows)
    numbers = _numbers(connection, [sound.id for sound in sounds])
    made = [row for sound in sounds for row in step_rows(numbers[sound.id], sound.record)]
    if made:
        connection.execute(insert(steps), made)
    note(connection, [(sound.id, sound.record) for sound in sounds])
    _keep_blobs(connection, {id: one for _, item in fresh for id, one in item.blobs.items()})
    _link_blobs(connection, numbers, sounds)


def _sign(connection: Connection, keys: KeysFile, sounds: Sequence[Sound]) -> None:
    """Give each record the next place in the chain of who signs it."""
    heads: dict[str, tuple[int, str | None]] = {}
    month: dict[tuple[str, str], Signer] = {}
    signed: list[Envelope] = []
    for sound in sounds:
        vantage, time = sound.record.vantage, sound.record.time
        if (vantage.id, time[:7]) not in month:  # a key is for a month at least
            month[vantage.id, time[:7]] = keys.signing(vantage, time)
            insert_certifications(connection, month[vantage.id, time[:7]].certifications)
        signer = month[vantage.id, time[:7]]
        if signer.vantage not in heads:
            heads[signer.vantage] = head(connection, signer.vantage)
        sequence, previous = heads[signer.vantage]
        envelope = Envelope(
            vantage=signer.vantage,
            sequence=sequence + 1,
            previous=previous,
            id=sound.id,
            time=time,
            key=public_hex(signer.key),
        )
        signed.append(sign_envelope(envelope, signer.key))
        heads[signer.vantage] = sequence + 1, envelope_hash(signed[-1])
    insert_envelopes(connection, signed)


def _keep_blobs(connection: Connection, contents: Mapping[str, bytes]) -> None:
    rows = []
    for id in sorted(contents.keys() - _present(connection, blobs.c.id, list(contents))):
        codec, compressed = compress_blob(contents[id])
        rows.append({"id": id, "codec": codec, "content": compressed})
    if rows:
        connection.execute(insert(blobs), rows)


def _link_blobs(
    connection: Connection, numbers: Mapping[str, int], sounds: Sequence[Sound]
) -> None:
    """Note which of the blobs that the new records name are kept."""
    named = {sound.id: referred_blobs(sound.record) for sound in sounds}
    kept = blob_numbers(connection, set().union(*named.values()))
    rows = [
        {"record": numbers[id], "blob": kept[blob]}
        for id, ids in named.items()
        for blob in sorted(ids & kept.keys())
    ]
    if rows:
        connection.execute(insert(blob_uses), rows)


def _numbers(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    query = select(records.c.id, records.c.number).where(records.c.id.in_(ids))
    return {id: number for id, number in connection.execute(query)}


def _present(connection: Connection, column: Column[str], wanted: Sequence[str]) -> set[str]:
    """Return those of `wanted` that stand in `column`."""
    found: set[str] = set()
    for start in range(0, len(wanted), IN_LIST):
        chunk = wanted[start : start + IN_LIST]
        found.update(connection.execute(select(column).where(column.in_(chunk))).scalars())
    return found
