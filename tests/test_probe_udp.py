"""Several resolvers asked from one port: each is heard by itself, and nobody else is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import dns.message
import pytest

from probes.answers import TYPES
from probes.trace import Trace
from probes.udp import UdpAsking, UdpQuestions
from storage.failures import Failure
from tests.loopback import trace

_NAME = "www.site.example"
# What a server sends back for a query that came to its socket from an address.
Serve = Callable[[socket.socket, bytes, tuple[str, int]], None]


def _nothing(sock: socket.socket, query: bytes, asker: tuple[str, int]) -> None:
    pass


def _answers(query: bytes, text: str) -> bytes:
    message = dns.message.from_wire(query)
    reply = dns.message.make_response(message)
    kind = message.question[0].rdtype.name
    if kind == "A":
        reply.answer.append(dns.rrset.from_text(_NAME + ".", 60, "IN", kind, text))
    return reply.to_wire()


def _says(address: str) -> Serve:
    def serve(sock: socket.socket, query: bytes, asker: tuple[str, int]) -> None:
        sock.sendto(_answers(query, address), asker)

    return serve


@contextmanager
def _servers(serves: dict[str, Serve]) -> Iterator[int]:
    """Run servers at loopback addresses, all at one port."""
    with ExitStack() as held:
        port = 0
        for host, serve in serves.items():
            sock = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((host, port))
            port = sock.getsockname()[1]
            thread = threading.Thread(target=_run, args=(sock, serve))
            thread.start()
            held.callback(thread.join)
            held.callback(_stop, host, port)
        yield port


def _run(sock: socket.socket, serve: Serve) -> None:
    while True:
        query, asker = sock.recvfrom(2048)
        if query == b"stop":
            return
        serve(sock, query, asker)


def _stop(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"stop", (host, port))


async def _ask(serves: dict[str, Serve], *more: str, found: Trace) -> dict[str, UdpQuestions]:
    """Ask the servers, and addresses at which nothing runs."""
    with _servers(serves) as port:
        asking = UdpAsking(found, [*serves, *more], _NAME, TYPES, 0.5, port=port)
        await asking.listening
        for each in asking.asked:
            for question in each.questions:
                await question.answered()  # nobody is left waiting
    return {each.server: each for each in asking.asked}


def _said(asked: UdpQuestions) -> list[tuple[tuple[str, ...], Failure | None]]:
    return [(each.answer.addresses, each.answer.failure) for each in asked.questions]


async def test_each_server_is_heard_by_itself_over_one_socket() -> None:
    found, taken = trace(), []
    take = found.sockets.taken

    def counted(count: int = 1) -> object:
        taken.append(count)
        return take(count)

    found.sockets.taken = counted  # type: ignore[method-assign, assignment]
    serves = {
        "127.0.0.1": _says("192.0.2.1"),
        "127.0.0.2": _says("192.0.2.2"),
        "127.0.0.3": _nothing,
    }
    asked = await _ask(serves, "127.0.0.4", found=found)
    no_answer = ((), Failure.DNS_NO_ANSWER)
    assert _said(asked["127.0.0.1"]) == [(("192.0.2.1",), None), no_answer]
    assert _said(asked["127.0.0.2"]) == [(("192.0.2.2",), None), no_answer]
    assert _said(asked["127.0.0.3"]) == [((), Failure.TIMEOUT)] * 2
    assert _said(asked["127.0.0.4"]) == [((), Failure.CONNECTION_REFUSED)] * 2
    assert taken == [1]
    numbers = [each.query.id for one in asked.values() for each in one.questions]
    assert len(set(numbers)) == len(numbers)


async def test_all_answers_of_a_race_are_kept_and_the_ttl_with_them() -> None:
    def races(sock: socket.socket, query: bytes, asker: tuple[str, int]) -> None:
        for address in ("192.0.2.66", "192.0.2.1"):
            sock.sendto(_answers(query, address), asker)

    asked = await _ask({"127.0.0.1": races, "127.0.0.2": _says("192.0.2.2")}, found=trace())
    first, _ = asked["127.0.0.1"].questions
    assert [each.answers for each in first.replies] == [["192.0.2.66"], ["192.0.2.1"]]
    assert all(each.ip_ttl for each in first.replies)
    assert first.answer.addresses == ("192.0.2.66",)
    assert [len(each.replies) for each in asked["127.0.0.2"].questions] == [1, 1]


async def test_nobody_answers_in_a_servers_place_from_another_address() -> None:
    def lets_another_answer(sock: socket.socket, query: bytes, asker: tuple[str, int]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.9", 0))
            stranger.sendto(_answers(query, "192.0.2.66"), asker)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other_port:
            other_port.bind(("127.0.0.1", 0))
            other_port.sendto(_answers(query, "192.0.2.67"), asker)

    asked = await _ask({"127.0.0.1": lets_another_answer}, found=trace())
    assert _said(asked["127.0.0.1"]) == [((), Failure.TIMEOUT)] * 2
    assert not any(each.replies for each in asked["127.0.0.1"].questions)


@pytest.mark.parametrize("flood", [b"", b"no DNS at all"])
async def test_a_flood_from_one_server_takes_nothing_from_another(flood: bytes) -> None:
    def floods(sock: socket.socket, query: bytes, asker: tuple[str, int]) -> None:
        for _ in range(40):  # what a socket holds unread is bounded by the kernel
            sock.sendto(flood, asker)

    asked = await _ask({"127.0.0.1": floods, "127.0.0.2": _says("192.0.2.2")}, found=trace())
    assert sum(len(each.replies) for each in asked["127.0.0.1"].questions) <= 16
    assert _said(asked["127.0.0.2"])[0] == (("192.0.2.2",), None)


async def test_where_no_server_is_asked_there_is_nothing_to_wait_for() -> None:
    asking = UdpAsking(trace(), [], _NAME, TYPES, 0.5)
    await asking.listening
    assert asking.asked == []
