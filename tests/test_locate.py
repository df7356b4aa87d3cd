"""Locating: walks in the lab name the hop of droppers and injectors from 2 to 12."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from lab.network import World
from lab.plan import Plan, make_plan
from lab.scenario import Scenario, load_scenario
from probes.clock import SystemClock
from probes.locate import Place as LocatePlace
from probes.locate import client_hello, locate, neighbour_of, request
from probes.own import OwnAddresses
from probes.prober import NeutralHost
from probes.settings import Tier
from probes.suspicion import Suspect
from probes.trace import Stage, Trace
from probes.walks import MOST_HOPS, UNSTORED_HOPS, Opener, Target, repeats_quickly
from reports.locating import located
from storage.failures import Failure
from storage.records import Line, Walk
from tests.lab_networks import write_networks
from tests.lab_worlds import require_lab
from tests.loopback import serving, trace
from tests.test_probe_quic import prober
from tests.walker import Place

HOPS = range(2, 13)
NOW = "2026-11-23T12:00:00.000000Z"

HEAD = """
country = "KZ"
dual_stack = true
targets = ["https://far.example/"]
[[networks]]
name = "home"
asn = 64496
ipv6 = "works"
[[sites]]
host = "far.example"
names = [{names}]
"""
RULE = """
[[censors]]
kind = "{kind}"
names = ["{name}"]
hop = {hop}
{more}
"""
# Of the second reset the box is only listening: what it answers goes on all the same.
TLS = {"tls-drop": "swallowed", "tls-reset": "answered", "tls-reset/": "answered"}
DNS = {"dns-race": "answered", "dns-forge": "swallowed"}
MORE = {
    "dns-race": 'answers = ["nxdomain"]',
    "dns-forge": 'answers = ["silence"]',
    "tls-reset/": "on_path = true",
}
RESOLVERS = ("8.8.8.8", "2001:4860:4860::8888")


def name_of(kind: str, hop: int) -> str:
    return f"{kind.replace('/', '-beside')}-{hop}.example"


def write(folder: Path) -> Path:
    """Write a scenario in which every kind of censor stands at every hop, each with a name."""
    names = ", ".join(f'"{name_of(kind, hop)}"' for kind in TLS for hop in HOPS)
    rules = [
        RULE.format(
            kind=kind.rstrip("/"), name=name_of(kind, hop), hop=hop, more=MORE.get(kind, "")
        )
        for kind in (*TLS, *DNS)
        for hop in HOPS
    ]
    path = folder / "hops.toml"
    path.write_text(HEAD.format(names=names) + "".join(rules))
    return path


def places(addresses: Sequence[str]) -> dict[Place, tuple[str, int]]:
    """Return what is walked to, and what must be found where."""
    wanted = {}
    for hop in HOPS:
        for kind, what in TLS.items():
            for address in addresses:
                for how in ("one", "many"):
                    wanted[Place(name_of(kind, hop), address, how)] = what, hop
        for kind, what in DNS.items():
            for resolver in RESOLVERS:
                wanted[Place(name_of(kind, hop), resolver, "question")] = what, hop
    return wanted


@pytest.mark.lab
@pytest.mark.xdist_group("locate")
def test_the_hop_of_droppers_and_injectors_is_named_from_2_to_12(tmp_path: Path) -> None:
    """By one connection, by one for each hop, by questions; over IPv4 and IPv6."""
    require_lab()
    scenario = load_scenario(write(tmp_path))
    seed = next(seed for seed in range(100_000) if _ways_are_long_enough(scenario, seed))
    with World(scenario, seed=seed) as world:
        addresses = world.plan.everywhere("far.example")
        wanted = places(addresses)
        _let_the_kernel_give_up_early(world)
        process = world.popen(
            world.clients[0],
            [sys.executable, "-m", "tests.walker", msgspec.json.encode(list(wanted)).decode()],
            stdout=subprocess.PIPE,
        )
        output, _ = process.communicate(timeout=90)
        lengths = {
            address: len(world.plan.route(world.clients[0], address).routers) + 1
            for address in (*addresses, *RESOLVERS)
        }
    found = msgspec.json.decode(output, type=list[list[Walk]])
    for (place, expected), walks in zip(wanted.items(), found, strict=True):
        result = located(walks)
        assert result is not None
        assert (result.what, result.hop) == expected, (place, walks)
        assert result.hop_at_most is None or expected[1] <= UNSTORED_HOPS
        assert result.peer_at == lengths[place.address]
        assert all(entry.ttl > UNSTORED_HOPS for walk in walks for entry in walk.hops)


# A server that ends a handshake by itself: port, seconds of patience and how are its arguments.
IMPATIENT = """
import asyncio, socket, struct, sys

