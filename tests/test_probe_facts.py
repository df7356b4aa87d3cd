"""Each fact of a measurement in the lab: recorded right where it is, and absent where it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from lab.network import World
from lab.plan import make_plan
from lab.scenario import Scenario, load_scenario
from tests.lab_networks import TABLE_OF, write_networks
from tests.lab_worlds import require_lab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("facts")]

Record: TypeAlias = dict[str, Any]
SEED = 3  # of the worlds

COOKIES = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        cookie = self.headers.get("Cookie", "none")
        if self.path == "/":
            self.send_response(302)
            self.send_header("Set-Cookie", "seen=before")
            self.send_header("Location", f"/second?{cookie}")
            self.end_headers()
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"<title>{cookie}</title>".encode())

HTTPServer((sys.argv[1], 80), Handler).serve_forever()
"""
# One world of many oddities, each at a site of its own beside a plain one.
ODD = """
country = "KZ"
targets = ["https://plain.example/"]
networks = [{{name = "isp", asn = 64496}}]
helpers = [
  {{url = "https://honest.example/"}},
  {{url = "https://liar.example/", lies = "down"}},
  {{url = "https://dead.example/", dead = true}},
]
[[sites]]
host = "plain.example"
[[sites]]
host = "unreachable.example"
[[sites]]
host = "several.example"
at = [{several}]
[[sites]]
host = "few.example"
at = ["45.83.12.20", "45.83.99.20", "45.83.77.20"]
[[sites]]
host = "long.example"
[[sites]]
host = "alert.example"
[[sites]]
host = "swallowed.example"
[[sites]]
host = "self.example"
certificate = "self-signed"
[[sites]]
host = "kazakh.example"
http = "serve"
language = "kk"
text = "Бұл бет қазақ тілінде."
[[sites]]
host = "stall.example"
body = "stall"
size = 60000
[[sites]]
host = "alias.example"
cname = ["middle.example", "edge.example"]
[[sites]]
host = "offers.example"
http2 = true
http3 = true
https_record = true
[[sites]]
host = "clear.example"
https = false
plain_443 = true
http = "serve"
[[sites]]
host = "cookies.example"
https = false
ports = [80]
command = ["{python}", "{script}", "{{address}}"]
[[censors]]
kind = "tls-alert"
names = ["alert.example"]
[[censors]]
kind = "tls-drop"
names = ["swallowed.example"]
[[censors]]
kind = "address-unreachable"
hosts = ["unreachable.example"]
unreachable = "host-prohibited"
hop = 5
[[censors]]
kind = "address-refuse"
hosts = ["several.example", "45.83.12.20", "45.83.99.20"]
[[resolvers]]
of = "8.8.8.8"
how = "truncate"
names = ["long.example"]
[sitewatch.limits]
dns_timeout = 2.0
connect_timeout = 3.0
tls_timeout = 2.5
http_timeout = 3.0
[sitewatch.data]
networks = "{table}"
"""
SCHEMES = {"kazakh": "http", "cookies": "http"}
SITES = (
    *("plain", "kazakh", "stall", "alias", "offers", "clear", "cookies"),
    *("alert", "swallowed", "unreachable", "long", "self", "several", "few"),
)
SEVERAL = [f"45.83.12.{number}" for number in range(7, 13)]
# A line about which much is known: whose networks they are, and that its clock is behind.
KNOWN = """
country = "KZ"
targets = ["https://watched.example/"]
clock_ahead = 1500
dual_stack = true
networks = [{{name = "isp", asn = 64496, ipv6 = "works"}}]
[[censors]]
kind = "dns-divert"
[[censors]]
kind = "address-unreachable"
hosts = ["watched.example"]
family = "ipv6"
[sitewatch.data]
networks = "{table}"
"""
ANOTHER_NETWORK = 64999  # of the resolver, by the table
ROOTS_DAYS = 400
# Worlds whose line is odd; in most of them nothing but the line is looked at.
LINES = (
    *("plain", "nat64", "vpn-filter", "antivirus", "payment-wall"),
    *("national-cut", "whitelist", "filter-pihole", "known", "doh-blocked-by-address"),
)
MEASURED = ("known", "doh-blocked-by-address")
WATCHED = "https://watched.example/"


