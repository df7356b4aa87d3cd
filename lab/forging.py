"""Certificates that somebody on the way forges: copies of true ones by an authority of his own."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_AUTHORITY_YEARS = 30
_KEY_NAMES = {
    "C": NameOID.COUNTRY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
}


def distinguished_name(text: str) -> x509.Name:
    """Read a name like "C=KZ, O=ISCA, CN=Some Authority"; without "=" all of it is the CN."""
    if "=" not in text:
        text = f"CN={text}"
    pairs = (part.strip().split("=", 1) for part in text.split(","))
    return x509.Name([x509.NameAttribute(_KEY_NAMES[key], value) for key, value in pairs])


class Forger:
    """An authority that copies certificates: subject, names and validity are the true one's.

    `shift` moves the validity; `keep_extensions` copies more than the names. The folder receives
    the authority's certificate (`root.pem`), for clients that trust it, and is made where missing.
    """

    def __init__(
        self,
        issuer: str,
        folder: Path,
        *,
        now: datetime,
        shift: timedelta = timedelta(0),
        keep_extensions: bool = True,
    ) -> None:
        self._shift = shift
        self._keep_extensions = keep_extensions
        self._contexts: dict[bytes, SSLContext] = {}
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._name = distinguished_name(issuer)
        self._key, self._certificate = self._authority(now)

    @property
    def root(self) -> Path:
        """The authority's own certificate as PEM."""
        return self._folder / "root.pem"

    def _authority(self, now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """Open the authority in the folder, or make it."""
        path = self._folder / "authority.pem"
        if path.exists():
            pem = path.read_bytes()
            key = serialization.load_pem_private_key(pem, None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError(f"{path}: holds no elliptic curve key")
            return key, x509.load_pem_x509_certificate(pem)
        key = ec.generate_private_key(ec.SECP256R1())
        span = timedelta(days=365 * _AUTHORITY_YEARS / 2)
        certificate = (
            _blank(self._name, self._name, key, now - span, now + span)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256())
        )
        self.root.write_bytes(_pem(certificate))
        path.write_bytes(_key_pem(key) + _pem(certificate))
        return key, certificate

    def context(self, original: x509.Certificate) -> SSLContext:
        """Return a server's context with a copy of a true certificate, made once for each."""
        digest = original.fingerprint(hashes.SHA256())
        if digest not in self._contexts:
            self._contexts[digest] = self._context(original)
        return self._contexts[digest]

    def _context(self, original: x509.Certificate) -> SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        begins, ends = original.not_valid_before_utc, original.not_valid_after_utc
        copy = _blank(original.subject, self._name, key, begins + self._shift, ends + self._shift)
        for extension in original.extensions:
            names = isinstance(extension.value, x509.SubjectAlternativeName)
            uses = isinstance(extension.value, x509.ExtendedKeyUsage | x509.BasicConstraints)
            if names or (uses and self._keep_extensions):
                copy = copy.add_extension(extension.value, extension.critical)
        if self._keep_extensions:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            copy = copy.add_extension(issuer, False)
        leaf = copy.sign(self._key, hashes.SHA256())
        context = SSLContext(PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(dir=self._folder) as file:
            file.write(_key_pem(key) + _pem(leaf) + _pem(self._certificate))
            file.flush()
            context.load_cert_chain(file.name)
        context.set_alpn_protocols(["http/1.1"])
        context.num_tickets = 0
        return context


def _blank(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
