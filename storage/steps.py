"""The steps of a record: one value for each network operation, with what it met.

Parts of the records in `storage.records`, which tells of their common form.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Purpose: TypeAlias = Literal["main", "repeat", "contrast", "ttl-walk"]
Arm: TypeAlias = Literal[
    "name@site",
    "neutral@site",
    "none@site",
    "name@neutral",
    "foreign@neutral",
    "neutral@neutral",
]
# Of one walk: SYNs; the acknowledgements that complete connections; one connection with one
# ClientHello or request, repeated by the kernel; a connection of its own for every time to live;
# DNS queries.
WalkMethod: TypeAlias = Literal["syn", "ack", "one-hello", "one-request", "many-hellos", "dns"]
WalkAnswer: TypeAlias = Literal[
    "router", "peer", "reset", "data", "closed", "unreachable", "silence"
]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all record parts: immutable, keyword-only, unknown fields ignored on reading."""


class Reply(Value, frozen=True, kw_only=True):
    """One datagram that arrived in answer to a DNS query; a race leaves several."""

    after_us: int  # since the query was sent
    ip_ttl: int | None = None  # of the packet that carried it, where the kernel tells
    rcode: int | None = None  # None: it did not parse
    answers: list[str] = []
    raw: str | None = None  # blob id of the datagram


class Lookup(Value, frozen=True, kw_only=True, tag="lookup", tag_field="kind"):
    """One name asked of one resolver.

    `resolver` is "system" (as the system answers its programs; `replies` then show what its
    configured server sent to the same question), "udp", or the URL of a DoH server.
    `address` is the server asked, None for the system's, whose address is the volunteer's own.
    """

    purpose: Purpose = "main"
    hop: int = 0
    attempt: int = 0
    arm: Arm | None = None
    name: str
    type: str  # "A", "AAAA", "HTTPS"
    resolver: str
    address: str | None = None
    answers: list[str] = []  # addresses, in the order given; of HTTPS records their hints
    cnames: list[str] = []  # the other names that the answer leads through, in order
    alpn: list[str] = []  # HTTPS records: the protocols that the site offers
    extended_error: int | None = None  # RFC 8914: 15 blocked, 16 censored, 17 filtered, …
    rcode: int | None = None
    over_tcp: bool | None = None  # "udp": the answer did not fit a datagram and was asked for again
    replies: list[Reply] = []
    failure: str | None = None
    start: str
    duration_us: int


class Connect(Value, frozen=True, kw_only=True, tag="connect", tag_field="kind"):
    """One TCP connection attempt to one address."""

    purpose: Purpose = "main"
    hop: int = 0
    attempt: int = 0
    connection: int  # ties connect, handshake and exchange of one measurement
    arm: Arm | None = None
    address: str
    port: int
    max_segment: int | None = None  # bytes: the largest segments that we asked for, if we did
    failure: str | None = None
    icmp: str | None = None  # "type/code" of the ICMP error that came, "v6 type/code" of ICMPv6
    icmp_from_peer: bool | None = None  # did the address itself send it
    icmp_asn: int | None = None  # network of whoever sent it
    start: str
    duration_us: int


class Certificate(Value, frozen=True, kw_only=True):
    """One certificate as the server sent it; its DER is a blob under the same hash."""

    sha256: str  # hex
    spki_sha256: str | None = None
    subject: str | None = None  # RFC 4514 text; None where it does not parse
    issuer: str | None = None
    names: list[str] = []  # DNS names and IP addresses of the subjectAltName
    not_before: str | None = None
    not_after: str | None = None


