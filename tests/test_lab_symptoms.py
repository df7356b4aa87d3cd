"""What clients meet inside each scenario: real sockets against real censors and troubles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from lab.network import World
from lab.pki import Pki
from lab.scenario import Scenario, load_scenario
from tests.lab_worlds import (
    SHORT,
    ask_doh,
    ask_helper,
    connect,
    fetch,
    inside,
    lookup,
    lookup_over_tcp,
    shake,
    shake_twice_from_one_port,
    system_lookup,
    walk,
)

pytestmark = pytest.mark.lab

NAME, URL = "watched.example", "https://watched.example/"
NEUTRAL = "www.example.com"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def enter(pki: Pki) -> Iterator[Callable[[str], World]]:
    """Enter worlds by the name of their scenario; they end with the test."""
    with ExitStack() as worlds:

        def enter_one(name: str | Scenario) -> World:
            scenario = load_scenario(name) if isinstance(name, str) else name
            return worlds.enter_context(World(scenario, seed=4, pki=pki))

        yield enter_one


def address_of(world: World, host: str) -> str:
    return world.plan.addresses_of(host)[0]


def question(world: World, url: str, host: str) -> dict[str, object]:
    return {
        "http_request": url,
        "http_request_headers": {"User-Agent": ["test"]},
        "tcp_connect": [f"{address_of(world, host)}:443"],
    }


def test_where_nothing_is_wrong_everything_answers(enter: Callable[[str], World]) -> None:
    world = enter("plain")
    address = address_of(world, NAME)
    (network,) = world.plan.networks.values()
    assert inside(world, "isp", system_lookup, NAME) == [address]
    assert inside(world, "isp", system_lookup, "nobody.example") == "no such name"
    for resolver in (network.resolver, "8.8.8.8", "9.9.9.9"):
        assert inside(world, "isp", lookup, NAME, resolver) == [["NOERROR", address]]
        assert inside(world, "isp", lookup_over_tcp, NAME, resolver) == [address]
    answers = inside(world, "isp", ask_doh, "https://dns.google/dns-query", NAME)
    assert answers == {"POST": [address], "GET": [address]}
    page = inside(world, "isp", fetch, f"http://{NAME}/")
    assert (page["status"], page["url"], len(page["text"])) == (200, URL, 4000)
    for url in (*world.scenario.neutral.home, *world.scenario.neutral.abroad):
        assert inside(world, "isp", fetch, url)["status"] == 200


def test_an_unknown_server_name_gets_the_address_own_certificate(
    enter: Callable[[str], World],
) -> None:
    world = enter("plain")
    went = inside(world, "isp", shake, address_of(world, NAME), NEUTRAL)
    assert "Hostname mismatch" in went
    assert inside(world, "isp", connect, address_of(world, NAME), 8443) == "refused"


def test_a_server_name_is_met_with_silence(enter: Callable[[str], World]) -> None:
    world = enter("tls-drop")
    address = address_of(world, NAME)
    assert inside(world, "isp", connect, address, 443) == "ok"
    assert inside(world, "isp", shake, address, NAME, patience=SHORT) == "timeout"
    assert inside(world, "isp", shake, address, "WWW.Watched.EXAMPLE", patience=SHORT) == "timeout"
    assert (
        inside(world, "isp", shake, address_of(world, NEUTRAL), NAME, patience=SHORT) == "timeout"
    )
    assert "mismatch" in inside(world, "isp", shake, address, NEUTRAL)
    assert inside(world, "isp", shake, address_of(world, NEUTRAL), NEUTRAL) == "ok"
    answer = inside(
        world, "isp", ask_helper, world.scenario.helpers[0].url, question(world, URL, NAME)
    )
    assert answer["http_request"]["status_code"] == 200
    assert answer["tls_handshake"][f"{address}:443"]["status"] is True


def test_a_hello_in_many_segments_is_still_recognised(enter: Callable[[str], World]) -> None:
    world = enter("tls-drop")
    address = address_of(world, NAME)
    assert inside(world, "isp", shake, address, NAME, 12, patience=SHORT) == "timeout"
    assert "mismatch" in inside(world, "isp", shake, address, NEUTRAL, 12)


def test_a_cut_connection_stays_cut_for_its_four_tuple(enter: Callable[[str], World]) -> None:
    world = enter("tls-drop")
    address = address_of(world, NEUTRAL)
    names = [NAME, NEUTRAL]
    went = inside(world, "isp", shake_twice_from_one_port, address, names, patience=SHORT)
    assert went == ["timeout", "timeout"]
    assert inside(world, "isp", shake, address, NEUTRAL) == "ok"
    # The penalty is over in the scenario's time, which can be moved.
    world.set_time(datetime.now(UTC).timestamp() + 300)
    again = inside(world, "isp", shake_twice_from_one_port, address, [NEUTRAL])
    assert again == ["ok"]


def test_a_server_name_is_met_with_a_reset(enter: Callable[[str], World]) -> None:
    world = enter("tls-reset")
    address = address_of(world, NAME)
    assert inside(world, "isp", connect, address, 443) == "ok"
    assert inside(world, "isp", shake, address, NAME) == "reset"
    assert "mismatch" in inside(world, "isp", shake, address, NEUTRAL)


def test_a_forged_answer_races_the_true_one(enter: Callable[[str], World]) -> None:
    world = enter("dns-forged-race")
    forged, true = address_of(world, "www.iana.org"), address_of(world, NAME)
    replies = inside(world, "isp", lookup, NAME, "8.8.8.8")
    assert replies == [["NOERROR", forged], ["NOERROR", true]]
    assert inside(world, "isp", system_lookup, NAME) == [forged]
    answers = inside(world, "isp", ask_doh, "https://dns.quad9.net/dns-query", NAME)
    assert answers["POST"] == [true]


def test_a_forged_answer_takes_the_place_of_the_true_one(enter: Callable[[str], World]) -> None:
    world = enter("dns-forged")
    (network,) = world.plan.networks.values()
    for resolver in (network.resolver, "9.9.9.9"):
        assert inside(world, "isp", lookup, NAME, resolver) == [["NOERROR", "10.10.34.35"]]
    assert inside(world, "isp", lookup, NEUTRAL, "9.9.9.9") == [
        ["NOERROR", address_of(world, NEUTRAL)]
    ]


def test_only_the_operators_resolver_denies_the_name(enter: Callable[[str], World]) -> None:
    world = enter("dns-nxdomain")
    (network,) = world.plan.networks.values()
    assert inside(world, "isp", lookup, NAME, network.resolver) == [["NXDOMAIN"]]
    assert inside(world, "isp", system_lookup, NAME) == "no such name"
    assert inside(world, "isp", lookup, NAME, "8.8.8.8") == [["NOERROR", address_of(world, NAME)]]


def test_a_site_that_is_down_is_down_for_helpers_too(enter: Callable[[str], World]) -> None:
    world = enter("site-down")
    assert inside(world, "isp", connect, address_of(world, NAME), 443, patience=SHORT) == "timeout"
    answer = inside(
        world, "isp", ask_helper, world.scenario.helpers[1].url, question(world, URL, NAME)
    )
    assert answer["dns"] == {"failure": None, "addrs": [address_of(world, NAME)]}
    assert list(answer["tcp_connect"].values()) == [
        {"status": False, "failure": "generic_timeout_error"}
    ]
    assert answer["http_request"]["failure"] == "generic_timeout_error"


def test_a_helper_says_what_it_met_in_the_words_of_its_protocol(
    enter: Callable[[str], World],
) -> None:
    world = enter("plain")
    helper, endpoint = world.scenario.helpers[0].url, f"{address_of(world, NEUTRAL)}:443"
    unknown = {"http_request": "https://nobody.example/", "tcp_connect": [endpoint, "10.0.0.1:443"]}
    answer = inside(world, "isp", ask_helper, helper, unknown)
    assert answer["dns"] == {"failure": "dns_name_error", "addrs": []}
    assert answer["tcp_connect"] == {endpoint: {"status": True, "failure": None}}
    assert answer["tls_handshake"][endpoint]["failure"] == "ssl_invalid_hostname"
    assert answer["http_request"]["failure"] == "dns_lookup_error"
    flags = {address: info["flags"] for address, info in answer["ip_info"].items()}
    assert flags == {address_of(world, NEUTRAL): 1, "10.0.0.1": 1 | 4}
    redirected = {"http_request": f"http://{NAME}/"}
    answer = inside(world, "isp", ask_helper, helper, redirected)
    assert answer["http_request"]["status_code"] == 200
    assert sorted(answer["tcp_connect"]) == sorted(
        f"{address_of(world, NAME)}:{port}" for port in (80, 443)
    )


def test_a_geo_block_refuses_inside_valid_tls_and_serves_helpers(
    enter: Callable[[str], World],
) -> None:
    world = enter("geo-block")
    page = inside(world, "isp", fetch, URL)
    assert page["status"] == 403
    assert "not available in your country" in page["text"]
    answer = inside(
        world, "isp", ask_helper, world.scenario.helpers[0].url, question(world, URL, NAME)
    )
    assert answer["http_request"]["status_code"] == 200
    assert answer["http_request"]["title"] == f"Welcome to {NAME}"


def test_every_resolver_gives_another_address_of_a_cdn(enter: Callable[[str], World]) -> None:
    world = enter("cdn")
    (network,) = world.plan.networks.values()
    found = [
        inside(world, "isp", lookup, NAME, resolver)[0][1]
        for resolver in (network.resolver, "8.8.8.8", "9.9.9.9")
    ]
    assert len(set(found)) == 3
    assert [inside(world, "isp", shake, address, NAME) for address in found] == ["ok"] * 3


def test_a_line_that_is_cut_reaches_nothing(enter: Callable[[str], World]) -> None:
    world = enter("offline")
    (network,) = world.plan.networks.values()
    assert inside(world, "isp", lookup, NEUTRAL, network.resolver, patience=SHORT) == []
    assert (
        inside(world, "isp", connect, address_of(world, "www.post.example"), 443, patience=SHORT)
        == "timeout"
    )


def test_a_dead_helper_keeps_silent(enter: Callable[[str], World]) -> None:
    world = enter("helper-dead")
    address = address_of(world, "helper-one.example")
    assert inside(world, "isp", connect, address, 443, patience=SHORT) == "timeout"


def test_the_history_of_june_2017_can_be_played(enter: Callable[[str], World]) -> None:
    world = enter("kazakhstan-2017")
    url = "https://foreignpolicy.com/"
    before, during = datetime(2017, 6, 19, 15, 20, tzinfo=UTC), datetime(2017, 6, 20, tzinfo=UTC)
    world.set_time(before.timestamp())
    page = inside(world, "altyn", fetch, url)
    assert page["status"] == 200
    assert 0 <= (parsedate_to_datetime(page["date"]) - before).total_seconds() < 20
    world.set_time(during.timestamp())
    assert inside(world, "altyn", fetch, url, patience=SHORT) == {"failure": "timeout"}
    assert inside(world, "saryarka", fetch, url, patience=SHORT) == {"failure": "timeout"}
    assert inside(world, "ulytau", fetch, url)["status"] == 200
    world.set_time(datetime(2017, 7, 5, 6, 41, tzinfo=UTC).timestamp())
    assert inside(world, "altyn", fetch, url)["status"] == 200


def test_the_innocent_sites_of_june_2017_behave_as_written(enter: Callable[[str], World]) -> None:
    world = enter("kazakhstan-2017")
    world.set_time(datetime(2017, 6, 24, 12, tzinfo=UTC).timestamp())
    assert inside(world, "altyn", fetch, "https://steppe-herald.example/", patience=SHORT) == {
        "failure": "timeout"
    }
    assert inside(world, "altyn", fetch, "https://continental-tv.example/")["status"] == 403
    village = inside(world, "altyn", fetch, "http://village-notes.example/")
    assert (village["status"], village["url"]) == (200, "http://village-notes.example/")
    apex = inside(world, "altyn", fetch, "https://silkroad-review.example/")
    assert (apex["status"], apex["url"]) == (200, "https://www.silkroad-review.example/")
    world.set_time(datetime(2017, 6, 27, 20, tzinfo=UTC).timestamp())
    assert inside(world, "ulytau", system_lookup, NEUTRAL) == "no answer"
    assert inside(world, "altyn", fetch, f"https://{NEUTRAL}/")["status"] == 200


def test_routers_on_the_way_answer_when_the_ttl_runs_out(enter: Callable[[str], World]) -> None:
    world = enter("plain")
    address = address_of(world, NAME)
    routers = list(world.plan.route("isp", address).routers)
    assert inside(world, "isp", walk, address, len(routers) + 1) == [*routers, "ok"]


OTHER_KINDS = """
country = "KZ"
targets = ["http://page.example/", "http://reset.example/", "http://drop.example/",
  "https://hidden.example/", "https://refusing.example/", "https://mirror.example/"]
