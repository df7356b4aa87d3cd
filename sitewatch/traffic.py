"""How many bytes a record stands for on the line: an estimate from its steps, rather too high.

Nothing else counts them: the kernel's counters hold everybody's traffic. The figures are the sizes
of usual packets with their headers; decoded bodies count as if they had come uncompressed, and a
body that was cut off counts what the site's system had sent ahead.
"""

from __future__ import annotations

from storage.failures import Failure
from storage.records import Connect, Exchange, Handshake, Lookup, Quic, Record, Step

_QUERY, _REPLY = 110, 180  # a DNS datagram with IP and UDP headers, there and back
_REPLY_ANSWER = 16  # each address in it
_ENCRYPTED_LOOKUP = 1500  # over DoH, with a share of the handshake
_CONNECT, _CONNECT_SILENT = 200, 300  # a few bare segments; unanswered ones are repeated
_HANDSHAKE = 700  # headers of its segments, and our last flight
_REQUEST = 700  # as a browser words it
_AHEAD = 32 * 1024  # sent before our closing reached a site whose page was cut off
_HEADERS = 1.06  # IP and TCP headers and acknowledgements, beside the payload
_SHORT_REQUEST = 300  # one of many on a connection
_INITIALS, _DATAGRAM = 5000, 1280  # QUIC: ours, padded and sent again where nothing answers; theirs
_HELPER = 12_000  # a helper's handshake, question and answer


def bytes_of_record(record: Record) -> int:
    """Return about how many bytes crossed the line for a round or measurement, both ways."""
    helpers = len(getattr(record, "helpers", ()))
    return sum(map(_bytes_of_step, record.steps)) + helpers * _HELPER


def _bytes_of_step(step: Step) -> int:
    match step:
        case Lookup():
            return _lookup(step)
        case Connect():
            return _CONNECT_SILENT if step.failure == Failure.TIMEOUT else _CONNECT
        case Handshake():
            payload = (step.hello_bytes or 0) + (step.bytes_received or 0)
            return _HANDSHAKE + round(payload * _HEADERS)
        case Exchange():
            return _exchange(step)
        case Quic():
            return _INITIALS + _DATAGRAM * (step.datagrams_received or 0)
        case _:  # a kind of step that came later and is no bigger than a connection
            return _CONNECT


def _lookup(step: Lookup) -> int:
    if step.resolver.startswith("https:"):
        return _ENCRYPTED_LOOKUP
    replies = sum(_REPLY + _REPLY_ANSWER * len(reply.answers) for reply in step.replies)
    return _QUERY + (replies or _REPLY + _REPLY_ANSWER * len(step.answers))


def _exchange(step: Exchange) -> int:
    headers = sum(len(name) + len(value) + 4 for name, value in step.headers)
    if step.requests:
        return step.requests * _SHORT_REQUEST + round((step.wire_bytes or 0) * _HEADERS)
    body = (step.body_bytes or 0) + (_AHEAD if step.truncated else 0)
    return _REQUEST + round((headers + body) * _HEADERS)
