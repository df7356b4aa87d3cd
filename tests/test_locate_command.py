"""`sitewatch locate` in the lab: the hop by name and by address, and a name once a day."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.network import World
from lab.scenario import load_scenario
from tests.lab_worlds import require_lab

QUICK = """
country = "KZ"
targets = ["https://hop5.example/"]
[[networks]]
name = "home"
asn = 64496
[[censors]]
kind = "{kind}"
{whom}
hop = 5
[sitewatch.limits]
connect_timeout = 1.5
tls_timeout = 1.0
dns_timeout = 1.0
"""
NAMES, HOSTS = 'names = ["hop5.example"]', 'hosts = ["hop5.example"]'


def located_in(folder: Path, kind: str, whom: str, *options: str) -> tuple[dict[str, object], str]:
    """Return what the command prints in a world with a censor, and what it complains of after."""
    (folder / "quick.toml").write_text(QUICK.format(kind=kind, whom=whom))
    argv = [sys.executable, "-m", "sitewatch", "locate", *options]
    argv += ["--database", str(folder / "located.db")]
    with World(load_scenario(folder / "quick.toml"), seed=3) as world:
        url = "https://hop5.example/"
        process = world.popen(
            world.clients[0],
            [*argv, "--json", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
        again = world.popen(world.clients[0], [*argv, url], stderr=subprocess.PIPE)
        _, complaint = again.communicate(timeout=120)
    found: dict[str, object] = json.loads(output)["located"]
    return found, complaint.decode() if again.returncode == 1 else ""


@pytest.mark.lab
@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "whom", "tier", "what"),
    [
        ("tls-drop", NAMES, "probing", "swallowed"),
        ("tls-reset", NAMES, "conspicuous", "answered"),
        ("dns-race", f'{NAMES}\nanswers = ["nxdomain"]', "conspicuous", "answered"),
    ],
)
def test_the_command_names_the_hop_and_shows_a_name_once_a_day(
    tmp_path: Path, kind: str, whom: str, tier: str, what: str
) -> None:
    require_lab()
    found, complaint = located_in(tmp_path, kind, whom, "--tier", tier)
    assert (found["what"], found["hop"], found["by_name"]) == (what, 5, True)
    assert "today" in complaint


@pytest.mark.lab
@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("address-drop", "address-swallowed"),
        ("address-refuse", "address-answered"),
        ("address-reset", "address-answered"),
        ("address-unreachable", "address-answered"),
    ],
)
def test_the_command_names_the_hop_at_which_an_address_is_forbidden(
    tmp_path: Path, kind: str, what: str
) -> None:
    require_lab()
    found, _ = located_in(tmp_path, kind, HOSTS)
    assert (found["what"], found["hop"]) == (what, 5)
