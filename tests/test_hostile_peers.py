"""Whatever a server, helper or resolver sends: a bounded record that can be kept, never a crash."""

from __future__ import annotations

import asyncio
import gzip
import ssl

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.certificates import CertificateJudge, describe
from probes.clock import SystemClock
from probes.followups import record_of
from probes.helper_answers import answer_of, read_response
from probes.http import CAP_OTHERWISE, decoded
from probes.own import OwnAddresses
from probes.prober import Prober
from probes.redirects import next_url
from probes.settings import Limits, Settings
from probes.tls import _MOST_HANDSHAKE_BYTES
from probes.trace import Trace
from probes.visit import Visit
from probes.walks import MOST_HOPS
from storage.failures import Failure
from storage.intake import accept_made
from storage.records import Exchange, Handshake, Line, Measurement, Vantage
from tests.loopback import Handler, answering, serving

OK = b"HTTP/1.1 200 OK\r\n"
OWN = "203.0.113.77"
LIMITS = Limits(dns_timeout=0.5, connect_timeout=2.0, tls_timeout=1.0, http_timeout=1.0)


def prober() -> Prober:
    made = Prober(
        settings=Settings(limits=LIMITS),
        clock=SystemClock(),
        judge=CertificateJudge(),
        vantage=Vantage(id="0" * 32),
        simulated=True,
        tool="test",
    )
    made.begin(Line(state="up", ipv4=True), ())
    made.own.learn_told(OWN)
    return made


async def visited(handler: Handler, scheme: str = "http") -> tuple[Measurement, Trace]:
    """Visit a server once and return the record that would be kept: it must be a sound one."""
    mine = prober()
    found = mine.trace()
    async with serving(handler) as port:
        url = f"{scheme}://127.0.0.1:{port}/start"
        visit = Visit(mine, found, full=False)
        async with asyncio.timeout(20):
            await visit.run(url)
    record = record_of(
        mine, found, url, "2026-11-23T12:00:00.000000Z", "sha256:" + "0" * 64, complete=True
    )
    assert msgspec.structs.asdict(accept_made(record).record)["steps"] == record.steps
    return record, found


