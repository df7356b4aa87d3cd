"""Every exception that the network's libraries define has a name in our vocabulary."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

import dns.exception
import h11
import httpcore
import httpx
import pytest

from probes.errors import NETWORK_ERRORS, failure_of
from storage.failures import Failure

# Raised for wrong use of a library, not by the network.
_PROGRAMMING_ERRORS = {
    "PoolTimeout",
    "ProxyError",
    "LocalProtocolError",
}


def _subclasses(base: type[BaseException]) -> Iterator[type[BaseException]]:
    for each in base.__subclasses__():
        yield each
        yield from _subclasses(each)


def _library_exceptions() -> list[type[BaseException]]:
    roots = [
        h11.RemoteProtocolError,
        httpcore.ConnectionNotAvailable,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.TimeoutException,
        httpx.TransportError,
    ]
    found = {each for root in roots for each in [root, *_subclasses(root)]}
    return sorted(found - {each for each in found if each.__name__ in _PROGRAMMING_ERRORS}, key=str)


@pytest.mark.parametrize("kind", _library_exceptions(), ids=lambda kind: kind.__module__)
def test_every_exception_of_the_http_libraries_is_mapped(kind: type[BaseException]) -> None:
    assert issubclass(kind, NETWORK_ERRORS)
    assert failure_of(kind("hostile text")) is not Failure.UNKNOWN


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.ECONNREFUSED, Failure.CONNECTION_REFUSED),
        (errno.ECONNRESET, Failure.CONNECTION_RESET),
        (errno.EHOSTUNREACH, Failure.HOST_UNREACHABLE),
        (errno.ENETUNREACH, Failure.NETWORK_UNREACHABLE),
        (errno.ETIMEDOUT, Failure.TIMED_OUT),
        (errno.EPERM, Failure.PERMISSION_DENIED),
    ],
)
def test_an_errno_keeps_its_own_name(number: int, failure: Failure) -> None:
    assert failure_of(OSError(number, "")) is failure


def test_our_deadline_is_told_from_the_kernels() -> None:
    assert failure_of(TimeoutError()) is Failure.TIMEOUT
    assert failure_of(OSError(errno.ETIMEDOUT, "")) is Failure.TIMED_OUT


def test_the_innermost_exception_of_a_wrapped_one_decides() -> None:
    wrapped = httpcore.ReadError("reading failed")
    wrapped.__cause__ = OSError(errno.ECONNREFUSED, "refused")
    assert failure_of(wrapped) is Failure.CONNECTION_REFUSED


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (socket.gaierror(socket.EAI_NONAME, ""), Failure.DNS_NXDOMAIN),
        (socket.gaierror(socket.EAI_AGAIN, ""), Failure.DNS_TEMPORARY),
        (socket.gaierror(-99, ""), Failure.DNS_NON_RECOVERABLE),
        (dns.exception.DNSException("odd"), Failure.DNS_MALFORMED),  # type: ignore[no-untyped-call]
        (ssl.SSLEOFError(8, "eof"), Failure.EOF),
        (ssl.SSLError(1, "handshake failure"), Failure.TLS_FAILED),
        (EOFError(), Failure.EOF),
    ],
)
def test_names_and_tls_have_their_own_failures(error: Exception, failure: Failure) -> None:
    assert failure_of(error) is failure
