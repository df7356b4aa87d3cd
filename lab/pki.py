"""The lab's certificate authorities: roots, intermediates and leaf certificates kept as files."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.described import Flaw

_NOT_BEFORE = datetime(2016, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(2040, 1, 1, tzinfo=UTC)
_OLD, _NEWER, _UNKNOWN = "old", "newer", "unknown"
_TITLES = {_OLD: "Sitewatch Lab", _NEWER: "Sitewatch Lab Newer", _UNKNOWN: "Nobody's"}
_ROOTS_FILE, _OLD_ROOT_FILE = "ca.pem", "old-ca.pem"


@dataclass(frozen=True)
class Leaf:
    """What a server's certificate is to be like. The first name is its subject."""

    names: tuple[str, ...]
    flaw: Flaw = ""
    newer: bool = False  # by the newer of the two authorities
    valid: tuple[datetime, datetime] = (_NOT_BEFORE, _NOT_AFTER)

    def digest(self) -> str:
        """Return a name for a file with such a certificate."""
        text = "\n".join(self.names)
        if self != Leaf(self.names):
            times = (time.isoformat() for time in self.valid)
            text = "\n".join((text, self.flaw, str(self.newer), *times))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Authority:
    """An issuing intermediate and the root above it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    root: x509.Certificate


@dataclass(frozen=True)
class Pki:
    """A folder with root certificates (`ca`), issuing intermediates and their leaves."""

    folder: Path
    _authorities: Mapping[str, _Authority]

    @property
    def ca(self) -> Path:
        """The root certificates as PEM, for clients to trust."""
        return self.folder / _ROOTS_FILE

    @property
    def old_ca(self) -> Path:
        """The older root alone: what a store that was never renewed holds."""
        return self.folder / _OLD_ROOT_FILE

    @classmethod
    def create(cls, folder: Path) -> Pki:
        """Open the authorities in `folder`, making them first where there are none."""
        folder.mkdir(parents=True, exist_ok=True)
        authorities = {name: _open_authority(folder, name) for name in _TITLES}
        old, newer = (_public(authorities[name].root) for name in (_OLD, _NEWER))
        for name, pem in ((_OLD_ROOT_FILE, old), (_ROOTS_FILE, old + newer)):
            if not (folder / name).exists():
                _write(folder / name, pem)
        return cls(folder, authorities)

    def leaf(self, wanted: Sequence[str] | Leaf) -> Path:
        """Return a PEM file with key, leaf and intermediate for names and IP addresses.

        It is made once for each wish; several worlds may share the folder.
        """
        leaf = wanted if isinstance(wanted, Leaf) else Leaf(tuple(wanted))
        path = self.folder / f"leaf-{leaf.digest()}.pem"
        if not path.exists():
            _write(path, self._issue(leaf))
        return path

    def _issue(self, leaf: Leaf) -> bytes:
        name = _UNKNOWN if leaf.flaw == "unknown-authority" else _NEWER if leaf.newer else _OLD
        authority = self._authorities[name]
        key = ec.generate_private_key(ec.SECP256R1())
        own, names = leaf.flaw == "self-signed", leaf.names
        if leaf.flaw == "wrong-name":
            names = (f"other.{names[0]}",)
        issuer = _name(names[0]) if own else authority.certificate.subject
        signer = key if own else authority.key
        builder = _builder(names[0], issuer, key.public_key(), leaf.valid)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), False
        )
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False
        )
        builder = builder.add_extension(_authority_identifier(signer), False)
        alone = leaf.flaw in ("self-signed", "incomplete")
        chain = b"" if alone else _public(authority.certificate)
        return _pem(key) + _signed(builder, signer) + chain


def valid_for(flaw: Flaw, now: datetime) -> tuple[datetime, datetime] | None:
    """Return the validity that a flaw asks for, as seen from a time, in whole days."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if flaw == "expired":
        return today - timedelta(days=100), today - timedelta(days=10)
    if flaw == "future":
        return today + timedelta(days=10), today + timedelta(days=100)
    return None


def short_lived(now: datetime) -> tuple[datetime, datetime]:
    """Return the validity that today's public authorities give: 90 days, some of them gone."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=30), today + timedelta(days=60)


def _open_authority(folder: Path, name: str) -> _Authority:
    path = folder / f"authority-{name}.pem"
    if not path.exists():
        _make_authority(path, _TITLES[name])
    pem = path.read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path}: holds no elliptic curve key")
    intermediate, root = x509.load_pem_x509_certificates(pem)
    return _Authority(key, intermediate, root)


def _make_authority(path: Path, title: str) -> None:
    """Write the intermediate's key, the intermediate and the root; the first writer wins."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = _name(f"{title} Root")
    root = _authority(f"{title} Root", root_name, root_key, root_key, 1)
    key = ec.generate_private_key(ec.SECP256R1())
    intermediate = _authority(f"{title} Issuing", root_name, key, root_key, 0)
    _write(path, _pem(key) + intermediate + root, replace=False)


def _authority(
    name: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    depth: int,
) -> bytes:
    builder = _builder(name, issuer, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(True, depth), True)
    builder = builder.add_extension(_signing_only(), True)
    builder = builder.add_extension(_authority_identifier(issuer_key), False)
    return _signed(builder, issuer_key)


def _builder(
    name: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    valid: tuple[datetime, datetime] = (_NOT_BEFORE, _NOT_AFTER),
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
    )


def _name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sitewatch Lab"),
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _signing_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_identifier(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return _public(builder.sign(key, hashes.SHA256()))


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write a file in one step, so that no reader ever sees half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    if replace:
        Path(name).replace(path)
        return
    with contextlib.suppress(FileExistsError):  # another world was first: its file is as good
        path.hardlink_to(name)
    Path(name).unlink()
