"""What the line tells of itself: who answers for the resolver, who we are seen as, NAT64."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import dns.message
import dns.rrset
import pytest

from probes.certificates import CertificateJudge
from probes.clock import SystemClock
from probes.instrument import (
    describe_instrument,
    features,
    is_elsewhere,
    is_hosting,
    leaves_by_tunnel,
    roots_age_days,
)
from probes.line import _resolver_elsewhere, _tunnelled, line_state
from probes.own import OwnAddresses
from probes.prober import Prober
from probes.settings import Settings, Whoami
from probes.system_resolver import servers_behind_stub
from probes.whoami import Resolver, _carries_ipv4, addresses_in, ask_whoami, is_diverted
from storage.networks import build
from storage.records import Vantage

Answer = Callable[[dns.message.Message], dns.message.Message | None]


class _Server(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        reply = self._answer(dns.message.from_wire(data))
        if reply is not None:
            self._transport.sendto(reply.to_wire(), sender)


@asynccontextmanager
async def name_server(answer: Answer) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Server(answer), local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def saying(kind: str, *texts: str) -> Answer:
    def answer(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", kind, *texts))
        return reply

    return answer


async def test_the_public_address_behind_nat_is_learnt_from_a_whoami_name() -> None:
    own = OwnAddresses()
    async with name_server(saying("TXT", '"203.0.113.77"')) as port:
        entry = Whoami(name="me.example", server="127.0.0.1", port=port)
        await ask_whoami([entry], own, None, [], 2.0)
    assert own.is_own("203.0.113.77")


async def test_a_resolver_is_known_by_the_address_it_asks_from_and_that_is_not_ours() -> None:
    own = OwnAddresses()
    text = '"198.51.100.7"'
    async with name_server(saying("TXT", text, '"edns0-client-subnet 203.0.113.0/24"')) as port:
        entry = Whoami(name="me.example", port=port)
        found = await ask_whoami([entry], own, "127.0.0.1", [], 2.0)
    assert found == [Resolver("127.0.0.1", frozenset({"198.51.100.7"}))]
    assert own.public() == []


@pytest.mark.parametrize("answer", [lambda query: None, saying("TXT", '"nobody"', '"999.1.1.1"')])
async def test_no_answer_and_a_foolish_one_teach_nothing(answer: Answer) -> None:
    own = OwnAddresses()
    async with name_server(answer) as port:
        entry = Whoami(name="me.example", server="127.0.0.1", port=port)
        await ask_whoami([entry], own, None, [], 0.2)
    assert own.public() == []


def test_an_answer_is_read_up_to_a_bound() -> None:
    query = dns.message.make_query("me.example", "A")
    reply = saying("A", *(f"192.0.2.{low}" for low in range(1, 100)))(query)
    assert reply is not None
    assert len(addresses_in(reply)) < 20


@pytest.mark.parametrize(
    ("system", "seen", "diverted"),
    [
        ("10.0.0.1", {"10.0.0.1": {"1.1.1.1"}, "8.8.8.8": {"2.2.2.2"}}, False),
        ("10.0.0.1", {"10.0.0.1": {"1.1.1.1"}, "8.8.8.8": {"1.1.1.1"}}, True),
        ("10.0.0.1", {"10.0.0.1": {"1.1.1.1"}, "8.8.8.8": set(), "9.9.9.9": {"1.1.1.1"}}, True),
        ("10.0.0.1", {"10.0.0.1": set(), "8.8.8.8": {"1.1.1.1"}}, None),
        ("10.0.0.1", {"10.0.0.1": {"1.1.1.1"}, "8.8.8.8": set()}, None),
        ("8.8.8.8", {"8.8.8.8": {"1.1.1.1"}, "9.9.9.9": {"2.2.2.2"}}, None),
        (None, {"8.8.8.8": {"1.1.1.1"}}, None),
    ],
)
def test_diverted_questions_come_out_at_the_lines_own_resolver(
    system: str | None, seen: dict[str, set[str]], diverted: bool | None
) -> None:
    resolvers = [Resolver(server, frozenset(addresses)) for server, addresses in seen.items()]
    assert is_diverted(resolvers, system, ["8.8.8.8", "9.9.9.9"]) is diverted


@pytest.mark.parametrize(
    ("address", "carries"),
    [
        ("64:ff9b::c000:aa", True),
        ("2001:db8:c000:ab::", True),  # a prefix of 32 bits
        ("2001:db8:122:344:c0:0:aa00::", True),  # of 64
        ("2001:db8::1", False),
        ("::", False),
    ],
)
def test_an_address_made_by_nat64_carries_the_well_known_one(address: str, carries: bool) -> None:
    from ipaddress import IPv6Address

    assert _carries_ipv4(IPv6Address(address)) is carries


@pytest.mark.parametrize(
    ("network", "hosting"),
    [("HETZNER-AS", True), ("M247 Ltd", True), ("KAZTELECOM", False), ("", False), (None, False)],
)  # fmt: skip
def test_networks_of_servers_are_told_by_name(network: str | None, hosting: bool) -> None:
    assert is_hosting(network) is hosting


def test_the_instrument_says_what_it_is_made_of(tmp_path: Path) -> None:
    found = describe_instrument(1_800_000_000.0, "2026-11-01", "")
    assert found.networks_table == "2026-11-01"
    assert found.openssl
    assert "ip-ttl" in found.features
    assert found.roots_age_days is not None
    assert roots_age_days(1_800_000_000.0, str(tmp_path / "missing")) is None
    (tmp_path / "roots.pem").touch()
    assert roots_age_days(0.0, str(tmp_path / "roots.pem")) == 0


@pytest.mark.parametrize(
    ("home", "abroad", "portal", "state"),
    [
        ("oo", "ooo", False, "up"),
        ("xx", "ooo", False, "up"),
        ("", "oox", False, "up"),
        ("oo", "xxx", False, "foreign-cut"),
        ("oox", "xxx", False, "foreign-cut"),
        ("ox", "xxx", False, "whitelisted"),
        ("xx", "oxx", False, "whitelisted"),
        ("oo", "", False, "up"),
        ("xx", "xxx", False, "down"),
        ("xx", "xxx", True, "captive"),
        ("", "", False, "down"),
    ],
)
def test_the_state_of_a_line_follows_from_who_answered(
    home: str, abroad: str, portal: bool, state: str
) -> None:
    passed = ([each == "o" for each in hosts] for hosts in (home, abroad))
    assert line_state(*passed, portal=portal) == state


def test_what_the_kernel_has_not_got_is_no_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = 250  # an option that no Linux has
    for option in ("TCP_RTO_MAX_MS", "IP_RECVERR"):
        monkeypatch.setattr(f"probes.instrument.{option}", unknown)
    assert features() == ["tcp-info", "ip-ttl"]


@pytest.mark.parametrize(
    ("registered", "told", "elsewhere"),
    [("DE", "KZ", True), ("KZ", "KZ", False), (None, "KZ", False), ("DE", None, False)],
)
def test_a_network_of_another_country_is_noticed(
    registered: str | None, told: str | None, elsewhere: bool
) -> None:
    assert is_elsewhere(registered, told) is elsewhere


ROWS = """\
2.132.0.0\t2.135.255.255\t9198\tKZ\tKAZTELECOM-AS
5.0.0.0\t5.255.255.255\t64499\tDE\tExample Exit
8.8.8.0\t8.8.8.255\t15169\tUS\tEXAMPLE-PUBLIC
"""


def line_of(folder: Path, own: str, server: str | None, *, known: bool) -> Prober:
    """Return a prober in KZ with an address of its own; `known`: with a table of networks."""
    (folder / "rows.tsv").write_text(ROWS)
    vantage = Vantage(id="0" * 32, country="KZ")
    made = Prober(Settings(), SystemClock(), CertificateJudge(""), vantage, True, "sitewatch")
    made.networks = build(folder / "rows.tsv", folder / "rows.table") if known else None
    made.own.learn_told(own)
    made.system_server = server
    return made


@pytest.mark.parametrize(
    ("own", "server", "known", "elsewhere"),
    [
        ("2.132.7.7", "2.135.1.1", True, False),
        ("2.132.7.7", "8.8.8.8", True, True),
        ("2.132.7.7", "8.8.8.8", False, True),
        ("2.132.7.7", "2.132.0.53", False, False),
        ("2.132.7.7", "192.168.1.1", True, None),
        ("2.132.7.7", None, True, None),
        ("192.168.1.7", "8.8.8.8", True, None),
    ],
)
def test_a_resolver_of_another_network_than_the_lines_is_noticed(
    tmp_path: Path, own: str, server: str | None, known: bool, elsewhere: bool | None
) -> None:
    assert _resolver_elsewhere(line_of(tmp_path, own, server, known=known), []) is elsewhere


def test_an_exit_in_another_country_is_taken_for_a_tunnel(tmp_path: Path) -> None:
    assert _tunnelled(line_of(tmp_path, "5.1.1.1", None, known=True)) is True
    at_home = line_of(tmp_path, "2.132.7.7", None, known=True)
    assert _tunnelled(at_home) is leaves_by_tunnel()  # whatever this machine's own route is


@pytest.mark.parametrize(
    ("text", "servers"),
    [("# comment\nnameserver 10.0.0.1\nsearch home\n", ["10.0.0.1"]), ("nameserver\n", [])],
)
def test_a_stubs_own_servers_are_read(tmp_path: Path, text: str, servers: list[str]) -> None:
    (tmp_path / "resolv.conf").write_text(text)
    assert servers_behind_stub(tmp_path / "resolv.conf") == servers
    assert servers_behind_stub(tmp_path / "missing") == []
