"""Steps out of OONI's events: what both generations of its test keys share."""

from __future__ import annotations

from typing import Any

import msgspec

from storage.failures import Failure
from storage.ooni_document import Document, Tools
from storage.ooni_failures import alert_of, ours
from storage.ooni_values import (
    address,
    binary,
    entries,
    headers,
    integer,
    mapping,
    port_of,
    split,
    text,
    title_of,
)
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    Lookup,
    Purpose,
    Reply,
    digest,
)

_SYSTEM = frozenset({"system", "getaddrinfo", "golang_net_resolver"})
_INVALID = frozenset(
    {
        Failure.TLS_INVALID_CERTIFICATE,
        Failure.TLS_INVALID_HOSTNAME,
        Failure.TLS_UNKNOWN_AUTHORITY,
    }
)
_MOST_CHAIN = 10
_MOST_RAW = 65535  # a datagram


class Gathered:
    """Steps and blobs of one measurement as they are found."""

    def __init__(self, document: Document, tools: Tools) -> None:
        self.document = document
        self.tools = tools
        self.blobs: dict[str, bytes] = {}
        self._connections: dict[object, int] = {}

    def connection(self, key: object) -> int:
        """Return our number for a connection that OONI names by `key`."""
        return self._connections.setdefault(key, len(self._connections) + 1)

    # --- names -------------------------------------------------------------------------------

    def lookups(self, entry: dict[str, Any], hop: int = 0) -> list[Lookup]:
        """Return a query as one lookup, or two where one call asked for both families."""
        name, resolver = text(entry.get("hostname"), 255), _resolver(entry)
        if name is None or resolver is None:
            return []
        start, duration = self.document.when(entry)
        answers = _answers(entry)
        both = [*answers["A"], *answers["AAAA"]]
        failure = ours(entry.get("failure"))
        if entry.get("failure") == "dns_bogon_error" and any(answers.values()):
            failure = None  # we say ourselves which addresses are no site's
        asked = text(entry.get("query_type"), 8) or "A"
        kinds = [asked]
        if asked == "ANY":
            kinds = [kind for kind in answers if answers[kind]] or ["A"]
        return [
            Lookup(
                hop=hop,
                name=name,
                type=kind,
                resolver=resolver,
                address=_server(entry, resolver),
                answers=answers.get(kind, both),
                rcode=integer(entry.get("rcode"), 0, 4095),
                replies=self._replies(entry, answers.get(kind, both), duration),
                failure=failure,
                start=start,
                duration_us=duration,
            )
            for kind in kinds
        ]

    def _replies(self, entry: dict[str, Any], answers: list[str], after_us: int) -> list[Reply]:
        raw = self._raw(entry)
        if raw is None:
            return []
        rcode = integer(entry.get("rcode"), 0, 4095)
        return [Reply(after_us=after_us, rcode=rcode, answers=answers, raw=raw)]

    def _raw(self, entry: dict[str, Any]) -> str | None:
        encoded = entry.get("raw_response")
        data = binary({"data": encoded}) if isinstance(encoded, str) else binary(encoded)
        return self.keep(data) if data and len(data) <= _MOST_RAW else None

    def late_reply(self, entry: dict[str, Any], since: float) -> Reply:
        """Return one of the duplicate responses, `since` being when its query was sent."""
        ended = entry.get("t")
        after = round((float(ended) - since) * 1e6) if isinstance(ended, int | float) else 0
        answers = _answers(entry)
        return Reply(
            after_us=max(0, min(after, 10**9)),
            rcode=integer(entry.get("rcode"), 0, 4095),
            answers=[*answers["A"], *answers["AAAA"]],
            raw=self._raw(entry),
        )

    # --- connections -------------------------------------------------------------------------

    def connect(
        self, entry: dict[str, Any], connection: int, hop: int = 0, purpose: Purpose = "main"
    ) -> Connect | None:
        """Return a tcp_connect entry; None where it names no endpoint."""
        where, port = address(entry.get("ip")), integer(_int(entry.get("port")), 1, 65535)
        if where is None or port is None:
            return None
        status = mapping(entry.get("status"))
        failure = ours(status.get("failure"))
        if failure is None and status.get("success") is False:
            failure = Failure.UNKNOWN
        start, duration = self.document.when(entry)
        return Connect(
            purpose=purpose,
            hop=hop,
            connection=connection,
            address=where,
            port=port,
            failure=failure,
            start=start,
            duration_us=duration,
        )

    def handshake(
        self,
        entry: dict[str, Any],
        where: tuple[str, int],
        connection: int,
        hop: int = 0,
        purpose: Purpose = "main",
    ) -> Handshake:
        """Return a tls_handshakes entry made at `where`; its certificates become blobs."""
        failure = ours(entry.get("failure"))
        start, duration = self.document.when(entry)
        valid: bool | None = None
        if failure is None:
            valid = True if entry.get("no_tls_verify") is not True else None
        elif failure in _INVALID:
            valid = False
        return Handshake(
            purpose=purpose,
            hop=hop,
            connection=connection,
            address=where[0],
            port=where[1],
            server_name=text(entry.get("server_name"), 255),
            version=text(entry.get("tls_version"), 20),
            alpn=text(entry.get("negotiated_protocol"), 20),
            chain=[
                self.tools.certificate(der) for der in self._certificates(entry) if self.keep(der)
            ],
            valid=valid,
            invalid_because="the probe refused the certificate" if valid is False else None,
            alert=alert_of(entry.get("failure")),
            failure=failure,
            start=start,
            duration_us=duration,
        )

    def _certificates(self, entry: dict[str, Any]) -> list[bytes]:
        found = entry.get("peer_certificates")
        chain = found[:_MOST_CHAIN] if isinstance(found, list) else []
        decoded = [binary(each) if isinstance(each, dict) else None for each in chain]
        return [der for der in decoded if der]

    # --- pages -------------------------------------------------------------------------------

    def exchange(
        self, entry: dict[str, Any], connection: int, where: str, hop: int = 0, attempt: int = 0
    ) -> Exchange | None:
        """Return a requests entry; None where it names no URL. Odd bodies become blobs."""
        url = text(mapping(entry.get("request")).get("url"), 8192)
        parts = split(url) if url else None
        if url is None or parts is None:
            return None
        response = mapping(entry.get("response"))
        status = integer(response.get("code"), 100, 999)
        failure = ours(entry.get("failure"))
        body = binary(response.get("body")) if status is not None else None
        received = headers(response) if status is not None else []
        start, duration = self.document.when(entry)
        exchange = Exchange(
            hop=hop,
            attempt=attempt,
            connection=connection,
            url=url,
            address=where,
            status=status,
            headers=received,
            declared_bytes=_declared(received),
            failure=failure,
            start=start,
            duration_us=duration,
        )
        if body is None:
            return exchange
        id = digest(body)
        odd = bool(body) and (parts.scheme == "http" or failure is not None)
        if odd:
            self.blobs[id] = body
        return msgspec.structs.replace(
            exchange,
            title=title_of(body),
            body=id if odd else None,
            body_sha256=id.removeprefix("sha256:"),
            body_bytes=len(body),
            truncated=response.get("body_is_truncated") is True,
        )

    def keep(self, content: bytes) -> str:
        """Keep a blob; return its id."""
        id = digest(content)
        self.blobs[id] = content
        return id