class Handshake(Value, frozen=True, kw_only=True, tag="handshake", tag_field="kind"):
    """One TLS handshake. `valid` is the offline judgement of the chain for `server_name`.

    A handshake that completed with an invalid chain has `valid` False, a failure of the ssl_
    family and still its whole chain.
    """

    purpose: Purpose = "main"
    hop: int = 0
    attempt: int = 0
    connection: int
    arm: Arm | None = None
    address: str
    port: int
    server_name: str | None  # the SNI sent; None: none was sent
    version: str | None = None
    alpn: str | None = None
    chain: list[Certificate] = []
    valid: bool | None = None  # None: no chain was received
    invalid_because: str | None = None
    valid_by_system: bool | None = None  # second opinion by the system's roots where invalid
    hello_bytes: int | None = None  # size of the first flight sent
    acknowledged: bool | None = None  # did the peer's TCP acknowledge the first flight
    retransmissions: int | None = None  # segments that our TCP sent again until the step's end
    bytes_received: int | None = None  # from the peer during the handshake
    alert: int | None = None  # number of the TLS alert received
    failure: str | None = None
    start: str
    duration_us: int


class Exchange(Value, frozen=True, kw_only=True, tag="exchange", tag_field="kind"):
    """One HTTP request and what came back. Headers are Latin-1 text in the order received."""

    purpose: Purpose = "main"
    hop: int = 0
    attempt: int = 0
    connection: int
    arm: Arm | None = None
    url: str
    address: str
    host: str | None = None  # the Host sent where it is not that of the URL
    method: str | None = None  # None: GET
    requests: int | None = None  # how many were sent on this connection; None: one
    protocol: str | None = None  # "http/1.1" or "h2"
    status: int | None = None
    headers: list[tuple[str, str]] = []
    title: str | None = None  # first <title>, at most 512 characters
    body: str | None = None  # blob id; only kept for plain HTTP, unverified TLS, anything odd
    body_sha256: str | None = None  # hex, of the decoded bytes received
    body_bytes: int | None = None  # decoded bytes received
    declared_bytes: int | None = None  # Content-Length as sent
    received_bytes: int | None = None  # of the body as it came, undecoded
    wire_bytes: int | None = None  # from the peer's TCP in this step, TLS and headers included
    first_byte_us: int | None = None  # from the start until the first byte of the body
    last_byte_us: int | None = None  # until the last: a stall is the silence after it
    language: str | None = None  # as the page itself says, else its Content-Language
    simhash: str | None = None  # of the visible text: 16 hex digits, alike for alike texts
    truncated: bool | None = None  # True: our cap was reached
    failure: str | None = None
    start: str
    duration_us: int


class Quic(Value, frozen=True, kw_only=True, tag="quic", tag_field="kind"):
    """One QUIC handshake over UDP, beside TCP to the same address."""

    purpose: Purpose = "main"
    hop: int = 0
    attempt: int = 0
    arm: Arm | None = None
    address: str
    port: int
    server_name: str
    alpn: str | None = None
    datagrams_received: int | None = None
    error: int | None = None  # code of the CONNECTION_CLOSE received
    failure: str | None = None
    start: str
    duration_us: int


class WalkHop(Value, frozen=True, kw_only=True):
    """What one time to live met. Routers are only ever named by their network."""

    ttl: int
    answer: WalkAnswer
    asn: int | None = None  # of the router, where `answer` is "router"
    after_us: int


class Walk(Value, frozen=True, kw_only=True, tag="walk", tag_field="kind"):
    """Packets to one address with rising times to live: where they end, and who answers.

    The nearest hops are left out of `hops`, since they would tell where the volunteer is.
    `answered_at` is the first time to live at which anything came in the peer's name;
    `silent_from` the first from which nothing came any more, routers included.
    """

    purpose: Purpose = "ttl-walk"
    hop: int = 0
    attempt: int = 0
    arm: Arm | None = None
    method: WalkMethod
    name: str | None = None  # the name that the packets carried
    address: str
    port: int
    hops: list[WalkHop] = []
    answered_at: int | None = None
    answer: WalkAnswer | None = None  # what came there
    answered_after_us: int | None = None  # since the packet with that time to live left
    silent_from: int | None = None
    last_router: int | None = None  # the highest time to live at which a router answered
    public_from: int | None = None  # the first with a router that has a public address
    # Of walks on one connection: its round trip, and how long it had been open in the end.
    round_trip_us: int | None = None
    open_us: int | None = None
    failure: str | None = None
    start: str
    duration_us: int


Step: TypeAlias = Lookup | Connect | Handshake | Exchange | Quic | Walk
