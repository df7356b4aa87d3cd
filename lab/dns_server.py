"""The resolvers: answers to DNS questions as each resolver of the world gives them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, TypeAlias, cast

import dns.exception
import dns.flags
import dns.message

from lab.censor import forged_reply
from lab.clock import ScenarioClock
from lab.described import Resolver
from lab.plan import Plan
from lab.readable import matches, question_name
from lab.scenario import Censor
from lab.zones import Zones, wire_of

_IDLE_SECONDS = 10.0
_PLAIN_LIMIT, _LIMIT = 512, 1232  # bytes of a datagram, without and with EDNS
_WHOLE = 65535


class Reply(NamedTuple):
    """The bytes of a reply, and after how many seconds it is given."""

    wire: bytes
    delay: float = 0.0


# A query's bytes and the asker's address in; None is silence.
Answer: TypeAlias = Callable[[bytes, str], Reply | None]


class Resolvers:
    """What each resolver says: the truth of the zones, filtered, late, or a lie."""

    def __init__(self, plan: Plan, clock: ScenarioClock) -> None:
        self._plan = plan
        self._clock = clock
        self._zones = Zones(plan, clock)
        self._lies: dict[str, list[Censor]] = {}
        self._troubles: dict[str, list[Resolver]] = {}
        for network in plan.networks.values():
            for address in (network.resolver, network.resolver6):
                self._lies[address] = [
                    censor
                    for censor in plan.scenario.censors
                    if censor.kind == "resolver-lie"
                    and (not censor.networks or network.name in censor.networks)
                ]
                self._troubles[address] = [
                    one for one in plan.scenario.resolvers if one.of in ("", network.name)
                ]
        for address, host in plan.public_resolvers().items():
            self._troubles[address] = [
                one for one in plan.scenario.resolvers if one.of in (address, host)
            ]

    def answer(
        self, query: bytes, asker: str, *, resolver: str, datagram: bool = False
    ) -> Reply | None:
        """Answer one query as the resolver at an address does; None is silence."""
        now, delay, name = self._clock.now(), 0.0, question_name(query)
        for trouble in self._troubles.get(resolver, ()):
            if not trouble.active(now) or (trouble.names and not matches(name, trouble.names)):
                continue
            if trouble.how == "dead":
                return None
            if trouble.how == "truncate":
                if datagram:
                    return _cut_off(query)
                continue
            if trouble.how == "late":
                delay = trouble.delay_ms / 1000
                continue
            forged = _filtered(query, trouble, self._plan)
            return Reply(forged, delay) if forged is not None else None
        for lie in self._lies.get(resolver, ()):
            names = tuple(one.lower() for one in lie.names)
            if lie.active(now) and matches(name, names):
                forged = forged_reply(query, lie, self._plan)
                return Reply(forged, delay) if forged is not None else None
        try:
            message = dns.message.from_wire(query)
        except dns.exception.DNSException:
            return None
        limit = _WHOLE if not datagram else _PLAIN_LIMIT if message.edns < 0 else _LIMIT
        return Reply(wire_of(self._zones.reply(message, resolver, asker), limit), delay)


def _filtered(query: bytes, trouble: Resolver, plan: Plan) -> bytes | None:
    """Answer as a filter does."""
    rule = Censor(kind="resolver-lie", names=trouble.names, answers=trouble.answers)
    return forged_reply(query, rule, plan)


def _cut_off(query: bytes) -> Reply | None:
    try:
        reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    except dns.exception.DNSException:
        return None
    reply.flags |= dns.flags.TC
    return Reply(reply.to_wire())


class _Datagrams(asyncio.DatagramProtocol):
    """Answers the datagrams that come to one address."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        reply = self._answer(data, sender[0])
        if reply is None or self._transport is None:
            return
        if reply.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(reply.delay, self._transport.sendto, reply.wire, sender)
        else:
            self._transport.sendto(reply.wire, sender)


def _stream_handler(
    answer: Answer,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return a handler for DNS over TCP: each message behind two bytes of length."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away in the middle is its own affair.
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            asker = writer.get_extra_info("peername")[0]
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    query = await reader.readexactly(length)
                reply = answer(query, asker)
                if reply is None:
                    await asyncio.sleep(_IDLE_SECONDS)  # silence, not a closed connection
                    break
                await asyncio.sleep(reply.delay)
                writer.write(len(reply.wire).to_bytes(2, "big") + reply.wire)
                await writer.drain()
        writer.close()

    return handle


async def serve_dns(
    resolvers: Resolvers, resolver: str, *, address: str = "", port: int = 53
) -> None:
    """Begin to answer over UDP and TCP as a resolver does, at its own or another address."""
    await serve_answers(
        address or resolver,
        partial(resolvers.answer, resolver=resolver, datagram=True),
        partial(resolvers.answer, resolver=resolver),
        port,
    )


async def serve_answers(
    address: str, in_datagrams: Answer, in_streams: Answer, port: int = 53
) -> None:
    """Begin to answer DNS questions at an address by two functions."""
    loop, here = asyncio.get_running_loop(), (address, port)
    await loop.create_datagram_endpoint(lambda: _Datagrams(in_datagrams), local_addr=here)
    await asyncio.start_server(_stream_handler(in_streams), *here)
