"""QUIC handshakes on loopback: a server that speaks it, silence, a closed port, noise."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import cast

import pytest
import trustme
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration

from probes.certificates import CertificateJudge
from probes.clock import SystemClock
from probes.errors import failure_of_close
from probes.prober import NeutralHost, Prober
from probes.quic import offered_port, run_quic, shake_quic
from probes.settings import Limits, Settings
from probes.suspicion import Suspect, looks_wrong, silent_quic
from probes.trace import Stage
from storage.failures import Failure
from storage.records import Lookup, Quic, Vantage
from tests.cases import NAME, START, connection, lookup
from tests.loopback import trace

HOST = "127.0.0.1"


@asynccontextmanager
async def speaking(folder: Path, alpn: str = "h3") -> AsyncIterator[int]:
    """Serve QUIC on a free port."""
    pem = folder / "server.pem"
    trustme.CA().issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(str(pem))
    configuration = QuicConfiguration(is_client=False, alpn_protocols=[alpn])
    configuration.load_cert_chain(pem, pem)
    server = await serve(HOST, 0, configuration=configuration)
    try:
        assert server._transport is not None
        yield server._transport.get_extra_info("sockname")[1]
    finally:
        server.close()


@contextmanager
def port_of(*, closed: bool) -> Iterator[int]:
    """Yield a port that keeps silent, or at which nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        port = sock.getsockname()[1]
        if closed:
            sock.close()
        yield port


async def shake(port: int, timeout: float = 20.0) -> Quic:
    found = trace()
    step = await shake_quic(found, Stage(), HOST, port, NAME, timeout)
    assert found.steps == [step]
    return step


async def test_a_handshake_completes(tmp_path: Path) -> None:
    async with speaking(tmp_path) as port:
        step = await shake(port)
    assert (step.alpn, step.failure, step.error) == ("h3", None, None)
    assert (step.datagrams_received or 0) > 0
    assert (step.server_name, step.address, step.port) == (NAME, HOST, port)


async def test_a_server_that_refuses_is_quoted(tmp_path: Path) -> None:
    async with speaking(tmp_path, alpn="other") as port:
        step = await shake(port)
    assert (step.failure, step.error) == (Failure.TLS_ALERT, 0x100 + 120)  # no_application_protocol
    assert (step.datagrams_received or 0) > 0
    assert failure_of_close(0x1) == Failure.EOF


async def test_silence_and_a_closed_port_are_told_apart() -> None:
    with port_of(closed=False) as port:
        silent = await shake(port, timeout=0.3)
    with port_of(closed=True) as port:
        gone = await shake(port)
    assert (silent.failure, silent.datagrams_received) == (Failure.TIMEOUT, 0)
    assert (gone.failure, gone.datagrams_received) == (Failure.CONNECTION_REFUSED, 0)


class _Noisy(asyncio.DatagramProtocol):
    """Sends back what came, spoilt in some way each time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        for spoilt in (b"", data, data[::-1], data[:20], b"\xc0" + bytes(1199), b"\x80" + data[1:]):
            self.transport.sendto(spoilt, peer)


async def test_noise_is_no_handshake_and_does_no_harm() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Noisy, local_addr=(HOST, 0))
    step = await shake(transport.get_extra_info("sockname")[1], timeout=0.5)
    transport.close()
    assert step.failure is not None
    assert (step.datagrams_received or 0) > 0


# --- what offers it, and what follows -------------------------------------------------------------


def https_record(*alpn: str) -> Lookup:
    return Lookup(
        name=NAME, type="HTTPS", resolver="https://r/", alpn=[*alpn], start=START, duration_us=1
    )


@pytest.mark.parametrize(
    ("value", "port"),
    [
        (b'h3=":443"; ma=86400', 443),
        (b'h3-29=":443", h3=":8443"; ma=1', 8443),
        (b"h3=:443", 443),
        (b'h3="other.example:443"', None),
        (b'h2=":443"', None),
        (b'h3=":70000"', None),
        (b"clear", None),
        (b'h3=":443' * 5000, None),
    ],
)
def test_alt_svc_offers_http3_on_the_same_host(value: bytes, port: int | None) -> None:
    assert offered_port([(b"Alt-Svc", value)], []) == port


def test_an_https_record_offers_it_too() -> None:
    assert offered_port([], [https_record("h2", "h3")]) == 443
    assert offered_port([], [https_record("h2"), lookup()]) is None


def prober(timeout: float = 0.3) -> Prober:
    settings = Settings(limits=Limits(tls_timeout=timeout, http_timeout=timeout))
    made = Prober(
        settings, SystemClock(), CertificateJudge(""), Vantage(id="0" * 32), True, "sitewatch"
    )
    made.neutrals = [NeutralHost("www.example.com", HOST)]
    return made


async def test_the_name_is_tried_again_only_where_a_neutral_name_gets_a_word(
    tmp_path: Path,
) -> None:
    with port_of(closed=False) as port:
        found = trace()
        await run_quic(prober(), found, suspect=Suspect(NAME, HOST, port))
        assert [step.arm for step in found.steps] == ["neutral@site"]
    async with speaking(tmp_path) as port:
        found = trace()
        await run_quic(prober(20.0), found, suspect=Suspect(NAME, HOST, port))
    # The name passes: one pair is enough.
    assert [(step.arm, step.failure) for step in found.steps] == [
        ("neutral@site", None),
        ("name@site", None),
    ]


async def test_quic_that_fails_is_followed_up_and_does_not_make_the_page_look_wrong() -> None:
    with port_of(closed=True) as port:
        step = await shake(port)
    page = [lookup(), *connection()]
    assert not looks_wrong([*page, step], [], 0)
    suspect = silent_quic([*page, step])
    assert suspect is not None
    assert (suspect.name, suspect.port) == (NAME, port)
    assert silent_quic(page) is None


def test_where_nothing_ever_answers_no_more_is_tried() -> None:
    made = prober()
    for _ in range(3):
        assert made.quic_may_pass
        made.note_quic(passed=False)
    assert not made.quic_may_pass
    made.note_quic(passed=True)
    assert made.quic_may_pass


def test_without_the_extra_nothing_is_tried() -> None:
    code = (
        "import sys\n"
        "from probes import quic\n"
        "sys.modules['aioquic.quic.connection'] = None\n"
        "print(quic.is_there())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "False"
