"""Whatever resolvers and helpers answer: a failure with a name, a bounded record, never a crash."""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
import time
from pathlib import Path
from typing import Any

import dns.exception
import dns.message
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.pki import Leaf, Pki
from probes.certificates import CertificateJudge, describe
from probes.clock import SystemClock
from probes.dns import Question, ask_tcp
from probes.doh import DohResolver
from probes.errors import NETWORK_ERRORS, failure_of
from probes.followups import record_of
from probes.helpers import ask_helper
from probes.prober import Prober
from probes.session import Service
from probes.settings import DohServer, Limits, Settings
from probes.tcp import connect
from probes.tls import _MOST_HANDSHAKE_BYTES, handshake
from probes.trace import Stage
from probes.udp import UdpQuestions
from probes.visit import Visit
from storage.failures import Failure
from storage.records import Exchange, Handshake, Line, Lookup, Round, Vantage
from storage.store import Store
from tests.loopback import Handler, answering, serving, trace
from tests.test_hostile_peers import endless
from tests.test_probe_own import SPELLINGS, V4, V6

OK = b"HTTP/1.1 200 OK\r\n"
NOW = "2026-11-23T12:00:00.000000Z"
LIMITS = Limits(dns_timeout=1.0, connect_timeout=2.0, tls_timeout=2.0, http_timeout=0.5)
LOOP = bytes([0xC0, 12]) * 40  # names that point at themselves


def dns_message(*, answers: int = 0, tail: bytes = b"") -> bytes:
    """Return a reply's header and question that promise so many answers, and what follows."""
    question = dns.message.make_query("a.example", "A")
    question.id = 0
    wire = bytearray(question.to_wire())
    wire[2] |= 0x80
    wire[6:8] = answers.to_bytes(2)
    return bytes(wire) + tail


def served(body: bytes, *more: bytes) -> Handler:
    head = b"".join([OK, b"Content-Length: %d\r\n" % len(body), *more, b"\r\n"])
    return answering(head + body)


