"""The helper's front and its limits, over real sockets on loopback."""

from __future__ import annotations

import asyncio

import pytest

from probes.helper_destinations import Destinations, machine_addresses
from probes.helper_limits import HelperLimits, client_key
from probes.helper_protocol import BOGON, FROM_HELPER, FROM_PROBE
from tests.helper_at_work import Site, ask, helper
from tests.loopback import serving


async def test_answers_field_for_field() -> None:
    site = Site()
    async with serving(site.handler()) as port, helper() as client:
        asked = f"127.0.0.1:{port}"
        answer = await ask(client, f"http://127.0.0.1:{port}/", asked, "10.0.0.1:80")
    assert set(answer) == {
        "tcp_connect",
        "tls_handshake",
        "quic_handshake",
        "http_request",
        "http3_request",
        "dns",
        "ip_info",
        "x_sitewatch",
    }
    assert answer["dns"] == {"failure": None, "addrs": ["127.0.0.1"]}
    assert answer["tcp_connect"] == {asked: {"status": True, "failure": None}}
    page = answer["http_request"]
    assert (page["status_code"], page["title"], page["failure"]) == (200, "News", None)
    assert page["body_length"] == 48
    assert page["headers"]["Content-Type"] == "text/html"
    assert page["discovered_h3_endpoint"] == "127.0.0.1:443"
    assert answer["ip_info"]["127.0.0.1"] == {"asn": 0, "flags": FROM_PROBE | FROM_HELPER}
    assert answer["ip_info"]["10.0.0.1"]["flags"] == FROM_PROBE | BOGON
    assert answer["x_sitewatch"]["language"] == "kk"
    assert len(answer["x_sitewatch"]["simhash"]) == 16


async def test_greets_and_refuses_what_is_no_question() -> None:
    async with helper() as client:
        assert (await client.get("/")).json() == {"message": "Hello OONItarian!"}
        assert (await client.put("/")).status_code == 400
        for body in (b"{", b"[]", b"{}", b'{"http_request": "ftp://a/"}', b"[" * 50_000):
            assert (await client.post("/", content=body)).status_code == 400
        nothing = {"http_request": "http://none.example/", "tcp_connect": None}
        answer = (await client.post("/", json=nothing)).json()
    assert answer["http_request"]["failure"] == "dns_lookup_error"
    assert answer["http_request"]["status_code"] == answer["http_request"]["body_length"] == -1


async def test_passes_on_three_headers_only() -> None:
    site = Site()
    async with serving(site.handler()) as port, helper() as client:
        headers = {"user-agent": ["Probe"], "Cookie": ["a=b"], "Accept": ["x\r\ny: z"]}
        question = {"http_request": f"http://127.0.0.1:{port}/", "http_request_headers": headers}
        await client.post("/", json=question)
    [request] = [each for each in site.requests if each]
    assert b"User-Agent: Probe\r\n" in request
    assert b"Cookie" not in request
    assert b"y: z" not in request


