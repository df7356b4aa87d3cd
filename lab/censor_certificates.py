"""The certificates of censors: authorities by their names, and leaves copied from true ones.

Kazakhstan's interceptions are copied as they were seen: in 2019 the leaf had subject and names of
the server's own certificate, an RSA key with exponent 3, a validity shifted six hours back, the
serial number but for its last 33 bits, and no further extension (Raman et al., IMC 2020); from
2020 to 2024 the issuer was an authority called Information Security Certification Authority, whose
intermediates lived 75 days (OONI, 2024).
"""

from __future__ import annotations

import secrets
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

Authority: TypeAlias = Literal["qaznet", "isca", "generic"]

_RSA_BITS = 2048
_EXPONENTS = {"qaznet": 3, "isca": 3, "generic": 65537}
_FRESH_SERIAL_BITS = 33
_SHIFT = timedelta(hours=6)
_KEY_IDS = {"C": NameOID.COUNTRY_NAME, "O": NameOID.ORGANIZATION_NAME, "CN": NameOID.COMMON_NAME}


@dataclass(frozen=True)
class _Issuer:
    """How an authority's root and intermediate call themselves, and how long they live."""

    root: dict[str, str]
    intermediate: dict[str, str]
    begins: datetime | None  # of the root; None: half of its life ago
    root_days: int
    intermediate_days: int


_ISCA = {"C": "KZ", "O": "ISCA", "CN": "Information Security Certification Authority"}
_ISSUERS: dict[Authority, _Issuer] = {
    "qaznet": _Issuer(
        {"C": "KZ", "CN": "Qaznet Trust Network"},
        {"C": "KZ", "CN": "Security Certificate"},
        datetime(2016, 2, 2, tzinfo=UTC),
        30 * 365,
        3 * 365,
    ),
    "isca": _Issuer(_ISCA, _ISCA, datetime(2020, 2, 28, tzinfo=UTC), 20 * 365, 75),
    "generic": _Issuer(
        {"O": "Gateway", "CN": "Secure Gateway Root"},
        {"O": "Gateway", "CN": "Secure Gateway CA"},
        None,
        10 * 365,
        365,
    ),
}


class CensorForger:
    """Copies certificates for a man in the middle, as one authority does it.

    `now` is the time around which the intermediate is valid.
    """

    def __init__(self, authority: Authority, now: datetime) -> None:
        self._authority: Authority = authority
        issuer = _ISSUERS[authority]
        root_key, self._key = _new_key(65537), _new_key(65537)
        self._leaf_key = _new_key(_EXPONENTS[authority])
        life = timedelta(days=issuer.root_days)
        begins = issuer.begins or now - life / 2
        root_name = _name(issuer.root)
        self._root = _certify(root_name, root_name, root_key, root_key, (begins, begins + life))
        half = timedelta(days=issuer.intermediate_days) / 2
        span = (now - half, now + half)
        self._issuer_name = _name(issuer.intermediate)
        self._intermediate = _certify(self._issuer_name, root_name, self._key, root_key, span)
        self._contexts: dict[bytes, ssl.SSLContext] = {}

    def context(self, original: x509.Certificate) -> ssl.SSLContext:
        """Return a server's context with a copy of a true certificate, made once for each."""
        digest = original.fingerprint(hashes.SHA256())
        if digest not in self._contexts:
            self._contexts[digest] = server_context(self._pem_chain(self.copy(original)))
        return self._contexts[digest]

    def copy(self, original: x509.Certificate) -> x509.Certificate:
        """Return the forged leaf for a true one."""
        shift = timedelta(0) if self._authority == "generic" else _SHIFT
        builder = (
            x509.CertificateBuilder()
            .subject_name(original.subject)
            .issuer_name(self._issuer_name)
            .public_key(self._leaf_key.public_key())
            .serial_number(_nearly(original.serial_number))
            .not_valid_before(original.not_valid_before_utc - shift)
            .not_valid_after(original.not_valid_after_utc - shift)
        )
        for extension in original.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                builder = builder.add_extension(extension.value, extension.critical)
        return builder.sign(self._key, hashes.SHA256())

    def _pem_chain(self, leaf: x509.Certificate) -> bytes:
        key = self._leaf_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        chain = (leaf, self._intermediate, self._root)
        return key + b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)


def server_context(pem: bytes) -> ssl.SSLContext:
    """Return a TLS server's context for a key and its chain as PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 0
    return context


def _nearly(serial: int) -> int:
    """Return a serial number that differs from a true one in its last bits only."""
    return (serial >> _FRESH_SERIAL_BITS << _FRESH_SERIAL_BITS) | (
        secrets.randbits(_FRESH_SERIAL_BITS) or 1
    )


def _new_key(exponent: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=exponent, key_size=_RSA_BITS)


def _name(parts: dict[str, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(_KEY_IDS[key], value) for key, value in parts.items()])


def _certify(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey,
    issuer_key: rsa.RSAPrivateKey,
    span: tuple[datetime, datetime],
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(issuer_key, hashes.SHA256())
    )
