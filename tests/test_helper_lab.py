"""The helper command at a host of the lab: asked by a plain client and by our own prober."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.network import World
from lab.scenario import load_scenario
from tests.lab_worlds import ask_helper, inside

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("helper")]

PORTAL = "http://10.0.0.1/"
SCENARIO = f"""
country = "KZ"
targets = ["https://watched.example/"]
networks = [{{name = "isp", asn = 64496}}]
[[sites]]
host = "watched.example"
title = "The watched site"
[[sites]]
host = "inside.example"
at = ["10.1.2.3"]
[[sites]]
host = "astray.example"
redirect = "{PORTAL}"
https = false
http = "serve"
[[sites]]
host = "expired.example"
certificate = "expired"
[[helpers]]
url = "https://helper.example/"
command = [
  "{sys.executable}", "-m", "sitewatch", "helper", "--address", "{{address}}", "--port", "443",
  "--certificate", "{{certificate}}", "--key", "{{key}}", "--ca-bundle", "{{ca}}",
]
[[censors]]
kind = "tls-drop"
names = ["watched.example"]
[sitewatch.limits]
dns_timeout = 2.0
connect_timeout = 2.0
tls_timeout = 2.0
http_timeout = 10.0
"""
HELPER = "https://helper.example/"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path = tmp_path_factory.mktemp("helper") / "helper.toml"
    path.write_text(SCENARIO)
    with World(load_scenario(path), seed=1) as made:
        yield made


def test_it_answers_a_plain_client(world: World) -> None:
    address = world.plan.sites["watched.example"].addresses[0]
    question = {
        "http_request": "https://watched.example/",
        "http_request_headers": {},
        "tcp_connect": [f"{address}:443", f"{address}:80"],
    }
    answer = inside(world, "isp", ask_helper, HELPER, question, patience=25)
    assert answer["dns"] == {"failure": None, "addrs": [address]}
    assert answer["tcp_connect"][f"{address}:443"] == {"status": True, "failure": None}
    assert answer["tls_handshake"] == {
        f"{address}:443": {"server_name": "watched.example", "status": True, "failure": None}
    }
    assert answer["http_request"]["title"] == "The watched site"
    assert answer["http_request"]["status_code"] == 200
    assert answer["ip_info"][address]["flags"] == 1 + 2 + 8
    assert len(answer["x_sitewatch"]["spki"][f"{address}:443"]) == 64


def test_it_says_how_sites_fail(world: World) -> None:
    asked = {
        url: inside(world, "isp", ask_helper, HELPER, {"http_request": url}, patience=25)
        for url in ("https://expired.example/", "https://nobody.example/")
    }
    expired, nobody = asked.values()
    [handshake] = expired["tls_handshake"].values()
    assert handshake["failure"] == "ssl_invalid_certificate"
    assert expired["http_request"]["failure"] == "unknown_error"
    assert nobody["dns"] == {"failure": "dns_name_error", "addrs": []}
    assert nobody["http_request"]["failure"] == "dns_lookup_error"


def test_it_never_goes_inside_nor_to_itself(world: World) -> None:
    for url in ("https://inside.example/", HELPER):
        answer = inside(world, "isp", ask_helper, HELPER, {"http_request": url}, patience=25)
        assert len(answer["dns"]["addrs"]) == 1
        assert answer["tcp_connect"] == answer["tls_handshake"] == {}
        assert answer["http_request"]["failure"] == "unknown_error"
    question = {"http_request": "http://astray.example/"}
    astray = inside(world, "isp", ask_helper, HELPER, question, patience=25)
    assert any(each["status"] for each in astray["tcp_connect"].values())
    assert astray["http_request"]["failure"] == "unknown_error"


def test_our_prober_takes_its_word(world: World, tmp_path: Path) -> None:
    database = str(tmp_path / "measured.db")
    argv = [sys.executable, "-m", "sitewatch", "measure", "--json", "--database", database]
    with world.popen("isp", argv, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=60)
    [line] = [json.loads(each) for each in output.splitlines() if b'"follows":null' in each]
    [helper] = line["helpers"]
    assert helper["answered"] is True
    assert helper["exchange"]["title"] == "The watched site"
    assert all(each["status"] for each in helper["handshake"].values())
    # What only our helper says; one helper alone agrees with nobody.
    address = world.plan.sites["watched.example"].addresses[0]
    assert len(helper["keys"][f"{address}:443"]) == 64
    assert len(helper["exchange"]["simhash"]) == 16
    assert helper["tool"].startswith("sitewatch ")
    assert line["agreement"] is None
    # The name is cut off at home and works abroad; one helper alone never makes it blocked.
    assert line["verdict"]["status"] == "inconclusive"
    assert line["verdict"]["certainty"] == "suspected"
