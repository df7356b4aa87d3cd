"""Scenario files: what they say, what is refused, and the plans drawn from them."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from lab.censor import KINDS
from lab.plan import make_plan
from lab.scenario import CensorKind, ScenarioError, load_scenario, scenario_names

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
        ("speed = 3\n" + MINIMAL, "unknown field `speed`"),
        (MINIMAL + "colour = 1\n", "key networks[0]: Object contains unknown field `colour`"),
        (MINIMAL.replace("64496", '"64496"'), "key networks[0].asn: Expected `int`, got `str`"),
        (MINIMAL.replace('country = "KZ"', ""), "missing required field `country`"),
        (MINIMAL.replace("=", ":", 1), "line 1"),
        (MINIMAL + MINIMAL.partition("\n")[2], "key networks: 'isp' is there twice"),
        (MINIMAL + '[[censors]]\nkind = "magic"\n', "key censors[0].kind: Invalid enum value"),
        (MINIMAL + '[[censors]]\nkind = "tls-drop"\n', "key censors[0].names: tls-drop needs"),
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