def location_of(exchange: Exchange) -> str | None:
    """Return where an answer sends the visitor, None where it does not."""
    if exchange.status is None or not 300 <= exchange.status < 400:
        return None
    return next((value for key, value in exchange.headers if key.lower() == "location"), None)


def endpoint_of(url: str) -> tuple[str, int]:
    """Return host and port of a URL, ("", 0) where it has none."""
    parts = split(url)
    return (parts.hostname or "", port_of(parts)) if parts else ("", 0)


def events(document: Document, key: str) -> list[dict[str, Any]]:
    """Return the events under a test key."""
    return entries(getattr(document.keys, key))


def _resolver(entry: dict[str, Any]) -> str | None:
    engine = text(entry.get("engine"), 40) or "system"  # the oldest probes name none
    if engine in _SYSTEM:
        return "system"
    if engine in ("udp", "tcp"):
        return "udp"
    named = text(entry.get("resolver_address"), 200)
    return named if named and named.startswith("https://") else None


def _server(entry: dict[str, Any], resolver: str) -> str | None:
    """Return the address of a resolver asked over UDP; the system's own is the volunteer's."""
    named = text(entry.get("resolver_address"), 200)
    if resolver != "udp" or named is None:
        return None
    return address(named) or address(named.rpartition(":")[0].strip("[]"))


def _answers(entry: dict[str, Any]) -> dict[str, list[str]]:
    """Return the addresses by the type of their record."""
    found: dict[str, list[str]] = {"A": [], "AAAA": []}
    for answer in entries(entry.get("answers")):
        for kind, key in (("A", "ipv4"), ("AAAA", "ipv6")):
            where = address(answer.get(key))
            if answer.get("answer_type") == kind and where is not None:
                found[kind].append(where)
    return found


def _int(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


def _declared(received: list[tuple[str, str]]) -> int | None:
    for key, value in received:
        if key.lower() == "content-length" and value.isascii() and value.isdecimal():
            return integer(int(value[:16]), 0, 2**53 - 1)
    return None
