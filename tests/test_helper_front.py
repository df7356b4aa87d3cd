"""Who comes to a helper through TLS or through a proxy is counted and timed like everybody."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import httpx
import pytest
import trustme

from probes.helper_limits import HelperLimits
from tests.helper_at_work import helper
from tests.test_helper_limits import connected, cut_off

OK = 200


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "helper.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    return path


async def statuses(client: httpx.AsyncClient, *forwarded: str | None) -> list[int]:
    """Greet the helper in the name of each, None in no other's; return what it answered."""
    found = []
    for name in forwarded:
        headers = {"X-Forwarded-For": name} if name else {}
        found.append((await client.get("/", headers=headers)).status_code)
    return found


# --- TLS ---


async def test_a_helper_speaks_tls(certificate: Path) -> None:
    async with helper(certificate=certificate) as client:
        assert await statuses(client, None, None) == [OK, OK]


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_slow_handshake_is_cut_off(certificate: Path, begun: bytes) -> None:
    limits = HelperLimits(tls_seconds=0.4, connections=1)
    async with (
        helper(limits, certificate=certificate) as client,
        connected(client.base_url.port) as (reader, writer),
    ):
        writer.write(begun)
        assert await cut_off(reader)
        assert await statuses(client, None) == [OK]  # and its place is free again


async def test_what_is_no_handshake_is_cut_off_at_once(certificate: Path) -> None:
    async with (
        helper(certificate=certificate) as client,
        connected(client.base_url.port) as (reader, writer),
    ):
        writer.write(b"GET / HTTP/1.1\r\nHost: helper\r\n\r\n")
        assert await cut_off(reader)


async def test_connections_count_before_their_handshake(certificate: Path) -> None:
    limits = HelperLimits(connections_of_one=2)
    async with (
        helper(limits, certificate=certificate) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        port = client.base_url.port
        for _ in range(2):
            _, writer = await stack.enter_async_context(connected(port))
        async with connected(port) as (reader, _):
            assert await cut_off(reader)
        writer.close()
        async with asyncio.timeout(12):
            while not await _greeted(client):
                continue  # the server has not yet heard that one is closed


async def _greeted(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/")).status_code == OK
    except httpx.TransportError:
        return False


async def test_slow_heads_inside_tls_are_cut_off(certificate: Path) -> None:
    limits = HelperLimits(head_seconds=0.4)
    async with helper(limits, certificate=certificate) as client:
        context = httpx.create_ssl_context(verify=False)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", client.base_url.port, ssl=context
        )
        writer.write(b"GET / HTTP/1.1\r\nHost:")
        assert await cut_off(reader)
        writer.close()


# --- a proxy in front ---


async def test_askers_behind_the_proxy_are_counted_each_by_himself() -> None:
    limits = HelperLimits(per_minute=2)  # one at once
    async with helper(limits, proxy="127.0.0.1") as client:
        names = ("198.51.100.1", "198.51.100.2", "198.51.100.1")
        assert await statuses(client, *names) == [OK, OK, 429]


async def test_only_what_the_proxy_itself_added_is_believed() -> None:
    limits = HelperLimits(per_minute=2)
    async with helper(limits, proxy="127.0.0.1") as client:
        names = ("203.0.113.1, 198.51.100.1", "203.0.113.2, 198.51.100.1")
        assert await statuses(client, *names) == [OK, 429]


async def test_nobody_but_the_proxy_speaks_for_others() -> None:
    limits = HelperLimits(per_minute=2)
    async with helper(limits, proxy="127.0.0.2") as client:
        assert await statuses(client, "198.51.100.1", "198.51.100.2") == [OK, 429]


async def test_a_proxy_is_no_asker_and_may_have_many_connections() -> None:
    limits = HelperLimits(connections_of_one=1, connections=3)
    async with (
        helper(limits, proxy="127.0.0.1") as client,
        contextlib.AsyncExitStack() as stack,
    ):
        port = client.base_url.port
        for _ in range(2):
            await stack.enter_async_context(connected(port))
        assert await statuses(client, "198.51.100.1") == [OK]