def serve(port, patience, how):
    async def talk(reader, writer):
        try:
            await asyncio.wait_for(reader.read(1), patience)
            writer.write(bytes([21, 3, 3, 0, 2, 2, 40]))  # to a hello: an alert
        except TimeoutError:
            if how == "reset":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    return asyncio.start_server(talk, sys.argv[1], port)

async def main():
    for words in sys.argv[2:]:
        port, patience, how = words.split(",")
        await serve(int(port), float(patience), how)
    await asyncio.Event().wait()

asyncio.run(main())
"""
PATIENCE = {  # seconds and what then, by port
    443: (60.0, "reset"),
    **{
        4000 + 100 * tenths + at: (tenths / 10, how)
        for tenths in (23, 28, 34, 39, 44, 48)
        for at, how in enumerate(("closed", "reset"))
    },
}
SLOW = """
country = "KZ"
targets = ["https://far.example/"]
[[networks]]
name = "home"
asn = 64496
[[sites]]
host = "far.example"
ports = {ports}
command = {command}
[[censors]]
kind = "tls-reset"
names = ["forbidden.example"]
hop = 5
"""


@pytest.mark.lab
@pytest.mark.xdist_group("locate")
def test_a_server_that_ends_a_slow_handshake_by_itself_is_no_box(tmp_path: Path) -> None:
    """It does so while packets with the name die at hop 3 to 6; a box at hop 5 is still found."""
    require_lab()
    (tmp_path / "impatient.py").write_text(IMPATIENT)
    words = [f"{port},{seconds},{how}" for port, (seconds, how) in PATIENCE.items()]
    command = [sys.executable, str(tmp_path / "impatient.py"), "{address}", *words]
    path = tmp_path / "slow.toml"
    path.write_text(SLOW.format(ports=list(PATIENCE), command=json.dumps(command)))
    scenario = load_scenario(path)
    seed = next(s for s in range(100_000) if _is_far(make_plan(scenario, s), "far.example", 8))
    write_networks(make_plan(scenario, seed), tmp_path / "networks.table")
    with World(scenario, seed=seed) as world:
        [address] = world.plan.everywhere("far.example")
        asked = [Place("innocent.example", address, "one", port) for port in PATIENCE]
        asked.append(Place("forbidden.example", address, "one"))
        process = world.popen(
            world.clients[0],
            [sys.executable, "-m", "tests.walker", msgspec.json.encode(asked).decode()],
            stdout=subprocess.PIPE,
            env={**os.environ, "NETWORKS": str(tmp_path / "networks.table")},
        )
        output, _ = process.communicate(timeout=90)
        routers = world.plan.route(world.clients[0], address).routers
    peer_at, networks = len(routers) + 1, [world.plan.asn(each) for each in routers]
    found = msgspec.json.decode(output, type=list[list[Walk]])
    healthy, *impatient, blocked = found
    for walks, expected in ((healthy, ("reached", peer_at)), (blocked, ("answered", 5))):
        result = located(walks)
        assert result is not None
        assert (result.what, result.hop) == expected, walks
    box = located(blocked)
    assert box is not None
    assert (box.before_asn, box.at_asn) == (networks[3], networks[4])
    text = msgspec.json.encode(found).decode()
    assert not any(f'"{router}"' in text for router in routers)
    for walks in impatient:
        _, _, last = walks
        assert last.answered_at is not None
        assert last.answered_at < peer_at  # what looks like a box
        result = located(walks)
        assert result is not None
        assert (result.what, result.hop) == ("unknown", None), walks


def _is_far(plan: Plan, host: str, routers: int) -> bool:
    """Tell whether so many routers stand before every address of a host, or before an address."""
    ends = [host] if host in RESOLVERS else plan.everywhere(host)
    return all(len(plan.route("home", end).routers) >= routers for end in ends)


def _let_the_kernel_give_up_early(world: World) -> None:
    """Have the client's kernel end connections after fewer repetitions than a walk needs."""
    order = "echo 5 > /proc/sys/net/ipv4/tcp_retries2"
    assert world.popen(world.clients[0], ["sh", "-c", order]).wait(timeout=30) == 0


