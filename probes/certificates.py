"""Judge certificate chains offline: at a given time, for a given name, against given roots."""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from OpenSSL import crypto

from storage.certificate_names import covers
from storage.failures import Failure
from storage.records import Certificate

MOST_CERTIFICATES = 10  # real chains have two to four; more is somebody's game

# What reading a certificate may raise that somebody wrote who wanted to be odd.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    crypto.Error,  # OpenSSL refuses some of what the other library reads
)

# OpenSSL's X509_V_ERR_ codes (openssl/x509_vfy.h) that a browser shows as a question of dates.
_DATE_CODES = frozenset({9, 10, 13, 14})
# ... and as an issuer that nobody vouches for: self-signed, missing or untrusted issuers.
_AUTHORITY_CODES = frozenset({2, 18, 19, 20, 21, 24, 27, 33})


@dataclass(frozen=True)
class ChainVerdict:
    """The judge's word: `failure` and `because` are None exactly where `valid` is True."""

    valid: bool
    failure: Failure | None = None
    because: str | None = None


_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class RootsError(Exception):
    """The roots to judge by cannot be read; the message is one line naming the file."""


class CertificateJudge:
    """Judges chains against one set of roots, `ca_bundle` (a PEM file) or certifi's."""

    def __init__(self, ca_bundle: str = "") -> None:
        """Read the roots. Raises RootsError where the file is not usable."""
        path = ca_bundle or certifi.where()
        try:
            self._roots = _Roots(_read(path))
        except (OSError, crypto.Error) as error:
            raise RootsError(f"{path}: holds no certificates that can be read") from error

    @cached_property
    def _system(self) -> _Roots | None:
        """The system's own roots, read on first need; None where it has none to be read."""
        paths = ssl.get_default_verify_paths()
        try:
            certificates = _read(paths.cafile) if paths.cafile else ()
        except (OSError, crypto.Error):
            certificates = ()
        return _Roots(certificates, paths.capath) if certificates or paths.capath else None

    def judge(self, chain: Sequence[bytes], name: str, at: float) -> ChainVerdict:
        """Judge DER certificates, leaf first, for `name` at `at` (seconds since the epoch)."""
        return _judge(self._roots, chain, name, at)

    def ask_system(self, chain: Sequence[bytes], name: str, at: float) -> bool | None:
        """Return whether the system's roots would accept the chain: a second opinion, no verdict.

        None where the system has no roots of its own.
        """
        return None if self._system is None else _judge(self._system, chain, name, at).valid


@dataclass(frozen=True)
class _Roots:
    """Trusted certificates, and a folder of more under the names that OpenSSL looks for."""

    certificates: Sequence[crypto.X509]
    folder: str | None = None

    def at(self, moment: float) -> crypto.X509Store:
        """Return a store for one judgement at `moment` (seconds since the epoch).

        OpenSSL's stores keep the first time that they are set to for ever
        (X509_VERIFY_PARAM_set1 overwrites none), so none serves twice; making one takes 0.07 ms.
        """
        store = crypto.X509Store()
        for certificate in self.certificates:
            store.add_cert(certificate)
        if self.folder is not None:
            store.load_locations(None, self.folder)
        store.set_time(datetime.fromtimestamp(moment, UTC).replace(tzinfo=None))
        return store


def _read(path: str) -> Sequence[crypto.X509]:
    """Read a PEM file. Raises OSError or crypto.Error, the latter where nothing is in it too."""
    blocks = _PEM.findall(Path(path).read_bytes())
    if not blocks:
        raise crypto.Error("no certificate")
    return [crypto.load_certificate(crypto.FILETYPE_PEM, block) for block in blocks]


def _judge(roots: _Roots, chain: Sequence[bytes], name: str, at: float) -> ChainVerdict:
    try:
        parsed, *more = [_parsed(der) for der in chain]
        names = alternative_names(parsed)
        leaf, *others = map(crypto.X509.from_cryptography, (parsed, *more))
    except _UNREADABLE as error:
        because = f"a certificate does not parse: {type(error).__name__}"
        return ChainVerdict(False, Failure.TLS_INVALID_CERTIFICATE, because)
    try:
        crypto.X509StoreContext(roots.at(at), leaf, others).verify_certificate()
    except crypto.X509StoreContextError as error:
        return _refused(error)
    if not any(covers(pattern, name) for pattern in names):
        because = f"the certificate is not for {name}"
        return ChainVerdict(False, Failure.TLS_INVALID_HOSTNAME, because)
    return ChainVerdict(True)


def _parsed(der: bytes) -> x509.Certificate:
    """Parse a certificate from the network; what is merely odd about it is no matter for us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return x509.load_der_x509_certificate(der)


def _refused(error: crypto.X509StoreContextError) -> ChainVerdict:
    code, because = int(error.errors[0]), str(error.errors[2])
    authority = code in _AUTHORITY_CODES and code not in _DATE_CODES
    failure = Failure.TLS_UNKNOWN_AUTHORITY if authority else Failure.TLS_INVALID_CERTIFICATE
    return ChainVerdict(False, failure, because)


def alternative_names(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names and IP addresses that a certificate is for. May raise ValueError."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    dns = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return [*dns, *(str(address) for address in addresses)]


def describe(der: bytes) -> Certificate:
    """Return what a record keeps of one certificate; only the hash where it does not parse."""
    fingerprint = sha256(der).hexdigest()
    try:
        parsed = _parsed(der)
        return Certificate(
            sha256=fingerprint,
            spki_sha256=_key_hash(parsed),
            subject=parsed.subject.rfc4514_string(),
            issuer=parsed.issuer.rfc4514_string(),
            names=alternative_names(parsed)[:100],
            not_before=_time(parsed.not_valid_before_utc),
            not_after=_time(parsed.not_valid_after_utc),
        )
    except _UNREADABLE:
        return Certificate(sha256=fingerprint)


def _key_hash(certificate: x509.Certificate) -> str | None:
    """Return the hash of the key, None where it is of a kind that the library cannot read.

    The rest of such a certificate still tells whose it is.
    """
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
