"""Failures in OONI's words and in ours: those of its probes, old and new, and of its helpers."""

from __future__ import annotations

from storage.failures import Failure

UNKNOWN = "unknown_failure"

# Words of older probes (Python, measurement-kit) and such as say less than ours.
_FOREIGN: dict[str, Failure] = {
    "response_never_received": Failure.EOF,  # closed or reset before any answer: not told apart
    "connection_closed": Failure.EOF,
    "connection_already_closed": Failure.EOF,
    "connection_lost_error": Failure.EOF,
    "connection_reset_error": Failure.CONNECTION_RESET,
    "connection_refused_error": Failure.CONNECTION_REFUSED,
    "connection_aborted_error": Failure.CONNECTION_ABORTED,
    "tcp_timed_out_error": Failure.TIMED_OUT,
    "task_timed_out": Failure.TIMEOUT,
    "deferred_timeout_error": Failure.TIMEOUT,
    "host_unreachable_error": Failure.HOST_UNREACHABLE,
    "network_unreachable_error": Failure.NETWORK_UNREACHABLE,
    # Older resolvers do not say which error it was; "no address" is true of all of them.
    "dns_lookup_error": Failure.DNS_NO_ANSWER,
    "android_dns_cache_no_data": Failure.DNS_NO_ANSWER,
    "dns_name_error": Failure.DNS_NXDOMAIN,
    "dns_server_failure": Failure.DNS_SERVFAIL,
    "dns_reply_with_wrong_query_id": Failure.DNS_MALFORMED,
    "http_invalid_redirect_url": Failure.HTTP_INVALID_REDIRECT,
    "ssl_error": Failure.TLS_FAILED,
    "ssl_handshake_failure": Failure.TLS_FAILED,
}
# What the Go library says inside "unknown_failure: …", as far as it names a thing of ours.
_SAID: tuple[tuple[str, Failure], ...] = (
    ("first record does not look like a TLS handshake", Failure.TLS_NOT_TLS),
    ("oversized record received", Failure.TLS_NOT_TLS),
    ("remote error: tls:", Failure.TLS_ALERT),
    ("stopped after too many redirects", Failure.HTTP_TOO_MANY_REDIRECTS),
    ("stopped after 10 redirects", Failure.HTTP_TOO_MANY_REDIRECTS),
    ("malformed HTTP", Failure.HTTP_MALFORMED),
    ("server closed idle connection", Failure.EOF),
    ("unexpected EOF", Failure.EOF),
)
# Alerts by the Go library's words for them (RFC 8446, section 6).
ALERTS: dict[str, int] = {
    "unexpected message": 10,
    "handshake failure": 40,
    "bad certificate": 42,
    "illegal parameter": 47,
    "access denied": 49,
    "decode error": 50,
    "protocol version not supported": 70,
    "internal error": 80,
    "unrecognized name": 112,
}
_ALERT_WORDS = {number: words for words, number in ALERTS.items()}
_OURS = frozenset(failure.value for failure in Failure)
# Ours that OONI's format does not know; there they stand behind "unknown_failure: ".
_OWN = frozenset(
    {
        Failure.DNS_MALFORMED,
        Failure.TLS_ALERT,
        Failure.TLS_NOT_TLS,
        Failure.HTTP_MALFORMED,
        Failure.HTTP_HEADERS_TOO_LARGE,
        Failure.HTTP_TRUNCATED,
        Failure.HTTP_UNDECODABLE,
        Failure.HTTP_TOO_MANY_REDIRECTS,
        Failure.ADDRESS_FORBIDDEN,
    }
)


def ours(value: object) -> str | None:
    """Return a probe's failure in our vocabulary; None where the step worked.

    What is in no table reads as `unknown_failure`, which names no technique. Some old probes wrote
    false for "no failure" and true for "some".
    """
    if value is None or value is False or value == "":
        return None
    if not isinstance(value, str):
        return Failure.UNKNOWN
    if value in _OURS:
        return value
    if value in _FOREIGN:
        return _FOREIGN[value]
    said = value.removeprefix(UNKNOWN).removeprefix(":").strip()
    if said in _OURS:  # our own export
        return said
    return next((failure for words, failure in _SAID if words in said), Failure.UNKNOWN)


def alert_of(value: object) -> int | None:
    """Return the number of the TLS alert that a failure names."""
    if not isinstance(value, str) or "remote error: tls:" not in value:
        return None
    words = value.rpartition("remote error: tls:")[2].strip()
    return ALERTS.get(words)


def helpers(value: object) -> str | None:
    """Return a test helper's failure in our vocabulary where we have the word, else as it is."""
    if not isinstance(value, str) or not value:
        return None
    return _FOREIGN.get(value, value)[:512] if value not in _KEPT else value


# These a helper says of a whole page load, where ours would name a layer.
_KEPT = frozenset({"dns_lookup_error", "connect_error", "unknown_error"})


def theirs(failure: str | None, alert: int | None = None) -> str | None:
    """Return a failure of ours as OONI's format writes it."""
    if failure == Failure.TLS_NOT_TLS:
        return f"{UNKNOWN}: tls: first record does not look like a TLS handshake"
    if failure == Failure.TLS_ALERT and alert in _ALERT_WORDS:
        return f"{UNKNOWN}: remote error: tls: {_ALERT_WORDS[alert]}"
    if failure is None or failure not in _OWN:
        return failure
    return f"{UNKNOWN}: {failure}"
