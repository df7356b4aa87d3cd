"""Envelopes and keys: what signs a record and chains it to the one before.

An envelope is ``{vantage, sequence, previous, id, time, key, signature}``. `id` is the hash of the
record, so the envelope alone still verifies when the record has been dropped. `signature` is
Ed25519 over the canonical form of the envelope without `signature`. `previous` is the SHA-256 of
the canonical form of the *whole* envelope before it, signature included; the first has null.
`sequence` counts from 1 and `time` is the record's own, so that a stub still says when.

A vantage is named by the hash of its first key: nobody else can make records in its name. Each
later key is certified by the key before it; the first certifies itself.

What was imported from another project was measured by none of ours. Its vantage is named by what it
is, so that the same data are the same records whoever imported them; he signs them in the chain of
a vantage of his own, and vouches for the importing alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from storage.errors import RefusedError
from storage.records import Record, Vantage, canonical, digest, is_id

S = TypeVar("S", bound=msgspec.Struct)


class Missing(str):
    """A line about something that is not there, as against something that is wrong."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What signs one record and names the envelope before it."""

    vantage: str
    sequence: int
    previous: str | None
    id: str
    time: str
    key: str
    signature: str = ""


class Certification(msgspec.Struct, frozen=True, kw_only=True):
    """One public key of a vantage, signed by the key before it (the first by itself)."""

    vantage: str
    key: str
    previous: str | None
    since: str
    signature: str = ""


def public_hex(key: Ed25519PrivateKey) -> str:
    """Return the public half as 64 hex digits."""
    return key.public_key().public_bytes_raw().hex()


def vantage_id(first_key: str) -> str:
    """Return the pseudonym that belongs to a vantage's first public key (hex)."""
    return hashlib.sha256(bytes.fromhex(first_key)).hexdigest()[:32]


def source_vantage_id(vantage: Vantage) -> str:
    """Return the pseudonym of a network as the data of another project (`source`) show it.

    Networks are told apart by number; only where there is none does the name count.
    """
    network = vantage.network if vantage.asn is None else None
    named = [vantage.source, vantage.kind, vantage.country, vantage.asn, network]
    return hashlib.sha256(b"sitewatch-source/1 " + canonical(named)).hexdigest()[:32]


def is_of_source(vantage: Vantage) -> bool:
    """Return whether it stands for another project's data, which any vantage may sign."""
    return vantage.source is not None and vantage.id == source_vantage_id(vantage)


def signed(statement: S, key: Ed25519PrivateKey) -> S:
    """Return a statement that has the field `signature` with it filled."""
    return msgspec.structs.replace(statement, signature=key.sign(_signed_part(statement)).hex())


def sign_envelope(envelope: Envelope, key: Ed25519PrivateKey) -> Envelope:
    """Return the envelope with its signature."""
    return signed(envelope, key)


def sign_certification(certification: Certification, signer: Ed25519PrivateKey) -> Certification:
    """Return the certification with the signature of the key before it."""
    return signed(certification, signer)


def envelope_hash(envelope: Envelope) -> str:
    """Return what the next envelope names as `previous`."""
    return digest(canonical(envelope))


def signed_by(statement: msgspec.Struct, key: str) -> bool:
    """Return whether a statement's `signature` is a good one of the public key (hex)."""
    signature: str = msgspec.structs.asdict(statement)["signature"]
    try:
        public = Ed25519PublicKey.from_public_bytes(_bytes_of(key))
        public.verify(_bytes_of(signature), _signed_part(statement))
    except (InvalidSignature, ValueError):
        return False
    return True


def certified_keys(certifications: Iterable[Certification]) -> Mapping[str, set[str]]:
    """Return the keys of each vantage that an unbroken row of signatures leads to."""
    known: dict[str, set[str]] = {}
    waiting: dict[tuple[str, str], list[Certification]] = {}
    ready: list[Certification] = []
    for certification in certifications:
        if certification.previous is None:
            ready += [certification] if _is_first(certification) else []
        else:
            followed = (certification.vantage, certification.previous)
            waiting.setdefault(followed, []).append(certification)
    while ready:
        certification = ready.pop()
        known.setdefault(certification.vantage, set()).add(certification.key)
        for later in waiting.pop((certification.vantage, certification.key), []):
            ready += [later] if signed_by(later, certification.key) else []
    return known


def require_matching(envelope: Envelope, id: str, record: Record) -> None:
    """Raise RefusedError if an envelope says something else than the record inside."""
    named = is_of_source(record.vantage) or envelope.vantage == record.vantage.id
    if not named or (envelope.id, envelope.time) != (id, record.time):
        raise RefusedError(f"{id}: its envelope names another record, vantage or time")
    if (envelope.sequence == 1) != (envelope.previous is None) or envelope.sequence < 1:
        raise RefusedError(f"{id}: its envelope has no place in a chain")


def require_certified(envelope: Envelope, keys: Mapping[str, set[str]]) -> None:
    """Raise RefusedError unless a certified key of its vantage signed it, and it names hashes."""
    if envelope.key not in keys.get(envelope.vantage, set()):
        raise RefusedError(f"{envelope.id}: signed by a key that its vantage never certified")
    if not signed_by(envelope, envelope.key):
        raise RefusedError(f"{envelope.id}: wrong signature")
    if not is_id(envelope.id) or not (envelope.previous is None or is_id(envelope.previous)):
        raise RefusedError(f"{envelope.id}: its envelope names what has no id")


def broken_links(chains: Iterable[Envelope]) -> Iterator[str]:
    """Yield a line for each break in chains of envelopes ordered by (vantage, sequence).

    No place may be empty or taken twice, and each envelope must name the one before it. Nothing
    can show that envelopes were cut off at the end.
    """
    vantage, place, here, before = "", 0, set[str](), set[str]()
    for envelope in chains:
        if envelope.vantage != vantage:
            vantage, place, here = envelope.vantage, 0, set()
        if envelope.sequence == place:
            yield f"vantage {vantage}: place {place} is taken twice (was it copied or set back?)"
        elif envelope.sequence == place + 1:
            before, here = here, set()
        else:
            before, here = {envelope.previous or ""}, set()
            yield Missing(
                f"vantage {vantage}: nothing between places {place} and {envelope.sequence}"
            )
        if envelope.previous is not None and envelope.previous not in before:
            yield f"vantage {vantage}: place {envelope.sequence} does not follow the one before"
        place = envelope.sequence
        here.add(envelope_hash(envelope))


def _is_first(certification: Certification) -> bool:
    try:
        named_after = vantage_id(_bytes_of(certification.key).hex())
    except ValueError:
        return False
    return named_after == certification.vantage and signed_by(certification, certification.key)


def _bytes_of(text: str) -> bytes:
    """Return the bytes; ValueError unless in lower case, so that it hashes the same everywhere."""
    data = bytes.fromhex(text)
    if data.hex() != text:
        raise ValueError("not lower-case hex digits")
    return data


def _signed_part(statement: msgspec.Struct) -> bytes:
    fields = msgspec.structs.asdict(statement)
    del fields["signature"]
    return canonical(fields)