[[networks]]
name = "isp"
asn = 64496
latency_ms = 5
[[sites]]
host = "mirror.example"
echo = true
[[censors]]
kind = "http-page"
names = ["page.example"]
page = "<title>Blocked by order</title>"
[[censors]]
kind = "http-reset"
names = ["reset.example"]
[[censors]]
kind = "http-drop"
names = ["drop.example"]
[[censors]]
kind = "address-drop"
hosts = ["hidden.example"]
[[downs]]
hosts = ["refusing.example"]
how = "refuse"
"""


def test_a_new_scenario_needs_no_new_code(enter: Callable[..., World], tmp_path: Path) -> None:
    path = tmp_path / "others.toml"
    path.write_text(OTHER_KINDS)
    world = enter(load_scenario(path))
    page = inside(world, "isp", fetch, "http://page.example/")
    assert (page["status"], page["text"]) == (200, "<title>Blocked by order</title>")
    assert inside(world, "isp", fetch, "http://reset.example/") == {"failure": "reset"}
    assert inside(world, "isp", fetch, "http://drop.example/", patience=SHORT) == {
        "failure": "timeout"
    }
    assert (
        inside(world, "isp", connect, address_of(world, "hidden.example"), 443, patience=SHORT)
        == "timeout"
    )
    assert inside(world, "isp", connect, address_of(world, "refusing.example"), 443) == "refused"
    visitor = world.plan.networks["isp"].client
    assert visitor in inside(world, "isp", fetch, "https://mirror.example/")["text"]