def run(world: World, urls: list[str]) -> list[Record]:
    argv = [sys.executable, "-m", "tests.measurer", *urls]
    process = world.popen(world.clients[0], argv, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found: list[Record] = json.loads(output)
    return found


def look(name: str, folder: Path) -> list[Record]:
    """Return the round of a world whose line is odd, of some with a measurement."""
    if name != "known":
        with World(load_scenario(f"zoo/{name}"), seed=SEED) as world:
            return run(world, [WATCHED] if name in MEASURED else [])
    (folder / "known.toml").write_text(KNOWN.format(table=folder / "known.table"))
    scenario = load_scenario(folder / "known.toml")
    plan = make_plan(scenario, SEED)
    write_networks(plan, folder / "known.table", resolver=ANOTHER_NETWORK)
    with World(scenario, seed=SEED) as world:
        config = tomllib.loads(world.config_path("isp").read_text())
        before = time.time() - ROOTS_DAYS * 86_400
        os.utime(config["tls"]["ca_bundle"], (before, before))
        return run(world, [WATCHED])


@pytest.fixture(scope="module")
def odd_scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """The odd world, with a table that knows its networks."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "cookies.py").write_text(COOKIES)
    path, table = folder / "odd.toml", folder / "networks.table"
    path.write_text(
        ODD.format(
            python=sys.executable,
            script=folder / "cookies.py",
            table=table,
            several=str(SEVERAL)[1:-1],
        )
    )
    scenario = load_scenario(path)
    write_networks(make_plan(scenario, SEED), table)
    return scenario


@pytest.fixture(scope="module")
def odd(odd_scenario: Scenario) -> dict[str, Record]:
    """Return the measurement of each site of the odd world by its first label."""
    require_lab()
    urls = [f"{SCHEMES.get(site, 'https')}://{site}.example/" for site in SITES]
    with World(odd_scenario, seed=SEED) as world:
        records = run(world, urls)
    firsts = [each for each in records if each["format"].startswith("sitewatch-measurement")]
    return {
        each["url"].partition("://")[2].partition(".")[0]: each
        for each in firsts
        if each["follows"] is None
    }


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Record]]:
    """Return the records of each world whose line is odd."""
    require_lab()
    folder = tmp_path_factory.mktemp("lines")
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda name: look(name, folder), LINES)
        return dict(zip(LINES, found, strict=True))


@pytest.fixture(scope="module")
def lines(looks: dict[str, list[Record]]) -> dict[str, Record]:
    """Return the round of each of these worlds."""
    return {name: records[0] for name, records in looks.items()}


def first(record: Record, kind: str, **wanted: object) -> Record:
    """Return the first step of a kind with these values; {} where there is none."""
    for step in record["steps"]:
        if step["kind"] == kind and all(step[key] == value for key, value in wanted.items()):
            return dict(step)
    return {}


def looked_up(record: Record) -> Record:
    return first(record, "lookup", resolver="udp", type="A", address="8.8.8.8")


def shaken(record: Record) -> Record:
    return first(record, "handshake")


def page(record: Record) -> Record:
    return first(record, "exchange")


Fact: TypeAlias = Callable[[Record], object]

# Fact, the site that has it, its value there, and its value at the plain site.
FACTS: dict[str, tuple[Fact, str, object, object]] = {
    "alias": (lambda r: looked_up(r)["cnames"], "alias", ["middle.example", "edge.example"], []),
    "answer that needed TCP": (lambda r: looked_up(r)["over_tcp"], "long", True, False),
    "offered protocols": (
        lambda r: first(r, "lookup", type="HTTPS").get("alpn"),
        "offers",
        ["h3", "h2"],
        [],
    ),
    "protocol spoken": (lambda r: page(r)["protocol"], "offers", "h2", "http/1.1"),
    "ICMP error": (lambda r: first(r, "connect")["icmp"], "unreachable", "3/10", None),
    "ICMP not from the peer": (
        lambda r: first(r, "connect")["icmp_from_peer"],
        "unreachable",
        False,
        None,
    ),
    "reloads try what was not tried": (
        lambda r: len({s["address"] for s in r["steps"] if s["kind"] == "connect"}),
        "several",
        len(SEVERAL),
        1,
    ),
    "reloads go back to what opened": (
        lambda r: max(s["attempt"] for s in r["steps"] if s["kind"] == "exchange"),
        "few",
        2,
        0,
    ),
    "alert number": (lambda r: shaken(r)["alert"] is not None, "alert", True, False),
    "alert": (lambda r: shaken(r)["failure"], "alert", "ssl_alert_received", None),
    "plain HTTP on 443": (lambda r: shaken(r)["failure"], "clear", "ssl_not_tls", None),
    "chain": (lambda r: shaken(r)["valid"], "self", False, True),
    "why a chain is refused": (
        lambda r: shaken(r)["invalid_because"] is not None,
        "self",
        True,
        False,
    ),
    "second opinion": (lambda r: shaken(r)["valid_by_system"], "self", False, None),
    "hello acknowledged": (lambda r: shaken(r)["acknowledged"], "swallowed", False, True),
    "hello sent again": (lambda r: shaken(r)["retransmissions"] > 0, "swallowed", True, False),
    "language": (lambda r: page(r)["language"], "kazakh", "kk", None),
    "bytes at a stall": (
        lambda r: page(r)["received_bytes"] < page(r)["declared_bytes"],
        "stall",
        True,
        False,
    ),
    "stall": (lambda r: page(r)["failure"], "stall", "generic_timeout_error", None),
    "the end of what came": (
        lambda r: page(r)["duration_us"] - page(r)["last_byte_us"] > 2_000_000,
        "stall",
        True,
        False,
    ),
    "cookie on the first hop": (
        lambda r: first(r, "exchange", hop=1).get("url", ""),
        "cookies",
        "http://cookies.example/second?none",
        "",
    ),
    "cookie on the second hop": (
        lambda r: first(r, "exchange", hop=1).get("title"),
        "cookies",
        "seen=before",
        None,
    ),
}


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_is_there_where_it_is_and_not_elsewhere(odd: dict[str, Record], name: str) -> None:
    fact, where, there, elsewhere = FACTS[name]
    assert (fact(odd[where]), fact(odd["plain"])) == (there, elsewhere)


def test_pages_have_a_fingerprint_of_their_text(odd: dict[str, Record]) -> None:
    one, other = page(odd["plain"]), page(odd["kazakh"])
    assert len(one["simhash"]) == len(other["simhash"]) == 16
    assert one["simhash"] != other["simhash"]
    assert page(odd["swallowed"]) == {}


def test_what_came_is_counted_and_timed(odd: dict[str, Record]) -> None:
    step = page(odd["plain"])
    assert 0 < step["first_byte_us"] <= step["last_byte_us"] <= step["duration_us"]
    assert step["received_bytes"] == step["body_bytes"] == step["declared_bytes"]
    assert step["wire_bytes"] > step["received_bytes"]  # headers and TLS


def test_helpers_that_disagree_are_told_from_one_that_is_silent(odd: dict[str, Record]) -> None:
    agreement = odd["plain"]["agreement"]
    assert (agreement["asked"], agreement["answered"]) == (3, 2)
    assert (agreement["names"], agreement["connect"], agreement["page"]) == (True, False, False)
    assert (agreement["title"], agreement["keys"], agreement["text"]) == (None, None, None)
    silent = [each for each in odd["plain"]["helpers"] if not each["answered"]]
    assert [each["helper"] for each in silent] == ["https://dead.example/"]


@pytest.mark.parametrize(
    ("field", "world", "there", "elsewhere"),
    [
        ("nat64", "nat64", True, False),
        ("tunnelled", "vpn-filter", True, False),
        ("intercepted", "antivirus", True, False),
        ("portal_status", "payment-wall", 200, None),
        ("state", "payment-wall", "captive", "up"),
        ("state", "national-cut", "foreign-cut", "up"),
        ("state", "whitelist", "whitelisted", "up"),
        ("ipv4", "nat64", False, True),
        ("ipv6", "known", True, False),
        ("resolver_at_home", "filter-pihole", True, False),
        ("resolver_asn", "known", ANOTHER_NETWORK, None),
        ("resolver_elsewhere", "known", True, False),
        ("diverted", "known", True, False),
    ],
)
def test_a_fact_of_the_line_is_there_where_it_is_and_not_elsewhere(
    lines: dict[str, Record], field: str, world: str, there: object, elsewhere: object
) -> None:
    assert lines[world]["line"][field] == there
    assert lines["plain"]["line"][field] == elsewhere


def test_the_machines_own_store_is_a_second_opinion(lines: dict[str, Record]) -> None:
    """A program on the machine opens up its TLS, with an authority that the machine trusts."""
    opened, plain = shaken(lines["antivirus"]), shaken(lines["plain"])
    assert (opened["valid"], opened["valid_by_system"]) == (False, True)
    assert (plain["valid"], plain["valid_by_system"]) == (True, None)


def test_a_clock_that_is_behind_is_told_from_one_that_is_right(lines: dict[str, Record]) -> None:
    behind, right = (lines[name]["line"]["clock_offset_us"] for name in ("known", "plain"))
    assert abs(behind - 1_500_000_000) < 60_000_000
    assert abs(right) < 60_000_000


def test_the_instrument_stands_in_every_round(lines: dict[str, Record]) -> None:
    for record in lines.values():
        assert "tcp-info" in record["instrument"]["features"]
    known, plain = lines["known"]["instrument"], lines["plain"]["instrument"]
    assert (known["networks_table"], plain["networks_table"]) == (f"{TABLE_OF}", None)
    assert ROOTS_DAYS - 1 <= known["roots_age_days"] <= ROOTS_DAYS + 1
    assert plain["roots_age_days"] <= 1


def test_who_sends_an_icmp_error_is_named_by_its_network_alone(
    odd: dict[str, Record], odd_scenario: Scenario
) -> None:
    plan = make_plan(odd_scenario, SEED)
    [address] = plan.addresses_of("unreachable.example")
    routers = plan.route("isp", address).routers
    assert first(odd["unreachable"], "connect")["icmp_asn"] == plan.asn(routers[4])
    assert plan.asn(routers[4]) not in {0, plan.asn(address), plan.networks["isp"].asn}
    assert first(odd["plain"], "connect")["icmp_asn"] is None
    text = json.dumps(odd["unreachable"])
    assert not any(f'"{router}"' in text for router in routers)


def test_who_sends_an_icmpv6_error_is_named_too(looks: dict[str, list[Record]]) -> None:
    measured = looks["known"][1]
    connects = [step for step in measured["steps"] if step["kind"] == "connect"]
    v6, v4 = (next(s for s in connects if (":" in s["address"]) is six) for six in (True, False))
    assert v6["icmp"].startswith("v6 1/")
    assert (v6["icmp_from_peer"], v6["icmp_asn"]) == (False, 64496)
    assert (v4["icmp"], v4["icmp_from_peer"], v4["icmp_asn"]) == (None, None, None)


def test_what_helpers_agree_on_is_tried_once_where_no_encrypted_resolver_answers(
    looks: dict[str, list[Record]],
) -> None:
    """All that is asked in clear names a reserved address; only helpers know the true one."""
    measured = looks["doh-blocked-by-address"][1]
    true = {address for helper in measured["helpers"] for address in helper["dns"]}
    tried = [step for step in measured["steps"] if step["kind"] == "handshake"]
    assert [(step["attempt"], step["valid"]) for step in tried] == [(1, True)]
    assert {step["address"] for step in tried} == true
