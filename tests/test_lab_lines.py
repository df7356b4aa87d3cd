"""Lines and networks of the lab: what plain clients meet on each, and how packets are delayed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random

import pytest

from lab.described import Network
from lab.line import Line
from lab.network import World
from lab.scenario import load_scenario
from tests.lab_clients import answered, ask, connect_seconds, late_request, local_address
from tests.lab_worlds import SHORT, connect, fetch, inside, require_lab, walk

NAME = "watched.example"
URL = f"https://{NAME}/"

LINES = """
country = "KZ"
targets = ["https://watched.example/"]
dual_stack = true
networks = [
  {name = "plain", asn = 64496, ipv6 = "works"},
  {name = "behind", asn = 64497, nat_seconds = 1.5, silent_hops = [2], latency_ms = 5},
  {name = "six", asn = 64498, nat64 = true},
  {name = "broken", asn = 64499, ipv6 = "broken"},
  {name = "poor", asn = 64500, loss = 0.02, jitter_ms = 5, reorder = 0.1, bandwidth_kbit = 20000},
  {name = "lossy", asn = 64501, loss = 0.3},
  {name = "uneven", asn = 64502, latency_ms = 10, latency_back_ms = 190},
  {name = "narrow", asn = 64503, mtu = 1280},
  {name = "hole", asn = 64504, mtu = 900, mtu_silent = true},
]
[[sites]]
host = "watched.example"
size = 100000
[[sites]]
host = "old-web.example"
ipv6 = "none"
http = "serve"
echo = true
[[sites]]
host = "half-dead.example"
ipv6 = "dead"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require_lab()
    path = tmp_path_factory.mktemp("lines") / "lines.toml"
    path.write_text(LINES)
    with World(load_scenario(path), seed=4) as running:
        yield running


pytestmark = pytest.mark.xdist_group("lab-lines")
lab = pytest.mark.lab


def six(world: World, host: str) -> str:
    return world.plan.sites[host].addresses6[0]


def four(world: World, host: str) -> str:
    return world.plan.sites[host].addresses[0]


@lab
def test_a_dual_stack_world_serves_both_families(world: World) -> None:
    resolver = world.plan.networks["plain"].resolver
    assert inside(world, "plain", ask, NAME, "AAAA", resolver)["AAAA"] == [six(world, NAME)]
    assert inside(world, "plain", connect, six(world, NAME), 443) == "ok"
    routers = list(world.plan.route("plain", six(world, NAME)).routers)
    assert all(":" in router for router in routers)
    assert inside(world, "plain", connect, "2001:4860:4860::8888", 53) == "ok"
    assert inside(world, "plain", fetch, URL)["status"] == 200
    # One site's IPv6 address is dead, though the family works.
    dead = six(world, "half-dead.example")
    assert inside(world, "plain", connect, dead, 443, patience=SHORT) == "timeout"


@lab
def test_broken_ipv6_has_addresses_and_carries_nothing(world: World) -> None:
    address = six(world, NAME)
    assert inside(world, "broken", connect, address, 443, patience=SHORT) == "timeout"
    assert inside(world, "broken", connect, four(world, NAME), 443) == "ok"


@lab
def test_a_client_with_ipv6_alone_reaches_ipv4_through_the_translator(world: World) -> None:
    resolver = world.plan.networks["six"].name_server()
    found = inside(world, "six", ask, "old-web.example", "AAAA", resolver)["AAAA"]
    assert [address.startswith("64:ff9b::") for address in found] == [True]
    probe = inside(world, "six", ask, "ipv4only.arpa", "AAAA", resolver)
    assert sorted(probe["AAAA"]) == ["64:ff9b::c000:aa", "64:ff9b::c000:ab"]
    text = inside(world, "six", fetch, "http://old-web.example/")["text"]
    assert f"Your address is {world.plan.networks['six'].client}." in text
    assert "unreachable" in inside(world, "six", connect, four(world, NAME), 443)


@lab
def test_a_nat_hides_the_client_and_forgets_idle_flows(world: World) -> None:
    address, host = four(world, "old-web.example"), "old-web.example"
    assert inside(world, "behind", local_address, address, 80) == "192.168.2.20"
    text = inside(world, "behind", fetch, f"http://{host}/")["text"]
    assert f"Your address is {world.plan.networks['behind'].client}." in text
    assert inside(world, "behind", late_request, address, host, 0.0) == "HTTP/1.1 200 OK"
    assert inside(world, "behind", late_request, address, host, 2.0, patience=SHORT) == "timeout"


@lab
def test_silent_routers_keep_silent_and_others_answer_through_the_nat(world: World) -> None:
    address = four(world, NAME)
    routers = list(world.plan.route("behind", address).routers)[:3]
    routers[1] = "timeout"
    assert inside(world, "behind", walk, address, 3, patience=SHORT) == routers


@lab
def test_a_poor_line_still_carries_a_page(world: World) -> None:
    page = inside(world, "poor", fetch, URL)
    assert (page["status"], len(page["text"])) == (200, 100000)


@lab
def test_a_lossy_line_loses_about_what_it_says(world: World) -> None:
    resolver = world.plan.networks["lossy"].resolver
    count = inside(world, "lossy", answered, NAME, resolver, 200, patience=1.0)
    assert 60 < count < 140  # 0.7 * 0.7 of them, and more than six deviations around it


@lab
def test_latency_adds_up_over_both_ways(world: World) -> None:
    assert inside(world, "uneven", connect_seconds, four(world, NAME), 443) >= 0.2


@lab
def test_a_narrow_link_says_so_and_a_black_hole_does_not(world: World) -> None:
    assert len(inside(world, "narrow", fetch, URL)["text"]) == 100000
    assert inside(world, "hole", connect, four(world, NAME), 443) == "ok"
    assert inside(world, "hole", fetch, URL, patience=SHORT) == {"failure": "timeout"}


# --- the line alone, without packets ----------------------------------------------------------


def line(**keys: float) -> Line:
    return Line(Network(name="isp", asn=64496, **keys), Random(1))  # type: ignore[arg-type]


def test_a_full_line_makes_packets_wait_and_then_drops_them() -> None:
    way = line(bandwidth_kbit=80).outward  # 10,000 bytes a second
    delays = [way.delay(1000, 0.0) for _ in range(8)]
    assert delays[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert delays[-1] is None
    assert way.delay(1000, 5.0) == pytest.approx(0.1)


def test_jitter_delays_without_changing_the_order() -> None:
    way = line(jitter_ms=50, latency_ms=10).inward
    sent = [number / 1000 for number in range(100)]
    due = [now + (way.delay(100, now) or 0) for now in sent]
    assert due == sorted(due)
    assert min(at - now for at, now in zip(due, sent, strict=True)) >= 0.01
    assert max(at - now for at, now in zip(due, sent, strict=True)) <= 0.06


def test_some_packets_are_overtaken_where_the_line_reorders() -> None:
    way = line(reorder=0.2).outward
    due = [now / 1000 + (way.delay(100, now / 1000) or 0) for now in range(200)]
    overtaken = sum(later < earlier for earlier, later in itertools.pairwise(due))
    assert 10 < overtaken < 80


def test_a_line_is_plain_unless_something_is_wrong_with_it() -> None:
    assert line(latency_ms=20).is_plain
    assert not line(latency_ms=20).counts_packets
    assert line(mtu=1280).counts_packets
    assert not line(loss=0.1).is_plain
