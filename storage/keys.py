"""The keys file: this installation's pseudonyms and private keys, beside the database, never in it.

Databases are handed around, so secrets stay out of them. All calls come from the thread that
writes, inside a write transaction: that lock also keeps two processes from changing the file at
once. The file is replaced atomically and has mode 0600. When it is lost, `own` makes a new
pseudonym; records under the old one stay valid.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.chain import (
    Certification,
    is_of_source,
    public_hex,
    sign_certification,
    source_vantage_id,
    vantage_id,
)
from storage.errors import StoreError
from storage.records import Vantage

# How far a clock may run backwards before it is taken for a correction, not for a late record.
_BACKWARDS = timedelta(days=31)
# What is imported comes in any order of its times, and they say nothing about the key.
_FOR_ALL_TIMES = "1970-01-01T00:00:00.000000Z"


class _Own(msgspec.Struct, frozen=True, kw_only=True):
    """One vantage of this installation. `secret` is its present private key in hex."""

    id: str
    kind: Literal["field", "reference"]
    country: str | None
    asn: int | None
    network: str | None
    source: str | None = None
    secret: str
    certifications: list[Certification] = []


class _File(msgspec.Struct, frozen=True, kw_only=True):
    format: Literal["sitewatch-keys/1"] = "sitewatch-keys/1"
    vantages: list[_Own] = []
    exports: str | None = None  # secret from which the keys that sign public exports are derived


@dataclass(frozen=True)
class Signer:
    """In whose chain a record is signed, with which key, and what certifies that key."""

    vantage: str
    key: Ed25519PrivateKey
    certifications: list[Certification]


class ExportKeys:
    """The keys that sign what is exported."""

    def __init__(self, present: Mapping[str, Ed25519PrivateKey], secret: bytes) -> None:
        self.present = present  # the key that signs new records, by own vantage
        self._secret = secret

    def public(self, vantage: str) -> Ed25519PrivateKey:
        """Return the lasting key for public exports of a vantage; "" is the installation's own.

        It is never certified: a certification says to the microsecond when a record was made.
        Keys of two vantages do not show that one installation holds both.
        """
        derived = HKDF(SHA256(), 32, salt=None, info=b"sitewatch-export/1 " + vantage.encode())
        return Ed25519PrivateKey.from_private_bytes(derived.derive(self._secret))


class KeysFile:
    """The keys of this installation; `path` need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._content = _File()

    def own(self, wanted: Vantage) -> Vantage:
        """Return `wanted` with this installation's pseudonym for that network as its id."""
        return self.own_all([wanted])[0]

    def own_all(self, wanted: Sequence[Vantage]) -> list[Vantage]:
        """Do for many networks what `own` does for one; the file is written at most once.

        Those of a `source` are nobody's own: their pseudonyms follow from what they are.
        """
        content = self._read()
        known = {_network(own): own.id for own in content.vantages}
        new: list[_Own] = []
        for vantage in wanted:
            if vantage.source is None and _network(vantage) not in known:
                new.append(_made(vantage))
                known[_network(vantage)] = new[-1].id
        if new:
            self._write(msgspec.structs.replace(content, vantages=[*content.vantages, *new]))
        return [
            msgspec.structs.replace(
                one, id=known[_network(one)] if one.source is None else source_vantage_id(one)
            )
            for one in wanted
        ]

    def signing(self, vantage: Vantage, time: str) -> Signer:
        """Return what signs a record of `time` made by `vantage`.

        Makes a new key when the record's month is later than the key's. What another project
        measured is signed by a vantage that does nothing but import it.
        """
        own = self._importer(vantage) if is_of_source(vantage) else self._find(vantage.id)
        renewed = _renewed(own, time)
        if renewed is not own:
            others = [other for other in self._content.vantages if other.id != own.id]
            content = msgspec.structs.replace(self._content, vantages=[*others, renewed])
            self._write(content)
        return Signer(renewed.id, _private(renewed.secret), renewed.certifications)

    def for_export(self) -> ExportKeys:
        """Return what signs exports; makes its secret on first use."""
        content = self._read()
        if content.exports is None:
            content = msgspec.structs.replace(content, exports=secrets.token_hex(32))
            self._write(content)
        return ExportKeys(
            {own.id: _private(own.secret) for own in content.vantages},
            bytes.fromhex(content.exports or ""),
        )

    def _importer(self, vantage: Vantage) -> _Own:
        """Return the vantage of this installation that signs what it imports of that source."""
        content = self._read()
        wanted = Vantage(id="", source=vantage.source)
        for own in content.vantages:
            if _network(own) == _network(wanted):
                return own
        own = _made(wanted)
        self._write(msgspec.structs.replace(content, vantages=[*content.vantages, own]))
        return own

    def _find(self, vantage: str) -> _Own:
        for own in self._read().vantages:
            if own.id == vantage:
                return own
        raise StoreError(
            f"{self.path}: no key for vantage {vantage}; only own vantages can be signed for"
        )

    def _read(self) -> _File:
        try:
            status = self.path.stat()
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._content = msgspec.json.decode(self.path.read_bytes(), type=_File)
                self._stamp = stamp
        except FileNotFoundError:
            self._content, self._stamp = _File(), None
        except msgspec.DecodeError as error:
            raise StoreError(
                f"{self.path}: not a keys file ({error}); move it away to start with new keys"
            ) from error
        return self._content

    def _write(self, content: _File) -> None:
        partial = self.path.with_name(self.path.name + ".partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)
        _sync_folder(self.path.parent)
        self._content, self._stamp = content, None


def _network(one: _Own | Vantage) -> tuple[str, str | None, str | None, int | None, str | None]:
    """Networks are told apart by number; only where there is none does the name count."""
    return one.kind, one.source, one.country, one.asn, one.network if one.asn is None else None


def _made(wanted: Vantage) -> _Own:
    """Make a pseudonym for a network."""
    secret = Ed25519PrivateKey.generate()
    own = _Own(
        id=vantage_id(public_hex(secret)),
        kind=wanted.kind,
        country=wanted.country,
        asn=wanted.asn,
        network=wanted.network,
        source=wanted.source,
        secret=secret.private_bytes_raw().hex(),
    )
    return own if own.source is None else _certified(own, _FOR_ALL_TIMES)


def _certified(own: _Own, since: str) -> _Own:
    """Give a pseudonym the certification of its first key, by itself."""
    first = _private(own.secret)
    unsigned = Certification(vantage=own.id, key=public_hex(first), previous=None, since=since)
    return msgspec.structs.replace(own, certifications=[sign_certification(unsigned, first)])


def _renewed(own: _Own, time: str) -> _Own:
    if not own.certifications:
        return _certified(own, time)
    if own.source is not None or not _due(own.certifications[-1].since, time):
        return own
    before, after = _private(own.secret), Ed25519PrivateKey.generate()
    unsigned = Certification(
        vantage=own.id, key=public_hex(after), previous=public_hex(before), since=time
    )
    # The key before has done its work: what it signed stays verifiable, and it cannot leak.
    return msgspec.structs.replace(
        own,
        secret=after.private_bytes_raw().hex(),
        certifications=[*own.certifications, sign_certification(unsigned, before)],
    )


def _due(since: str, time: str) -> bool:
    if time[:7] > since[:7]:
        return True
    # A clock that once ran years ahead must not keep one key for years.
    return datetime.fromisoformat(since) - datetime.fromisoformat(time) > _BACKWARDS


def _private(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut; systems that cannot open folders do without."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