def _ways_are_long_enough(scenario: Scenario, seed: int) -> bool:
    """Tell whether every censor stands on the way to what it censors."""
    plan = make_plan(scenario, seed)
    return all(_is_far(plan, end, max(HOPS)) for end in ("far.example", *RESOLVERS))


def test_a_walk_tries_connections_that_time_out_a_few_times_more() -> None:
    """A listener whose queue is full drops every SYN, as a box does that cut the port before."""
    trace = Trace(SystemClock(), OwnAddresses())
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address, port = full.getsockname()
        waiting = socket.create_connection((address, port))
        opener = Opener(trace, Stage("ttl-walk"), Target(address, port), 0.2)
        before = trace.next_connection()
        assert asyncio.run(opener.open()) == Failure.TIMEOUT
        assert trace.next_connection() - before == 4  # three were tried
        full.accept()[0].close()
        waiting.close()
        opened = asyncio.run(opener.open())
        assert isinstance(opened, tuple)
        opened[0].close()
    assert trace.steps == []


@pytest.mark.parametrize(
    ("tier", "quick", "methods"),
    [
        ("probing", True, {"neutral@site": "one-hello", "name@site": "one-hello"}),
        ("probing", False, {"neutral@site": "many-hellos"}),
        ("conspicuous", False, {"neutral@site": "many-hellos", "name@site": "many-hellos"}),
    ],
)
async def test_only_at_tier_conspicuous_a_name_is_repeated_where_the_kernel_does_not_repeat_it(
    monkeypatch: pytest.MonkeyPatch, tier: Tier, quick: bool, methods: dict[str, str]
) -> None:
    if quick and not repeats_quickly():
        pytest.skip("needs Linux 6.15")
    monkeypatch.setattr("probes.locate.repeats_quickly", lambda: quick)
    made = prober(2.0)
    made.settings = msgspec.structs.replace(made.settings, tier=tier)
    made.begin(Line(state="up", ipv4=True), [NeutralHost("www.example.com", "192.0.2.1")])
    seen: list[bytes] = []

    async def alerting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(4096))
        writer.write(bytes([21, 3, 3, 0, 2, 2, 40]))

    found = trace()
    async with serving(alerting) as port:
        suspect = Suspect("watched.example", "127.0.0.1", port)
        await locate(made, found, LocatePlace(suspect, "hello"))
    walks = [step for step in found.steps if isinstance(step, Walk) and step.arm]
    assert {walk.arm: walk.method for walk in walks} == methods
    assert sum(b"watched.example" in hello for hello in seen) == ("name@site" in methods)


def test_what_a_walk_sends_fits_one_segment_and_carries_the_name() -> None:
    hello = client_hello("watched.example")
    assert b"watched.example" in hello
    assert len(hello) < 1200
    assert b"Host: watched.example\r\n" in request("watched.example", "/", "agent")


@pytest.mark.parametrize(
    ("address", "beside"),
    [("192.0.2.8", "192.0.2.9"), ("192.0.2.9", "192.0.2.8"), ("2001:db8::", "2001:db8::1")],
)
def test_the_neighbour_is_the_next_address(address: str, beside: str) -> None:
    assert neighbour_of(address) == beside
    assert neighbour_of("0.0.0.1") is None
    assert MOST_HOPS <= 64  # sockets of one walk, all open at once
