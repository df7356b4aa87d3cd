"""Scenario files: what they say, what is refused, and the plans drawn from them."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest

import lab
from lab.censor import KINDS
from lab.described import (
    Captive,
    Down,
    HelperServer,
    Network,
    Neutral,
    Outage,
    Resolver,
    Site,
)
from lab.plan import make_plan
from lab.scenario import CensorKind, Scenario, ScenarioError, load_scenario, scenario_names
from lab.toml_lines import line_of

MINIMAL = 'country = "KZ"\n[[networks]]\nname = "isp"\nasn = 64496\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_that_comes_with_the_lab_loads(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.title
    assert scenario.targets


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("speed = 3\n" + MINIMAL, "line 1, key speed: there is no such key"),
        (MINIMAL + "colour = 1\n", "line 5, key networks[0].colour: there is no such key"),
        (
            MINIMAL.replace("64496", '"64496"'),
            "line 4, key networks[0].asn: Expected `int`, got `str`",
        ),
        (MINIMAL.replace('country = "KZ"', ""), "key country: it is missing"),
        (MINIMAL.replace("=", ":", 1), "line 1"),
        (MINIMAL + MINIMAL.partition("\n")[2], "line 2, key networks: 'isp' is there twice"),
        (
            MINIMAL + '[[censors]]\nkind = "magic"\n',
            "line 6, key censors[0].kind: Invalid",
        ),
        (
            MINIMAL + '[[censors]]\nkind = "tls-drop"\n',
            "line 5, key censors[0].names: tls-drop",
        ),
        (
            MINIMAL + '[[censors]]\nkind = "tls-drop"\nnames = ["a.example"]\nnetworks = ["x"]\n',
            "key censors[0].networks: no network is called 'x'",
        ),
        (
            MINIMAL + '[[outages]]\nnetwork = "isp"\nfrom = 2017-06-02T00:00:00\n',
            "key outages[0].from: the time has no zone",
        ),
        (
            MINIMAL + '[[outages]]\nnetwork = "isp"\n'
            "from = 2017-06-02T00:00:00Z\nuntil = 2017-06-01T00:00:00Z\n",
            "key outages[0].until: it ends before it begins",
        ),
        (MINIMAL + '[[downs]]\nhosts = ["x.example"]\n', "key downs[0].hosts: no site is called"),
        (MINIMAL + "loss = 2\n", "key networks[0].loss: it is a share"),
        (MINIMAL + "jitter_ms = -1\n", "key networks[0].jitter_ms: it is negative"),
        (MINIMAL + "mtu = 100\n", "key networks[0].mtu: IPv4 needs 576 bytes"),
        (MINIMAL + "nat64 = true\nnat_seconds = 9\n", "key networks[0].nat64: it goes with"),
        (MINIMAL.replace('"isp"', '"abroad"'), "key networks[0].name: 'abroad' is a name of"),
        (MINIMAL + '[[sites]]\nhost = "a.example"\naddresses = 0\n', "key sites[0].addresses: at"),
        (MINIMAL + '[[sites]]\nhost = "a.example"\nat = ["x"]\n', "key sites[0].at: 'x' is no"),
        (MINIMAL + '[[sites]]\nhost = "a.example"\nplain_443 = true\n', "it needs https = false"),
        (MINIMAL + '[[sites]]\nhost = "a.example"\nstatus = 99\n', "key sites[0].status: 99 is no"),
        (MINIMAL + '[[sites]]\nhost = "a.example"\nports = [0]\n', "key sites[0].ports: a port"),
        (MINIMAL + '[[sites]]\nhost = "a.example"\nbody = "odd"\n', "key sites[0].body: Invalid"),
        (MINIMAL + '[[sites]]\nhost = "a.example"\ncharset = "x"\n', "key sites[0].charset: 'x'"),
        (
            MINIMAL + '[[sites]]\nhost = "a.example"\nrefuse_how = "redirect"\n',
            "key sites[0].refuse_location: refuse_how",
        ),
        (MINIMAL + '[[resolvers]]\nof = "x"\nhow = "dead"\n', "key resolvers[0].of: neither"),
        (MINIMAL + '[[resolvers]]\nhow = "late"\n', "key resolvers[0].delay_ms: a late"),
        (
            MINIMAL + '[[captives]]\nnetwork = "isp"\nportal = "x.example"\n',
            "key captives[0].portal: no site is called 'x.example'",
        ),
        (
            MINIMAL + '[[outages]]\nnetwork = "isp"\nafter = 1\nfrom = 2017-06-02T00:00:00Z\n',
            "key outages[0].after: it goes with neither from nor until",
        ),
        ("start = 2017-06-02T00:00:00Z\nclock_ahead = 5\n" + MINIMAL, "key clock_ahead: it does"),
        ('targets = ["ftp://x/"]\n' + MINIMAL, "key targets: 'ftp://x/' is not a URL"),
    ],
)
def test_a_mistake_is_one_line_naming_file_and_key(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ScenarioError) as raised:
        load_scenario(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


TEXT = """
country = "KZ"
sitewatch.limits = { dns_timeout = 2.0 }

[[sites]]
host = "a.example"

  [[ sites ]]  # the second
host = "b.example"
"status" = 99
headers.Server = "x"

