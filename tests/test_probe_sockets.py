"""What the kernel tells of a connection: ICMP errors with their sender, what was acknowledged."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from probes.bare_walks import walk_ack
from probes.sockets import hear_icmp_errors, icmp_error, set_ttl, tcp_state
from probes.tcp import connect
from probes.trace import Stage
from probes.walks import Target
from storage.failures import Failure
from storage.records import Connect
from tests.lab_worlds import require_lab
from tests.loopback import serving, trace

# What a client does in the lab: a connection whose packets die at the second router.
_SHORT_LIVED = """
import asyncio, json, socket, sys
from probes.sockets import hear_icmp_errors, icmp_error, set_ttl

async def main():
    sock = socket.socket()
    sock.setblocking(False)
    hear_icmp_errors(sock)
    set_ttl(sock, 2)
    try:
        async with asyncio.timeout(3):
            await asyncio.get_running_loop().sock_connect(sock, (sys.argv[1], 443))
    except OSError as error:
        found = icmp_error(sock)
        print(json.dumps([error.errno, found.words, found.sender, found.time_exceeded]))

asyncio.run(main())
"""


async def test_a_closed_port_is_refused_by_the_peer_itself_without_icmp() -> None:
    found = trace()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    assert await connect(found, Stage(), "127.0.0.1", port, 2.0) is None
    [step] = found.steps
    assert isinstance(step, Connect)
    assert (step.failure, step.icmp, step.icmp_from_peer) == (
        Failure.CONNECTION_REFUSED,
        None,
        None,
    )


async def test_an_icmp_error_comes_with_its_sender_and_without_one_there_is_none() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        hear_icmp_errors(udp)
        udp.settimeout(2.0)
        assert icmp_error(udp) is None
        udp.connect(("127.0.0.1", port))
        udp.send(b"anybody there?")
        with pytest.raises(ConnectionRefusedError):
            udp.recv(1)
        found = icmp_error(udp)
    assert found is not None
    assert (found.words, found.sender, found.time_exceeded) == ("3/3", "127.0.0.1", False)


async def test_what_the_peer_acknowledged_is_known() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    found = trace()
    async with serving(silent) as port:
        connection = await connect(found, Stage(), "127.0.0.1", port, 2.0)
        assert connection is not None
        await connection.send(b"x" * 1000)
        state = connection.state()
        connection.close()
    assert state is not None
    assert (state.bytes_acknowledged, state.retransmissions) == (1000, 0)


def test_nothing_is_known_of_what_is_no_connection() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        assert tcp_state(udp) is None
        set_ttl(udp, 3)
        assert udp.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 3
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        set_ttl(udp, 4)
        assert udp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) == 4


@pytest.mark.lab
def test_the_router_at_which_a_packet_died_is_named(tmp_path: Path) -> None:
    require_lab()
    from lab.network import World
    from lab.scenario import load_scenario

    (tmp_path / "short.py").write_text(_SHORT_LIVED)
    with World(load_scenario("plain"), seed=3) as world:
        client = world.clients[0]
        [address, *_] = world.plan.addresses_of("watched.example")
        routers = world.plan.route(client, address).routers
        process = world.popen(
            client,
            [sys.executable, str(tmp_path / "short.py"), address],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(Path.cwd())},
        )
        output, _ = process.communicate(timeout=30)
    number, words, sender, exceeded = json.loads(output)
    assert (number, words, sender, exceeded) == (113, "11/0", routers[1], True)


def reset_everybody(server: socket.socket) -> None:
    """Reset each connection once it is open, until the server is shut down."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def test_an_acknowledgement_has_its_time_to_live_however_fast_the_peer_answers() -> None:
    """On loopback the peer has answered before anything else can be done."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=reset_everybody, args=(server,))
        thread.start()
        target = Target("127.0.0.1", server.getsockname()[1])
        walk = asyncio.run(walk_ack(trace(), Stage("ttl-walk"), target, 3))
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert (walk.answered_at, walk.answer, walk.last_router) == (1, "reset", None)