async def test_too_much_and_too_often_is_refused() -> None:
    async with helper(HelperLimits(per_minute=6, request_bytes=1000)) as client:
        assert (await client.post("/", content=b" " * 1001)).status_code == 413
        statuses = [(await client.get("/")).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_too_slow_is_refused() -> None:
    async with helper(HelperLimits(request_seconds=0.1)) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_one_host_is_not_visited_too_often() -> None:
    site = Site()
    async with serving(site.handler()) as port, helper(HelperLimits(host_per_minute=4)) as client:
        question = {"http_request": f"http://127.0.0.1:{port}/"}
        found = [
            (await client.post("/", json={"http_request": f"{question['http_request']}{n}"}))
            for n in range(3)
        ]
    assert [reply.status_code for reply in found] == [200, 200, 429]


async def test_an_answer_is_made_once_for_all_who_ask() -> None:
    site = Site()
    site.gate.clear()
    async with serving(site.handler()) as port, helper() as client:
        url = f"http://127.0.0.1:{port}/"
        asking = [asyncio.create_task(ask(client, url)) for _ in range(5)]
        await site.asked.acquire()
        site.gate.set()
        answers = await asyncio.gather(*asking)
        answers.append(await ask(client, url))
    assert all(answer == answers[0] for answer in answers)
    assert len(site.requests) == 1


async def test_under_load_only_probes_are_served_and_then_nobody() -> None:
    site = Site()
    site.gate.clear()
    limits = HelperLimits(anyone_below=1, most_under_way=2)
    async with serving(site.handler()) as port, helper(limits) as client:
        urls = [f"http://127.0.0.1:{port}/{n}" for n in range(3)]
        first = asyncio.create_task(ask(client, urls[0]))
        await site.asked.acquire()
        assert (await client.post("/", json={"http_request": urls[1]})).status_code == 503
        probe = {"User-Agent": "ooniprobe-cli/3"}
        second = asyncio.create_task(
            client.post("/", json={"http_request": urls[1]}, headers=probe)
        )
        await site.asked.acquire()
        refused = await client.post("/", json={"http_request": urls[2]}, headers=probe)
        assert refused.status_code == 503
        site.gate.set()
        await first
        assert (await second).status_code == 200


async def test_a_page_is_read_up_to_a_limit() -> None:
    site = Site(b"HTTP/1.0 200 OK\r\n\r\n" + b"a" * 100_000)
    async with (
        serving(site.handler()) as port,
        helper(HelperLimits(page_bytes=5000)) as client,
    ):
        answer = await ask(client, f"http://127.0.0.1:{port}/")
    assert answer["http_request"]["body_length"] == 5000
    assert answer["x_sitewatch"]["truncated"] is True


async def test_a_silent_site_is_left_in_time() -> None:
    site = Site()
    site.gate.clear()
    async with serving(site.handler()) as port, helper(HelperLimits(page_seconds=0.2)) as client:
        answer = await ask(client, f"http://127.0.0.1:{port}/")
        site.gate.set()
    assert answer["http_request"]["failure"] == "generic_timeout_error"


async def test_a_redirect_never_leads_to_this_machine() -> None:
    """Neither by an address, nor by a name that means one where it meant another before."""
    names = {"inside.example": ["127.0.0.2"]}
    target = Site()
    server = await asyncio.start_server(target.handler(), "127.0.0.2", 0)
    inner = server.sockets[0].getsockname()[1]
    for where in ("127.0.0.2", "inside.example"):
        reply = f"HTTP/1.1 302 Found\r\nLocation: http://{where}:{inner}/\r\n\r\n"
        site = Site(reply.encode())
        async with serving(site.handler()) as port, helper(names=names) as client:
            answer = await ask(client, f"http://127.0.0.1:{port}/", f"127.0.0.2:{inner}")
            direct = await ask(client, f"http://{where}:{inner}/", f"127.0.0.2:{inner}")
        assert site.requests
        assert answer["http_request"]["failure"] == "unknown_error"
        assert f"127.0.0.2:{inner}" not in answer["tcp_connect"]
        assert direct["tcp_connect"] == {}
        assert direct["http_request"]["failure"] == "unknown_error"
    server.close()
    assert target.visits == 0


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "::1", "::", "fe80::1",
        "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
        "2002:7f00:1::", "2001::1", "::127.0.0.1",
    ],
)  # fmt: skip
def test_addresses_that_are_never_connected_to(address: str) -> None:
    assert not Destinations().allows(address)


def test_own_addresses_are_never_connected_to() -> None:
    destinations = Destinations(["8.8.8.8"])
    assert not destinations.allows("8.8.8.8")
    assert not destinations.allows("2002:808:808::1")
    assert destinations.allows("9.9.9.9")
    assert destinations.allows("2620:fe::fe")
    destinations.learn("9.9.9.9")
    assert not destinations.allows("9.9.9.9")
    destinations.learn("::ffff:9.9.9.10")  # as a socket for both families has it
    assert not destinations.allows("9.9.9.10")
    assert "127.0.0.1" in machine_addresses()


@pytest.mark.parametrize(("port", "allowed"), [(80, 1), (443, 1), (8080, 1), (22, 0), (25, 0)])
def test_ports_of_other_services_are_left_alone(port: int, allowed: int) -> None:
    assert Destinations().allows_port(port) is bool(allowed)


def test_an_ipv6_line_is_one_asker() -> None:
    assert client_key("2001:db8::1") == client_key("2001:db8::2") != client_key("2001:db8:1::1")
    assert client_key("::ffff:192.0.2.1") != client_key("::ffff:192.0.2.2")