[symptoms]
"tls a.example" = "ok = fine"

[expect]
status = "down"
[expect.browser-like]
status = "fine"
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("country", 2),
        ("sitewatch.limits.dns_timeout", 3),  # within another's line
        ("sites[0].host", 6),
        ("sites[1]", 8),
        ("sites[1].status", 10),
        ("sites[1].headers.Server", 11),
        ("sites[1].names", 8),  # missing: the table's
        ("sites", 5),
        ('symptoms."tls a.example"', 14),
        ("expect.status", 17),
        ("expect.browser-like.status", 19),
        ("start", None),
    ],
)
def test_the_line_of_a_key_is_found(key: str, line: int | None) -> None:
    assert line_of(TEXT, key) == line


@pytest.mark.parametrize(
    "described", [Scenario, Neutral, Network, Site, HelperServer, Outage, Down, Resolver, Captive]
)
def test_every_key_is_documented(described: type[msgspec.Struct]) -> None:
    told = (Path(lab.__file__).parent / "README.md").read_text()
    names = set(described.__struct_encode_fields__) - {"name", "symptoms"}
    assert not {name for name in names if f"`{name}`" not in told and f"[{name}" not in told}


def test_a_span_can_count_from_the_world_s_beginning() -> None:
    begin = datetime(2017, 6, 19, tzinfo=UTC)
    outage = Outage(network="isp", after=10, lasts=5).beginning_at(begin)
    times = [begin.timestamp() + seconds for seconds in (9, 10, 14, 15)]
    assert [outage.active(time) for time in times] == [False, True, True, False]
    for_ever = Outage(network="isp", after=10).beginning_at(begin)
    assert for_ever.active(begin.timestamp() + 1e9)
    assert Outage(network="isp").beginning_at(begin) == Outage(network="isp")


def test_an_unknown_scenario_is_named() -> None:
    with pytest.raises(ScenarioError, match="utopia: no such scenario"):
        load_scenario("utopia")


def test_every_kind_of_censor_has_its_function() -> None:
    assert set(get_args(CensorKind)) == set(KINDS) | {"resolver-lie"}


def test_spans_hold_from_their_beginning_until_just_before_their_end() -> None:
    (censor,) = load_scenario("kazakhstan-2017").censors
    assert censor.since == datetime(2017, 6, 19, 15, 25, tzinfo=UTC)
    assert censor.until == datetime(2017, 7, 5, 6, 40, tzinfo=UTC)
    beginning, end = censor.since.timestamp(), censor.until.timestamp()
    times = (beginning - 1, beginning, end - 1, end)
    assert [censor.active(time) for time in times] == [False, True, True, False]


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    scenario = load_scenario("kazakhstan-2017")
    first, again, other = (make_plan(scenario, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.namespace_of() != other.namespace_of()
    address = first.sites["foreignpolicy.com"].addresses[0]
    assert first.route("altyn", address) == again.route("altyn", address)


@pytest.mark.parametrize("seed", range(5))
def test_addresses_look_public_and_belong_to_one_host(seed: int) -> None:
    plan = make_plan(load_scenario("kazakhstan-2017"), seed)
    owners = plan.namespace_of()
    assert all(ipaddress.ip_address(address).is_global for address in owners)
    assert {"8.8.8.8", "9.9.9.9"} <= set(owners)
    blocks = [address.rpartition(".")[0] for address in plan.server_addresses()]
    # Every site has an operator of its own; client and resolver of a network share one.
    assert len(set(blocks)) == len(blocks)
    shared = plan.sites["silkroad-review.example"].addresses
    assert plan.sites["www.silkroad-review.example"].addresses == shared


def test_a_route_passes_the_censor_before_any_server() -> None:
    plan = make_plan(load_scenario("kazakhstan-2017"), 3)
    for network in plan.networks.values():
        for address in plan.server_addresses():
            route = plan.route(network.name, address)
            assert 1 <= route.censor <= len(route.routers)


def test_a_cdn_can_change_its_address_with_time(tmp_path: Path) -> None:
    text = MINIMAL + '[[sites]]\nhost = "cdn.example"\ncdn = "time"\n'
    site = make_plan(load_scenario(write(tmp_path, text)), 1).sites["cdn.example"]
    answers = [site.answer("8.8.8.8", "isp", float(now)) for now in range(0, 60, 5)]
    assert answers[0] == answers[1] != answers[2]
    assert {one for answer in answers for one in answer} == set(site.addresses)


LOAD_BY_THREADS = """
import sys, threading
from lab.scenario import load_scenario, scenario_names
from lab.zoo_record import Verdict
import msgspec
sys.setswitchinterval(1e-6)
names, together = scenario_names() * 2, threading.Barrier(2 * len(scenario_names()))
def load(name):
    together.wait()
    load_scenario(name)
    msgspec.convert({"status": "down"}, Verdict)
threads = [threading.Thread(target=load, args=(name,)) for name in names]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("loaded")
"""


def test_scenarios_are_loaded_by_many_threads_at_once() -> None:
    """Without a first use before them most of the interpreters crash."""
    for _ in range(3):
        argv = [sys.executable, "-c", LOAD_BY_THREADS]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "loaded\n"), done.stderr
