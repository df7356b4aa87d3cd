"""The one place where exceptions of the system and of libraries become a Failure."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import dns.exception
import h11
import httpcore
import httpx

from storage.failures import Failure

_BY_ERRNO = {
    errno.ECONNREFUSED: Failure.CONNECTION_REFUSED,
    errno.ECONNRESET: Failure.CONNECTION_RESET,
    errno.EPIPE: Failure.CONNECTION_RESET,  # we wrote after the other side's reset
    errno.ECONNABORTED: Failure.CONNECTION_ABORTED,
    errno.ETIMEDOUT: Failure.TIMED_OUT,
    errno.EHOSTUNREACH: Failure.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Failure.HOST_UNREACHABLE,
    errno.ENETUNREACH: Failure.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Failure.NETWORK_DOWN,
    errno.EADDRNOTAVAIL: Failure.ADDRESS_NOT_AVAILABLE,
    errno.EAFNOSUPPORT: Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
    errno.EPERM: Failure.PERMISSION_DENIED,
    errno.EACCES: Failure.PERMISSION_DENIED,
    errno.EMSGSIZE: Failure.MESSAGE_SIZE,
    errno.ENOPROTOOPT: Failure.HOST_UNREACHABLE,  # ICMP "protocol unreachable"
    errno.EPROTO: Failure.HOST_UNREACHABLE,
}

_BY_GETADDRINFO = {
    socket.EAI_NONAME: Failure.DNS_NXDOMAIN,
    socket.EAI_AGAIN: Failure.DNS_TEMPORARY,
    socket.EAI_FAIL: Failure.DNS_NON_RECOVERABLE,
    socket.EAI_FAMILY: Failure.DNS_NO_ANSWER,
    socket.EAI_NODATA: Failure.DNS_NO_ANSWER,
}

# Ordered: the first class that fits decides, so subclasses stand before their bases.
_BY_CLASS: tuple[tuple[type[BaseException], Failure], ...] = (
    (asyncio.IncompleteReadError, Failure.EOF),
    (TimeoutError, Failure.TIMEOUT),
    (dns.exception.Timeout, Failure.TIMEOUT),
    (dns.exception.DNSException, Failure.DNS_MALFORMED),
    (ssl.SSLEOFError, Failure.EOF),
    (ssl.SSLZeroReturnError, Failure.EOF),
    (ssl.SSLCertVerificationError, Failure.TLS_INVALID_CERTIFICATE),
    (ssl.SSLError, Failure.TLS_FAILED),
    (ConnectionResetError, Failure.CONNECTION_RESET),
    (ConnectionRefusedError, Failure.CONNECTION_REFUSED),
    (ConnectionAbortedError, Failure.CONNECTION_ABORTED),
    (BrokenPipeError, Failure.CONNECTION_RESET),
    (h11.ProtocolError, Failure.HTTP_MALFORMED),
    (httpcore.TimeoutException, Failure.TIMEOUT),
    (httpcore.ProtocolError, Failure.HTTP_MALFORMED),
    (httpcore.NetworkError, Failure.CONNECTION_RESET),
    (httpcore.ConnectionNotAvailable, Failure.EOF),  # it was closed after the answer before
    (httpcore.UnsupportedProtocol, Failure.HTTP_INVALID_REDIRECT),
    (httpx.TimeoutException, Failure.TIMEOUT),
    (httpx.ProtocolError, Failure.HTTP_MALFORMED),
    (httpx.DecodingError, Failure.HTTP_UNDECODABLE),
    (httpx.TooManyRedirects, Failure.HTTP_TOO_MANY_REDIRECTS),
    (httpx.UnsupportedProtocol, Failure.HTTP_INVALID_REDIRECT),
    (httpx.InvalidURL, Failure.HTTP_INVALID_REDIRECT),
    (httpx.TransportError, Failure.CONNECTION_RESET),
    (UnicodeError, Failure.HTTP_INVALID_REDIRECT),  # a host name that IDNA refuses
)

# What a network operation may raise: everything else is a defect and shall be seen.
NETWORK_ERRORS = (
    OSError,
    EOFError,
    dns.exception.DNSException,
    h11.ProtocolError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.ConnectionNotAvailable,
    httpcore.UnsupportedProtocol,
    httpx.TransportError,
    httpx.DecodingError,
    httpx.TooManyRedirects,
    httpx.InvalidURL,
    UnicodeError,
)


def failure_of(error: BaseException) -> Failure:
    """Return the Failure for an exception that a network operation raised.

    Wrapped exceptions (httpcore's, httpx's) are looked through, since the innermost knows best.
    Only declared causes count: what was handled before, such as TLS wanting data, explains nothing.
    """
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__
    for each in reversed(chain):
        found = _failure_of_one(each)
        if found is not Failure.UNKNOWN:
            return found
    return Failure.UNKNOWN


def _failure_of_one(error: BaseException) -> Failure:
    if isinstance(error, socket.gaierror):
        return _BY_GETADDRINFO.get(error.errno or 0, Failure.DNS_NON_RECOVERABLE)
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno:
        return _BY_ERRNO.get(error.errno, Failure.UNKNOWN)
    for kind, failure in _BY_CLASS:
        if isinstance(error, kind):
            return failure
    return Failure.EOF if isinstance(error, EOFError) else Failure.UNKNOWN


_CRYPTO_ERRORS = range(0x100, 0x200)  # RFC 9001 section 4.8: 0x100 and the number of an alert


def failure_of_close(code: int) -> Failure:
    """Return the Failure for the code with which a QUIC connection was closed by its peer."""
    return Failure.TLS_ALERT if code in _CRYPTO_ERRORS else Failure.EOF
