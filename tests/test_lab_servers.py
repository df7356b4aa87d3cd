"""Servers of the lab: what plain clients meet at sites and resolvers that misbehave or differ."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.network import LabUnavailable, World
from lab.scenario import load_scenario
from tests.lab_clients import ask, fetch2, fetch3, issuer, raw_https, several
from tests.lab_worlds import (
    SHORT,
    ask_doh,
    connect,
    inside,
    lookup_over_tcp,
    require_lab,
    shake,
)

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("lab-servers")]

SERVERS = """
country = "KZ"
networks = [
  {name = "isp", asn = 64496},
  {name = "late", asn = 64497},
  {name = "dead", asn = 64498},
  {name = "cut", asn = 64499},
  {name = "home", asn = 64500, home_resolver = true},
  {name = "away", asn = 64501, country = "NL"},
  {name = "old", asn = 64502, old_roots = true},
]
[[resolvers]]
of = "late"
how = "late"
delay_ms = 700
[[resolvers]]
of = "dead"
how = "dead"
[[resolvers]]
of = "cut"
how = "truncate"
[[resolvers]]
of = "home"
how = "filter"
names = ["ads.example", "h2.example"]
[[resolvers]]
of = "home"
how = "filter"
names = ["adult.example"]
answers = ["nxdomain"]
[[downs]]
hosts = ["gone.example"]
how = "nxdomain"
[[downs]]
hosts = ["unreachable.example"]
how = "unreachable"
"""

# What each site is like; the host is the key with ".example".
SITES = {
    "h2": "http2 = true\nhttps_record = true\nsize = 300000",
    "h3": "http3 = true\nhttp2 = true\nsize = 300000",
    "many": "addresses = 60",
    "alias": 'cname = ["www.alias.example", "edge.cdn.example"]',
    "by-asker": 'cdn = "asker"',
    "gone": "",
    "unreachable": "",
    "expired": 'certificate = "expired"',
    "future": 'certificate = "future"',
    "self-signed": 'certificate = "self-signed"',
    "wrong-name": 'certificate = "wrong-name"',
    "unknown": 'certificate = "unknown-authority"',
    "incomplete": 'certificate = "incomplete"',
    "newer": "newer_root = true",
    "old-tls": 'tls = "old"',
    "picky": 'tls = "no-common-cipher"',
    "rude-alert": 'unknown_name = "alert"',
    "rude-reset": 'unknown_name = "reset"',
    "rude-close": 'unknown_name = "close"',
    "rude-silence": 'unknown_name = "silence"',
    "geo-alert": 'refuse_countries = ["KZ"]\nrefuse_how = "tls-alert"',
    "geo-reset": 'refuse_countries = ["KZ"]\nrefuse_how = "tls-reset"',
    "geo-silence": 'refuse_countries = ["KZ"]\nrefuse_how = "silence"',
    "geo-refuse": 'refuse_countries = ["KZ"]\nrefuse_how = "refuse"',
    "geo-451": 'refuse_countries = ["KZ"]\nrefuse_status = 451',
    "geo-captcha": 'refuse_countries = ["KZ"]\nrefuse_how = "captcha"',
    "geo-redirect": 'refuse_countries = ["KZ"]\nrefuse_how = "redirect"\n'
    'refuse_location = "https://sorry.example/"',
    "plain-443": 'https = false\nplain_443 = true\nhttp = "serve"\nports = [8080]',
    "http-only": 'https = false\nhttp = "serve"',
    "captcha": "captcha = true",
    "parked": "parked = true",
    "loop": 'redirect = "https://loop.example/"\nredirect_status = 302',
    "lost": 'redirect = "http:///"',
    "changing": "changing = true",
    "untitled": "no_title = true",
    "cyrillic": 'title = "Новости"\nlanguage = "ru"\ncharset = "windows-1251"',
    "endless": 'body = "endless"',
    "bomb": 'body = "bomb"',
    "slow": 'body = "slow"\nrate = 20000\nsize = 8000',
    "stall": 'body = "stall"',
    "cut": 'body = "cut"',
    "broken-off": 'body = "reset"\nhttp = "serve"',
    "program": f'https = false\nports = [8080]\ncommand = ["{sys.executable}", "-m", '
    '"http.server", "--bind", "{address}", "--directory", "/proc/self/net", "8080"]',
    "at-home": 'at = ["10.10.34.35"]\nhttp = "serve"\nhttps = false',
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require_lab()
    path = tmp_path_factory.mktemp("servers") / "servers.toml"
    sites = [f'[[sites]]\nhost = "{name}.example"\n{text}\n' for name, text in SITES.items()]
    path.write_text(SERVERS + "\n".join(sites))
    with World(load_scenario(path), seed=4) as running:
        yield running


def at(world: World, name: str) -> str:
    return world.plan.sites[f"{name}.example"].addresses[0]


def resolver_of(world: World, network: str) -> str:
    return world.plan.networks[network].resolver


def all_inside(world: World, client: str, calls: list[Any]) -> list[Any]:
    """Do several things in one process: (function, arguments...) or (seconds, function, ...)."""
    written = []
    for call in calls:
        patience, function, *arguments = call if isinstance(call[0], float) else (10.0, *call)
        written.append((function.__name__, arguments, patience))
    found: list[Any] = inside(world, client, several, written)
    return found


# --- the name system --------------------------------------------------------------------------


def test_resolvers_can_be_late_dead_or_cut_their_answers_off(world: World) -> None:
    name, h2 = "h2.example", at(world, "h2")
    late, dead, cut = (resolver_of(world, network) for network in ("late", "dead", "cut"))
    answers = all_inside(
        world,
        "isp",
        [
            (ask, name, "A", late),
            (0.4, ask, name, "A", late),
            (SHORT, ask, name, "A", dead),
            (ask, name, "A", cut),
        ],
    )
    assert answers[0]["A"] == [h2]
    assert answers[1] == answers[2] == {"failure": "timeout"}
    assert answers[3] == {"code": "NOERROR", "cut off": True}
    assert inside(world, "cut", lookup_over_tcp, name, cut) == [h2]


def test_an_answer_longer_than_a_datagram_is_cut_off_and_whole_over_tcp(world: World) -> None:
    answer = inside(world, "isp", ask, "many.example", "A", "8.8.8.8")
    assert (answer["cut off"], answer.get("A")) == (True, None)
    whole = inside(world, "isp", lookup_over_tcp, "many.example", "8.8.8.8")
    assert sorted(whole) == sorted(world.plan.sites["many.example"].addresses)


def test_a_filter_at_home_answers_at_a_private_address(world: World) -> None:
    box = resolver_of(world, "home")
    assert box.startswith("192.168.")
    asked = [("x.ads.example", box), ("adult.example", box), ("h3.example", box)]
    asked.append(("h2.example", "8.8.8.8"))
    calls = [(ask, name, "A", server) for name, server in asked]
    ads, adult, h3, h2 = all_inside(world, "home", calls)
    assert ads["A"] == ["0.0.0.0"]
    assert adult["code"] == "NXDOMAIN"
    assert (h3["A"], h2["A"]) == ([at(world, "h3")], [at(world, "h2")])


def test_aliases_service_records_and_names_that_tell_who_asks(world: World) -> None:
    own = resolver_of(world, "isp")
    answer, edge, service, told, whoami = all_inside(
        world,
        "isp",
        [
            (ask, "alias.example", "A", "8.8.8.8"),
            (ask, "edge.cdn.example", "A", "8.8.8.8"),
            (ask, "h2.example", "HTTPS", "8.8.8.8"),
            (ask, "o-o.myaddr.l.google.com", "TXT", own),
            (ask, "whoami.v4.powerdns.org", "A", own),
        ],
    )
    assert answer["CNAME"] == ["www.alias.example.", "edge.cdn.example."]
    assert answer["A"] == edge["A"] == [at(world, "alias")]
    assert service["HTTPS"] == [f'1 . alpn="h2" ipv4hint="{at(world, "h2")}"']
    assert told["TXT"] == [f'"{own}"']
    assert whoami["A"] == [own]


def test_a_cdn_answers_each_network_with_an_address_of_its_own(world: World) -> None:
    found = [
        inside(world, network, ask, "by-asker.example", "A", "8.8.8.8")["A"][0]
        for network in ("isp", "away")
    ]
    assert len(set(found)) == 2
    assert inside(world, "isp", shake, found[1], "by-asker.example") == "ok"


def test_a_name_can_be_gone_for_everybody_and_a_host_unreachable(world: World) -> None:
    for resolver in (resolver_of(world, "isp"), "9.9.9.9"):
        assert inside(world, "isp", ask, "gone.example", "A", resolver)["code"] == "NXDOMAIN"
    assert "No route to host" in inside(world, "isp", connect, at(world, "unreachable"), 443)


# --- versions of HTTP -------------------------------------------------------------------------


def test_sites_and_encrypted_resolvers_speak_http_2(world: World) -> None:
    page = inside(world, "isp", fetch2, "https://h2.example/")
    assert (page["version"], page["status"], page["bytes"]) == ("HTTP/2", 200, 300000)
    assert inside(world, "isp", fetch2, "https://newer.example/")["version"] == "HTTP/1.1"
    resolver = inside(world, "isp", fetch2, "https://dns.google/dns-query")
    assert (resolver["version"], resolver["status"]) == ("HTTP/2", 400)
    answers = inside(world, "isp", ask_doh, "https://dns.google/dns-query", "h2.example")
    assert answers["POST"] == [at(world, "h2")]


def test_sites_speak_http_3_and_say_so(world: World) -> None:
    pytest.importorskip("aioquic")
    page = inside(world, "isp", fetch3, at(world, "h3"), "h3.example")
    assert page == {"status": 200, "bytes": 300000}
    over_tcp = inside(world, "isp", fetch2, "https://h3.example/")
    assert over_tcp["headers"]["alt-svc"] == 'h3=":443"; ma=3600'


# --- TLS --------------------------------------------------------------------------------------


FAILURES = {
    "expired": "certificate has expired",
    "future": "certificate is not yet valid",
    "self-signed": "self-signed certificate",
    "wrong-name": "Hostname mismatch",
    "unknown": "unable to get local issuer certificate",
    "incomplete": "unable to get local issuer certificate",
    "old-tls": "VERSION",
    "picky": "HANDSHAKE_FAILURE",
    "plain-443": "WRONG_VERSION_NUMBER",
    "geo-alert": "UNRECOGNIZED_NAME",
    "geo-reset": "reset",
}


def test_handshakes_fail_as_the_sites_say(world: World) -> None:
    calls = [(issuer, at(world, name), f"{name}.example") for name in FAILURES]
    went = dict(zip(FAILURES, all_inside(world, "isp", calls), strict=True))
    assert {name: FAILURES[name] in went[name]["failure"] for name in FAILURES} == dict.fromkeys(
        FAILURES, True
    ), went


def test_an_old_root_store_misses_what_hangs_on_the_newer_root(world: World) -> None:
    assert inside(world, "old", issuer, at(world, "h2"), "h2.example")["issuer"]
    assert inside(world, "isp", issuer, at(world, "newer"), "newer.example")["issuer"]
    went = inside(world, "old", issuer, at(world, "newer"), "newer.example")
    assert "unable to get local issuer" in went["failure"]


def test_a_server_can_be_rude_to_names_that_it_does_not_know(world: World) -> None:
    said = {"rude-alert": "UNRECOGNIZED_NAME", "rude-reset": "reset", "rude-close": "EOF"}
    for known in (True, False):
        calls = [
            (issuer, at(world, name), f"{name}.example" if known else "h2.example") for name in said
        ]
        went = all_inside(world, "isp", calls)
        if known:
            assert all("issuer" in one for one in went)
        else:
            failures = [one["failure"] for one in went]
            assert all(word in one for word, one in zip(said.values(), failures, strict=True))


def test_a_server_can_keep_silent_to_names_that_it_does_not_know(world: World) -> None:
    address = at(world, "rude-silence")
    assert inside(world, "isp", shake, address, "h2.example", patience=SHORT) == "timeout"


# --- whom a site refuses ----------------------------------------------------------------------


def test_a_site_can_refuse_a_country_in_many_ways(world: World) -> None:
    assert inside(world, "isp", connect, at(world, "geo-refuse"), 443) == "refused"
    silent = at(world, "geo-silence")
    assert inside(world, "isp", connect, silent, 443, patience=SHORT) == "timeout"
    pages = [(raw_https, f"https://geo-{name}.example/") for name in ("451", "captcha", "redirect")]
    page, challenge, sent_on = all_inside(world, "isp", pages)
    assert page["line"].startswith("HTTP/1.1 451 ")
    assert challenge["headers"]["Cf-Mitigated"] == "challenge"
    assert sent_on["headers"]["Location"] == "https://sorry.example/"
    ways = ("alert", "reset", "silence", "refuse", "451", "captcha", "redirect")
    elsewhere = all_inside(
        world, "away", [(raw_https, f"https://geo-{name}.example/") for name in ways]
    )
    assert [page["line"] for page in elsewhere] == ["HTTP/1.1 200 OK"] * len(ways)


# --- pages ------------------------------------------------------------------------------------


def test_pages_are_as_odd_as_the_site_says(world: World) -> None:
    names = ("captcha", "parked", "changing", "changing", "untitled", "cyrillic", "loop", "lost")
    urls = [f"https://{name}.example/" for name in names]
    urls += ["http://http-only.example/", "http://plain-443.example:8080/", "http://10.10.34.35/"]
    pages = all_inside(world, "isp", [(raw_https, url) for url in urls])
    captcha, parked, changing, changed, untitled, cyrillic, loop, lost, *plain = pages
    assert "Just a moment" in captcha["text"]
    assert "for sale" in parked["text"]
    assert changing["text"] != changed["text"]
    assert "<title>" not in untitled["text"]
    assert "Новости".encode("windows-1251") in cyrillic["text"].encode("latin-1")
    assert loop["headers"]["Location"] == "https://loop.example/"
    assert lost["headers"]["Location"] == "http:///"
    assert [page["line"].split()[1] for page in plain] == ["200", "200", "421"]
    assert inside(world, "isp", connect, at(world, "http-only"), 443) == "refused"


def test_bodies_misbehave_as_the_site_says(world: World) -> None:
    names = ("endless", "bomb", "slow", "cut", "broken-off", "stall")
    calls: list[Any] = [(raw_https, f"https://{name}.example/") for name in names]
    # OpenSSL tells a reset inside TLS from a plain end only sometimes.
    calls[-2] = (raw_https, "http://broken-off.example/")
    calls[-1] = (SHORT, *calls[-1])
    endless, bomb, slow, cut, broken, stalled = all_inside(world, "isp", calls)
    assert endless["ended"] == "goes on"
    assert bomb["headers"]["Content-Encoding"] == "gzip"
    assert 90_000 < bomb["bytes"] < 200_000  # of a hundred million
    assert slow["bytes"] == 8000
    assert (cut["bytes"], cut["headers"]["Content-Length"]) == (2000, "4000")
    assert (broken["bytes"], broken["ended"]) == (2000, "reset")
    assert (stalled["bytes"], stalled["ended"]) == (2000, "timeout")


def test_any_program_can_stand_at_a_host(world: World) -> None:
    page = inside(world, "isp", raw_https, "http://program.example:8080/dev")
    assert page["line"].startswith("HTTP/1.0 200")
    assert "net0" in page["text"]  # it runs in the servers' namespace


def test_a_program_that_never_listens_is_named_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = 'country = "KZ"\nnetworks = [{name = "isp", asn = 64496}]\n[[sites]]\n'
    path = tmp_path / "program.toml"
    path.write_text(text + 'host = "x.example"\ncommand = ["true"]\n')
    with pytest.raises(LabUnavailable), World(load_scenario(path)):
        pass
    said = capfd.readouterr().err
    assert said == "lab: the program at x.example: true does not listen on port 443\n"
