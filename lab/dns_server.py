"""The resolvers: answers to DNS questions as each resolver of the world gives them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from lab.censor import forged_reply
from lab.clock import ScenarioClock
from lab.dpi import matches, question_name
from lab.plan import PUBLIC_RESOLVERS, Plan

_TTL = 60
_IDLE_SECONDS = 10.0

# A query's bytes and the resolver's address in, the reply's bytes out; None is silence.
Answer: TypeAlias = Callable[[bytes, str], bytes | None]


class Zones:
    """What every resolver knows, and which lies each one tells at the moment."""

    def __init__(self, plan: Plan, clock: ScenarioClock) -> None:
        self._plan = plan
        self._clock = clock
        self._sites = {name: site for site in plan.sites.values() for name in site.names}
        self._fixed = {host: (address,) for address, host in PUBLIC_RESOLVERS.items()}
        self._fixed.update({helper.host: (helper.address,) for helper in plan.helpers})
        self._lies = {
            network.resolver: [
                censor
                for censor in plan.scenario.censors
                if censor.kind == "resolver-lie"
                and (not censor.networks or network.name in censor.networks)
            ]
            for network in plan.networks.values()
        }

    def addresses(self, name: str, resolver: str) -> tuple[str, ...] | None:
        """Return what a resolver gives for a name; None for a name that does not exist."""
        site = self._sites.get(name)
        return site.answer(resolver) if site else self._fixed.get(name)

    def answer(self, query: bytes, resolver: str) -> bytes | None:
        """Answer one query as the resolver at this address does."""
        now = self._clock.now()
        for lie in self._lies.get(resolver, ()):
            names = tuple(name.lower() for name in lie.names)
            if lie.active(now) and matches(question_name(query), names):
                return forged_reply(query, lie, self._plan)
        try:
            message = dns.message.from_wire(query)
        except dns.exception.DNSException:
            return None
        return self._truth(message, resolver).to_wire()

    def _truth(self, query: dns.message.Message, resolver: str) -> dns.message.Message:
        reply = dns.message.make_response(query, recursion_available=True)
        if len(query.question) != 1:
            reply.set_rcode(dns.rcode.FORMERR)
            return reply
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        addresses = self.addresses(name, resolver)
        if addresses is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text(question.name, _TTL, "IN", "A", *addresses))
        return reply


class _Datagrams(asyncio.DatagramProtocol):
    """Answers the datagrams that come to one address."""

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        reply = self._answer(data)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, sender)


def _stream_handler(
    answer: Callable[[bytes], bytes | None],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return a handler for DNS over TCP: each message behind two bytes of length."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away in the middle is its own affair.
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    query = await reader.readexactly(length)
                reply = answer(query)
                if reply is None:
                    break
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        writer.close()

    return handle


async def serve_dns(zones: Zones, resolver: str) -> None:
    """Begin to answer over UDP and TCP at a resolver's address."""
    answer = partial(zones.answer, resolver=resolver)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Datagrams(answer), local_addr=(resolver, 53))
    await asyncio.start_server(_stream_handler(answer), resolver, 53)