def endless(head: bytes, piece: bytes, pause: float = 0.0) -> Handler:
    """Return a handler that never stops sending."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return handler


BOMB = gzip.compress(gzip.compress(b"\0" * 30_000_000))

PEERS: dict[str, Handler] = {
    "endless headers": endless(OK, b"X-More: and more\r\n"),
    "one endless header": endless(OK + b"X-Long: ", b"y" * 1000),
    "endless status line": endless(b"HTTP/1.1 200 ", b"O" * 1000),
    "endless body": endless(OK + b"\r\n", b"z" * 10_000),
    "endless chunks": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n"),
    "endless chunk extension": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"e" * 999),
    "slow drip of headers": endless(OK, b"x", 0.05),
    "endless interim replies": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "bomb in a bomb": answering(OK + b"Content-Encoding: gzip\r\n\r\n" + BOMB),
    "broken gzip": answering(OK + b"Content-Encoding: gzip\r\n\r\n" + BOMB[:40] + b"!" * 99),
    "unknown coding": answering(OK + b"Content-Encoding: zstd, br, x\r\n\r\n" + b"\xff" * 99),
    "two lengths": answering(OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nhello"),
    "length and chunks": answering(
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "negative length": answering(OK + b"Content-Length: -5\r\n\r\nhello"),
    "huge length": answering(OK + b"Content-Length: " + b"9" * 300 + b"\r\n\r\nhello"),
    "bad chunk": answering(OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhello"),
    "NUL and escapes": answering(
        OK + b"X-A: \x1b]0;owned\x07\r\n\r\n<title>\x00\x1b[2J\xe2\x80\xae evil</title>"
    ),
    "status 999": answering(b"HTTP/1.1 999 What\r\n\r\n"),
    "status none": answering(b"HTTP/1.1 abc\r\n\r\n"),
    "http 0.9": answering(b"hello there"),
    "TLS": answering(bytes([22, 3, 3, 0, 4, 9, 9, 9, 9])),
    "nothing": answering(b""),
    "silence": answering(b"", then="silence"),
    "thousand headers": answering(OK + b"X: y\r\n" * 5000 + b"\r\n"),
    "cookies": answering(OK + b"Set-Cookie: a=" + OWN.encode() + b"\r\n" * 2),
    "to a file": answering(b"HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\n\r\n"),
    "to loopback": answering(b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.2/\r\n\r\n"),
    "to mapped loopback": answering(b"HTTP/1.1 302 F\r\nLocation: http://[::ffff:7f00:1]/\r\n\r\n"),
    "to link-local": answering(b"HTTP/1.1 302 F\r\nLocation: http://169.254.169.254/x\r\n\r\n"),
    "to ourselves": answering(b"HTTP/1.1 302 F\r\nLocation: http://203.0.113.77/x\r\n\r\n"),
    "to nowhere": answering(b"HTTP/1.1 302 F\r\nLocation: http://[::bad/\r\n\r\n"),
    "to itself": answering(b"HTTP/1.1 302 F\r\nLocation: /start\r\n\r\n"),
    "own address": answering(
        OK + b"X-Seen: cb00714d\r\n\r\n<title>203.0.113.77</title>%32%30%33.0.113.77 3405803853 "
    ),
}


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS.keys())
async def test_a_hostile_server_leaves_a_bounded_record(peer: Handler) -> None:
    record, found = await visited(peer)
    assert record.steps
    assert len(record.steps) < 40
    assert all(step.failure != Failure.UNKNOWN for step in record.steps)
    assert all(len(blob) <= CAP_OTHERWISE for blob in found.blobs.values())
    size = len(msgspec.json.encode(record))
    assert size < 200_000
    assert OWN not in msgspec.json.encode(record).decode()
    for step in record.steps:
        if isinstance(step, Exchange):
            assert (step.body_bytes or 0) <= CAP_OTHERWISE
            assert len(step.headers) <= 200


@pytest.mark.parametrize(
    "name", ["to loopback", "to mapped loopback", "to link-local", "to ourselves"]
)
async def test_nobody_sends_us_to_our_own_machine(name: str) -> None:
    record, _ = await visited(PEERS[name])
    forbidden = [step for step in record.steps if step.failure == Failure.ADDRESS_FORBIDDEN]
    assert len(forbidden) == 1
    assert forbidden[0].duration_us == 0  # nothing was sent
    assert sum(isinstance(step, Exchange) for step in record.steps) == 1


async def test_an_own_address_in_any_spelling_is_in_no_record_and_no_blob() -> None:
    record, found = await visited(PEERS["own address"])
    own = OwnAddresses()
    own.learn_told(OWN)
    assert not own.found_in(msgspec.json.encode(record))
    assert not any(own.found_in(blob, packed=True) for blob in found.blobs.values())
    assert b"[scrubbed]" in b"".join(found.blobs.values())


TLS_PEERS: dict[str, Handler] = {
    "plain HTTP": answering(OK + b"\r\n"),
    "endless handshake": endless(
        b"", bytes([22, 3, 3, 0x40, 0]) + bytes([2, 0xFF, 0xFF, 0xFF]) + b"\0" * 0x3FFC
    ),
    "endless alerts": endless(b"", bytes([21, 3, 3, 0, 2, 1, 90])),
    "record of no length": endless(b"", bytes([22, 3, 3, 0, 0])),
    "half a record": answering(bytes([22, 3, 3, 0x40]), then="silence"),
}


@pytest.mark.parametrize("peer", TLS_PEERS.values(), ids=TLS_PEERS.keys())
async def test_a_hostile_handshake_ends_in_a_failure(peer: Handler) -> None:
    record, _ = await visited(peer, "https")
    [step] = [step for step in record.steps if isinstance(step, Handshake)]
    assert step.failure is not None
    assert step.failure != Failure.UNKNOWN
    assert (step.bytes_received or 0) <= _MOST_HANDSHAKE_BYTES + 65536


# --- parsers ------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd_for_a_certificate(der: bytes) -> None:
    assert len(describe(der).sha256) == 64
    verdict = CertificateJudge().judge([der], "a.example", 0.0) if der[:1] == b"0" else None
    assert verdict is None or not verdict.valid


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "http:", "https://", "//", "http://[", "/"]))
def test_no_location_is_too_odd_for_a_redirect(text: str, start: str) -> None:
    following = next_url("https://site.example/", start + text)
    if following is not None:
        assert following.startswith(("http://", "https://"))
        httpx.URL(following)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", " GZIP ", None]))
def test_no_body_is_too_odd_to_be_decoded(raw: bytes, coding: str | None) -> None:
    import zlib

    try:
        assert len(decoded(raw, coding, 1000)) <= max(1000, len(raw))
    except zlib.error:
        return  # what the exchange calls undecodable


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)
_WHERE = st.sampled_from(["192.0.2.1:443", "192.0.2.2:443", "[2001:db8::1]:443"]) | st.text()
_ENDPOINTS = st.none() | st.dictionaries(
    _WHERE,
    st.fixed_dictionaries({"status": st.booleans(), "failure": st.none() | st.text()}),
    max_size=5,
)
_NUMBERS = st.integers(-(2**70), 2**70) | st.integers(0, 999)
_PROTOCOL = {
    "tcp_connect": _ENDPOINTS,
    "http_request": st.fixed_dictionaries(
        {
            "status_code": _NUMBERS,
            "body_length": _NUMBERS,
            "title": st.text(),
            "failure": st.none() | st.text(max_size=9),
            "headers": st.none() | st.dictionaries(st.text(max_size=9), st.text(), max_size=5),
        }
    ),
    "dns": st.fixed_dictionaries(
        {"addrs": st.none() | st.lists(st.sampled_from(["192.0.2.2", "::1"]) | st.text())}
    ),
}
_OURS = {
    "tls_handshake": _ENDPOINTS,
    "x_sitewatch": st.fixed_dictionaries(
        {
            "tool": st.text(),
            "simhash": st.none() | st.text() | st.just("0" * 16),
            "language": st.text(),
            "spki": st.dictionaries(_WHERE, st.text() | st.just("0" * 64), max_size=3),
        }
    ),
}


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries(_PROTOCOL, optional=_OURS) | _JSON)
def test_no_helper_is_too_odd_to_be_kept(document: object) -> None:
    answer = read_response(msgspec.json.encode(document))
    if answer is None:
        return  # what the prober calls a parse error
    found = Trace(SystemClock(), OwnAddresses())
    helper, asked = "https://helper.example/", ["192.0.2.1:443"]
    kept = answer_of(found, helper, answer, asked, "2026-11-23T12:00:00.000000Z", 1)
    assert set(kept.connect) | set(kept.keys) <= {*asked, *(f"{each}:443" for each in kept.dns)}
    record = Measurement(
        simulated=True,
        tool="test",
        url="https://a.example/",
        time="2026-11-23T12:00:00.000000Z",
        round="sha256:" + "0" * 64,
        vantage=Vantage(id="0" * 32),
        line=Line(state="up"),
        helpers=[kept],
    )
    accept_made(record)


def test_the_sockets_of_a_walk_are_bounded() -> None:
    assert 2 * MOST_HOPS < 64  # a walk and its neighbour's; 256 is the limit for all


def test_the_client_offers_nothing_that_it_cannot_check() -> None:
    from probes.tls import _CONTEXT

    assert _CONTEXT.minimum_version >= ssl.TLSVersion.TLSv1_2
