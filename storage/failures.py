"""The closed vocabulary of failures: every way in which one network operation can end badly.

The strings are those of OONI's data format df-007 where it has one, so that data can be exchanged;
names of our own stand for what OONI hides in ``unknown_failure``.
"""

from enum import StrEnum


class Failure(StrEnum):
    """Why a step failed. The value is what is stored; a step without a failure stores null."""

    # Deadlines and ends of a connection, at any layer.
    TIMEOUT = "generic_timeout_error"  # our own deadline passed
    EOF = "eof_error"  # the other side closed the connection in an orderly way, too early
    CONNECTION_RESET = "connection_reset"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_ABORTED = "connection_aborted"
    TIMED_OUT = "timed_out"  # the kernel's ETIMEDOUT, before our deadline
    HOST_UNREACHABLE = "host_unreachable"
    NETWORK_UNREACHABLE = "network_unreachable"
    NETWORK_DOWN = "network_down"
    ADDRESS_NOT_AVAILABLE = "address_not_available"
    ADDRESS_FAMILY_NOT_SUPPORTED = "address_family_not_supported"
    PERMISSION_DENIED = "permission_denied"  # a firewall of this machine
    MESSAGE_SIZE = "message_size"
    INTERRUPTED = "interrupted"  # the round was stopped while this step ran

    # Names.
    DNS_NXDOMAIN = "dns_nxdomain_error"
    DNS_NO_ANSWER = "dns_no_answer"
    DNS_REFUSED = "dns_refused_error"
    DNS_SERVFAIL = "dns_servfail_error"
    DNS_MISBEHAVING = "dns_server_misbehaving"  # another error code of the server
    DNS_TEMPORARY = "dns_temporary_failure"  # the system's resolver gave up (EAI_AGAIN)
    DNS_NON_RECOVERABLE = "dns_non_recoverable_failure"
    DNS_MALFORMED = "dns_malformed_reply"  # ours: a reply that does not parse

    # TLS.
    TLS_FAILED = "ssl_failed_handshake"
    TLS_INVALID_CERTIFICATE = "ssl_invalid_certificate"  # expired, not yet valid, unusable
    TLS_INVALID_HOSTNAME = "ssl_invalid_hostname"
    TLS_UNKNOWN_AUTHORITY = "ssl_unknown_authority"
    TLS_ALERT = "ssl_alert_received"  # ours: the step's `alert` holds the number
    TLS_NOT_TLS = "ssl_not_tls"  # ours: the answer is no TLS record (plain HTTP on 443)

    # HTTP.
    HTTP_MALFORMED = "http_malformed_response"  # ours
    HTTP_HEADERS_TOO_LARGE = "http_headers_too_large"  # ours: our cap was reached
    HTTP_TRUNCATED = "http_body_shorter_than_declared"  # ours
    HTTP_UNDECODABLE = "http_undecodable_body"  # ours: broken or bomb-like compression
    HTTP_INVALID_REDIRECT = "http_invalid_redirect_location_host"
    HTTP_TOO_MANY_REDIRECTS = "http_too_many_redirects"  # ours
    HTTP_UNEXPECTED_STATUS = "http_unexpected_status_code"  # helpers and DoH servers only
    JSON_PARSE = "json_parse_error"  # helpers only

    # The prober's own decisions and defects.
    ADDRESS_FORBIDDEN = "address_forbidden"  # ours: loopback and the like are never connected to
    UNKNOWN = "unknown_failure"  # a defect of Sitewatch: tests demand that nothing maps here
