"""Boxes before clients, bad helpers, wrong clocks, lines that die: what plain clients meet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from lab.network import World
from lab.scenario import load_scenario
from tests.lab_clients import issuer, raw_https
from tests.lab_worlds import (
    SHORT,
    ask_helper,
    connect,
    fetch,
    inside,
    lookup,
    require_lab,
    shake,
)

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("lab-boxes")]

NAME, URL = "watched.example", "https://watched.example/"
PORTAL, FREE = "login.wifi.example", "www.wikipedia.org"
SHIELD = "Shield Root"

BOXES = """
country = "KZ"
targets = ["https://watched.example/", "http://open.example/"]
dual_stack = true
networks = [
  {name = "shielded", asn = 64496, antivirus = "O=Shield s.r.o., CN=Shield Root"},
  {name = "hotel", asn = 64497},
  {name = "unpaid", asn = 64498, nat_seconds = 30},
  {name = "plain", asn = 64499, ipv6 = "works"},
]
[[sites]]
host = "login.wifi.example"
place = "home"
http = "serve"
title = "Please sign in"
[[sites]]
host = "self-signed.example"
certificate = "self-signed"
[[captives]]
network = "hotel"
portal = "login.wifi.example"
https = "portal"
dns = "portal"
[[captives]]
network = "unpaid"
portal = "login.wifi.example"
free = ["www.wikipedia.org"]
https = "refuse"
[[censors]]
kind = "tls-drop"
names = ["cut.example"]
networks = ["shielded"]
[[helpers]]
url = "https://good.example/"
[[helpers]]
url = "https://liar.example/"
lies = "accessible"
[[helpers]]
url = "https://gloomy.example/"
lies = "down"
[[helpers]]
url = "https://halting.example/"
fails = ["dns", "tls"]
[[helpers]]
url = "https://broken.example/"
fails = ["all"]
[[helpers]]
url = "https://slow.example/"
delay_ms = 1500
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require_lab()
    path = tmp_path_factory.mktemp("boxes") / "boxes.toml"
    path.write_text(BOXES)
    with World(load_scenario(path), seed=4) as running:
        yield running


def at(world: World, host: str) -> str:
    return world.plan.addresses_of(host)[0]


# --- antivirus ----------------------------------------------------------------------------------


def test_an_antivirus_opens_up_all_tls_and_the_machine_trusts_it(world: World) -> None:
    for host in (NAME, FREE):
        assert inside(world, "shielded", issuer, at(world, host), host) == {"issuer": SHIELD}
    page = inside(world, "shielded", fetch, URL)
    assert (page["status"], len(page["text"])) == (200, 4000)
    assert inside(world, "plain", issuer, at(world, NAME), NAME)["issuer"] != SHIELD
    # What a program brings with it knows nothing of that authority.
    brought = world.config_path("shielded").read_text()
    assert SHIELD not in brought
    assert "roots.pem" not in brought


def test_what_an_antivirus_asks_for_still_passes_the_censor(world: World) -> None:
    went = inside(world, "shielded", shake, at(world, NAME), "cut.example", patience=SHORT)
    assert went == "timeout"


# --- gates ------------------------------------------------------------------------------------


def test_a_portal_takes_every_name_and_page_to_itself(world: World) -> None:
    own = world.plan.networks["hotel"].resolver
    assert inside(world, "hotel", lookup, NAME, own) == [["NOERROR", at(world, PORTAL)]]
    assert inside(world, "hotel", lookup, NAME, "8.8.8.8") == [["NOERROR", at(world, PORTAL)]]
    page = inside(world, "hotel", fetch, "http://open.example/")
    assert (page["url"], page["status"]) == (f"http://{PORTAL}/", 200)
    assert "Please sign in" in page["text"]
    # By the true addresses too, and over TLS with the portal's certificate.
    direct = inside(world, "hotel", raw_https, f"http://{at(world, 'open.example')}/")
    assert direct["headers"]["Location"] == f"http://{PORTAL}/"
    assert "Hostname mismatch" in inside(world, "hotel", shake, at(world, NAME), NAME)
    assert inside(world, "hotel", shake, at(world, NAME), PORTAL) == "ok"
    assert inside(world, "hotel", connect, at(world, NAME), 8443, patience=SHORT) == "timeout"


