"""The lab's certificate authority: a root, an intermediate and leaf certificates kept as files."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NOT_BEFORE = datetime(2016, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(2040, 1, 1, tzinfo=UTC)
_AUTHORITY_FILE = "authority.pem"
_ROOT_FILE = "ca.pem"


@dataclass(frozen=True)
class Pki:
    """A folder with a root certificate (`ca`), an issuing intermediate and its leaves."""

    folder: Path
    _key: ec.EllipticCurvePrivateKey
    _certificate: x509.Certificate

    @property
    def ca(self) -> Path:
        """The root certificate as PEM, for clients to trust."""
        return self.folder / _ROOT_FILE

    @classmethod
    def create(cls, folder: Path) -> Pki:
        """Open the authority in `folder`, making it first where there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        authority = folder / _AUTHORITY_FILE
        if not authority.exists():
            _make_authority(authority)
        pem = authority.read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{authority}: holds no elliptic curve key")
        intermediate, root = x509.load_pem_x509_certificates(pem)
        if not (folder / _ROOT_FILE).exists():
            _write(folder / _ROOT_FILE, _public(root))
        return cls(folder, key, intermediate)

    def leaf(self, names: Sequence[str]) -> Path:
        """Return a PEM file with key, leaf and intermediate for names and IP addresses.

        It is made once for each list of names; several worlds may share the folder.
        """
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        path = self.folder / f"leaf-{digest}.pem"
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            builder = _builder(names[0], self._certificate.subject, key.public_key())
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), False
            )
            builder = builder.add_extension(x509.BasicConstraints(False, None), True)
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False
            )
            builder = builder.add_extension(_authority_identifier(self._key), False)
            _write(path, _pem(key) + _signed(builder, self._key) + _public(self._certificate))
        return path


def _make_authority(path: Path) -> None:
    """Write the intermediate's key, the intermediate and the root; the first writer wins."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = _name("Sitewatch Lab Root")
    root = _authority("Sitewatch Lab Root", root_name, root_key, root_key, 1)
    key = ec.generate_private_key(ec.SECP256R1())
    intermediate = _authority("Sitewatch Lab Issuing", root_name, key, root_key, 0)
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
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
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
