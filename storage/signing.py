"""Adding a record of this installation: next place in its vantage's chain, signed and committed."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from storage.chain import Envelope, public_hex, sign_envelope
from storage.errors import RefusedError
from storage.insertion import (
    insert_blobs,
    insert_certifications,
    insert_envelopes,
    insert_record,
    link_blobs,
    number_of,
    require_kind,
)
from storage.intake import Sound, accept_made, referred_blobs
from storage.keys import KeysFile
from storage.records import Record
from storage.schema import envelopes


def add_own(
    connection: Connection, keys: KeysFile, record: Record, contents: Mapping[str, bytes]
) -> str:
    """Add the record with its envelope, steps and blobs inside the transaction; return its id.

    Raises StoreError for what may not enter and for a vantage whose keys are not in the file.
    """
    sound = accept_made(record)
    if strangers := contents.keys() - referred_blobs(sound.record):
        raise RefusedError(f"{sound.id}: the record does not name the blob {min(strangers)}")
    number = number_of(connection, sound.id)
    if number is None:
        require_kind(connection, record.simulated)
        _sign(connection, keys, sound)
        number = insert_record(connection, sound)
    insert_blobs(connection, contents)
    link_blobs(connection, number, sound.record)
    return sound.id


def _sign(connection: Connection, keys: KeysFile, sound: Sound) -> None:
    time = sound.record.time
    signer = keys.signing(sound.record.vantage, time)
    insert_certifications(connection, signer.certifications)
    sequence, previous = head(connection, signer.vantage)
    envelope = Envelope(
        vantage=signer.vantage,
        sequence=sequence + 1,
        previous=previous,
        id=sound.id,
        time=time,
        key=public_hex(signer.key),
    )
    insert_envelopes(connection, [sign_envelope(envelope, signer.key)])


def head(connection: Connection, vantage: str) -> tuple[int, str | None]:
    """Return sequence and hash of the vantage's last envelope; (0, None) before the first."""
    query = select(envelopes.c.sequence, envelopes.c.hash).where(envelopes.c.vantage == vantage)
    query = query.order_by(envelopes.c.sequence.desc(), envelopes.c.hash).limit(1)
    last = connection.execute(query).one_or_none()
    return (0, None) if last is None else (last.sequence, last.hash)