def test_an_unpaid_plan_reaches_what_is_free_behind_a_nat_too(world: World) -> None:
    own = world.plan.networks["unpaid"].resolver
    assert inside(world, "unpaid", lookup, NAME, own) == [["NOERROR", at(world, NAME)]]
    assert inside(world, "unpaid", connect, at(world, NAME), 443) == "refused"
    assert inside(world, "unpaid", fetch, f"https://{FREE}/")["status"] == 200
    page = inside(world, "unpaid", fetch, "http://open.example/")
    assert page["url"] == f"http://{PORTAL}/"
    assert inside(world, "unpaid", lookup, NAME, "8.8.8.8", patience=SHORT) == []


# --- helpers ----------------------------------------------------------------------------------


def asked(world: World, helper: str, url: str, *endpoints: str) -> dict[str, Any]:
    question = {"http_request": url, "tcp_connect": list(endpoints)}
    answer: dict[str, Any] = inside(
        world, "plain", ask_helper, f"https://{helper}.example/", question
    )
    return answer


def test_helpers_look_at_both_families_and_may_lie_or_fail_in_parts(world: World) -> None:
    (six,) = world.plan.sites[NAME].addresses6
    good = asked(world, "good", URL)
    assert sorted(good["dns"]["addrs"]) == sorted([at(world, NAME), six])
    assert good["tls_handshake"][f"[{six}]:443"]["status"] is True
    liar = asked(world, "liar", "https://nobody.example/")
    assert liar["dns"]["addrs"]
    assert liar["http_request"]["status_code"] == 200
    assert asked(world, "gloomy", URL)["http_request"]["failure"] == "generic_timeout_error"
    halting = asked(world, "halting", URL)
    assert (halting["dns"]["addrs"], halting["tls_handshake"]) == ([], {})
    assert halting["http_request"]["status_code"] == 200


def test_helpers_may_be_broken_or_slow(world: World) -> None:
    broken = inside(world, "plain", fetch, "https://broken.example/")
    assert broken["status"] == 500
    assert inside(world, "plain", fetch, "https://slow.example/", patience=0.8) == {
        "failure": "timeout"
    }
    assert inside(world, "plain", fetch, "https://slow.example/")["status"] == 200


# --- time -------------------------------------------------------------------------------------

AHEAD = """
country = "KZ"
clock_ahead = 31536000
targets = ["https://watched.example/", "http://dated.example/"]
networks = [{name = "isp", asn = 64496}, {name = "dying", asn = 64497}]
[[outages]]
network = "dying"
after = 3600
lasts = 60
"""


def test_a_wrong_clock_shows_in_dates_and_certificates_and_lines_die_on_time(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ahead.toml"
    path.write_text(AHEAD)
    begun = datetime.now(UTC).timestamp() + 31536000
    with World(load_scenario(path), seed=4) as world:
        page = inside(world, "isp", raw_https, "http://dated.example/")
        went = inside(world, "isp", issuer, at(world, NAME), NAME)
        assert went == {"failure": "certificate is not yet valid"}
        helper = world.scenario.helpers[0].url.replace("https", "http")
        answer = inside(world, "isp", ask_helper, helper, {"http_request": URL})
        assert answer["http_request"]["status_code"] == 200  # abroad the clocks are right
        address, found = at(world, NAME), []
        for after in (3500, 3630, 3700):
            world.set_time(begun + after)
            found.append(inside(world, "dying", connect, address, 443, patience=1.0))
    assert found == ["ok", "timeout", "ok"]
    said = parsedate_to_datetime(page["headers"]["Date"]).timestamp()
    assert abs(said - begun) < 60