RESOLVERS: dict[str, Handler] = {
    "no DNS": served(b"<html>Sign in</html>"),
    "empty": served(b""),
    "half a header": served(dns_message()[:7]),
    "answers that are not there": served(dns_message(answers=60_000)),
    "names in a loop": served(dns_message(answers=9, tail=LOOP)),
    "an address of three bytes": served(
        dns_message(answers=1, tail=b"\xc0\x0c\0\1\0\1\0\0\0\0\0\3abc")
    ),
    "endless": endless(OK + b"\r\n", b"\0" * 10_000),
    "endless headers": endless(OK, b"X-More: and more\r\n"),
    "status 500": answering(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
    "a redirect": answering(b"HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\n\r\n"),
    "no HTTP": answering(b"SSH-2.0-x\r\n\r\n"),
    "closed": answering(b""),
    "silence": answering(b"", then="silence"),
}


@pytest.mark.parametrize("peer", RESOLVERS.values(), ids=RESOLVERS.keys())
async def test_a_hostile_encrypted_resolver_is_a_failed_lookup(peer: Handler) -> None:
    found = trace()
    async with serving(peer) as port:
        server = DohServer(url=f"http://127.0.0.1:{port}/", addresses=("127.0.0.1",))
        resolver = DohResolver(server, CertificateJudge(), LIMITS)
        async with asyncio.timeout(10):
            answer = await resolver.look_up(found, Question(Stage(), "a.example", "A"))
        await resolver.service.close()
    [step] = found.steps
    assert isinstance(step, Lookup)
    assert step.failure not in (None, Failure.UNKNOWN)
    assert (answer.addresses, step.answers) == ((), [])


def over_tcp(reply: bytes, length: int | None = None) -> Handler:
    """Return a handler that answers a question over TCP, under the question's own id."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.readexactly(4)
        body = question[2:4] + reply[2:] if reply else b""
        writer.write((len(body) if length is None else length).to_bytes(2) + body)
        await writer.drain()
        if length:
            await reader.read()

    return handler


OVER_TCP: dict[str, Handler] = {
    "closed": over_tcp(b""),
    "a length of nothing": over_tcp(b"", 0),
    "less than was told": over_tcp(dns_message(), 65_535),
    "half a header": over_tcp(dns_message()[:7]),
    "answers that are not there": over_tcp(dns_message(answers=60_000)),
    "names in a loop": over_tcp(dns_message(answers=9, tail=LOOP)),
    "no DNS": over_tcp(b"SSH-2.0-x\r\n" * 9),
}


@pytest.mark.parametrize("peer", OVER_TCP.values(), ids=OVER_TCP.keys())
async def test_a_hostile_resolver_over_tcp_is_a_failed_lookup(peer: Handler) -> None:
    async with serving(peer) as port:
        answer = await ask_tcp("a.example", "A", "127.0.0.1", 0.5, port)
    assert answer.failure not in (None, Failure.UNKNOWN)
    assert answer.addresses == ()


HELPERS: dict[str, Handler] = {
    "no JSON": served(b"<html>Sign in</html>"),
    "nested without end": served(b"[" * 100_000),
    "an own word for a number": served(b'{"http_request": NaN}'),
    "broken text": served(b'{"dns": "\xff\xfe"}'),
    "a number of a million digits": served(b"9" * 1_000_000),
    "endless": endless(OK + b"\r\n", b" " * 10_000),
    "endless headers": endless(OK, b"X-More: and more\r\n"),
    "status 503": answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
    "closed": answering(b""),
    "silence": answering(b"", then="silence"),
}


@pytest.mark.parametrize("peer", HELPERS.values(), ids=HELPERS.keys())
async def test_a_hostile_helper_has_not_answered(peer: Handler) -> None:
    found = trace()
    async with serving(peer) as port:
        helper = Service(f"http://127.0.0.1:{port}/", CertificateJudge(), LIMITS)
        async with asyncio.timeout(10):
            await ask_helper(found, helper, "https://a.example/", ["192.0.2.1:443"], user_agent="x")
        await helper.close()
    [answer] = found.helpers
    assert not answer.answered
    assert answer.failure not in (None, Failure.UNKNOWN)


# --- datagrams, certificates, exceptions ----------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=120)
    | st.builds(lambda tail, n: dns_message(answers=n, tail=tail), st.binary(), st.integers(0, 9))
)
async def test_no_datagram_is_too_odd_to_be_kept(data: bytes) -> None:
    found = trace()
    queries = UdpQuestions(found, "192.0.2.53", "a.example", ["A", "AAAA"], 7)
    for question in queries.questions:
        question.query.id = 0
    for _ in range(20):
        queries.take(data, 60, 1000, 1.5)
    replies = [reply for question in queries.questions for reply in question.replies]
    assert 1 <= len(replies) <= 8
    assert len(found.blobs) == 1
    assert queries.questions[0].answer.failure != Failure.UNKNOWN


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def chain(pki: Pki) -> list[bytes]:
    text = pki.leaf(Leaf(("a.example",))).read_bytes()
    return [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(text)]


@pytest.fixture(scope="module")
def judge(pki: Pki) -> CertificateJudge:
    return CertificateJudge(str(pki.ca))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damaged_certificate_is_valid_or_a_crash(
    judge: CertificateJudge, chain: list[bytes], data: st.DataObject
) -> None:
    leaf, *others = chain  # nothing but the damage speaks against it
    damaged = bytearray(leaf)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(leaf) - 1))] = data.draw(st.integers(0, 255))
    msgspec.json.encode(describe(bytes(damaged)))
    verdict = judge.judge([bytes(damaged), *others], "a.example", time.time())
    assert verdict.valid is (damaged == leaf)


async def test_a_chain_of_ten_megabytes_is_cut_off(pki: Pki, tmp_path: Path) -> None:
    text = pki.leaf(Leaf(("127.0.0.1",))).read_text()
    _, mark, rest = text.partition("-----BEGIN CERTIFICATE-----")
    long = tmp_path / "long.pem"
    long.write_text(text + (mark + rest) * (10_000_000 * 4 // 3 // len(rest)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(long)
    found = trace()
    async with serving(answering(b""), context) as port:
        connection = await connect(found, Stage(), "127.0.0.1", port, 2.0)
        assert connection is not None
        judge = CertificateJudge(str(pki.ca))
        assert await handshake(found, Stage(), connection, "a.example", 5.0, judge, 0.0) is None
    step = found.steps[-1]
    assert isinstance(step, Handshake)
    assert step.failure not in (None, Failure.UNKNOWN)
    assert (step.bytes_received or 0) <= _MOST_HANDSHAKE_BYTES + 65536
    assert not found.blobs


def _all_of(base: type[BaseException]) -> set[type[Any]]:
    return {base, *(each for sub in base.__subclasses__() for each in _all_of(sub))}


@pytest.mark.parametrize("kind", sorted(_all_of(dns.exception.DNSException), key=str), ids=str)
def test_every_exception_of_the_dns_library_is_mapped(kind: type[Any]) -> None:
    assert issubclass(kind, NETWORK_ERRORS)
    assert failure_of(kind.__new__(kind)) is not Failure.UNKNOWN


@pytest.mark.parametrize(
    "kind", sorted([ssl.SSLError, *ssl.SSLError.__subclasses__()], key=str), ids=str
)
def test_every_exception_of_tls_is_mapped(kind: type[Any]) -> None:
    assert issubclass(kind, NETWORK_ERRORS)
    assert failure_of(kind.__new__(kind)) is not Failure.UNKNOWN


# --- the own address, all the way to the disk -----------------------------------------------------


async def test_an_own_address_in_any_spelling_is_nowhere_in_the_database(tmp_path: Path) -> None:
    """Found by plain search for the spellings themselves, not by the code that removed them."""
    texts = [each for each in SPELLINGS.values() if "\0" not in each]
    headers = b"".join(b"X-%d: %b\r\n" % (n, each.encode()) for n, each in enumerate(texts))
    page = " | ".join(SPELLINGS.values()).encode("latin-1")
    body = b"<html lang=en><title>" + texts[0].encode() + b"</title>" + page
    head = b"HTTP/1.1 404 No\r\n" + headers + b"Location: /?" + texts[0].encode() + b"\r\n\r\n"
    prober = Prober(
        settings=Settings(limits=LIMITS),
        clock=SystemClock(),
        judge=CertificateJudge(),
        vantage=Vantage(id="0" * 32),
        simulated=True,
        tool="test",
    )
    prober.begin(Line(state="up", ipv4=True), ())
    assert prober.own.learn_told(V4)
    assert prober.own.learn_told(V6)
    found = prober.trace()
    async with serving(answering(head + body)) as port:
        url = f"http://127.0.0.1:{port}/start"
        await Visit(prober, found, full=False).run(url)
    database = tmp_path / "own.db"
    with Store(str(database)) as store:
        vantage = store.own_vantage(country="KZ", asn=64496, network=None)
        line = Line(state="up")
        round_ = Round(simulated=True, tool="test", time=NOW, vantage=vantage, line=line, targets=1)
        round_id = store.add(round_).result()
        record = record_of(prober, found, url, NOW, round_id, complete=True)
        record = msgspec.structs.replace(record, vantage=vantage)
        kept = store.add(record, prober.own.scrub_blobs(found.blobs)).result()
        whole = store.canonical_bytes(kept) or b""
        bodies = [step.body for step in record.steps if isinstance(step, Exchange)]
        blobs = [store.blob(body) or b"" for body in bodies if body]
    with sqlite3.connect(database) as opened:
        dump = "\n".join(opened.iterdump()).encode()
    opened.close()
    assert b"[scrubbed]" in whole
    assert b"[scrubbed]" in b"".join(blobs)
    for spelling in SPELLINGS.values():
        for place in (whole, dump, *blobs):
            assert spelling.encode("latin-1") not in place
            assert spelling.encode() not in place
