"""Ask encrypted resolvers: DNS over HTTPS to pinned addresses, over connections of our own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import dns.exception
import dns.message
import httpx

from probes.answers import Answer, query
from probes.certificates import CertificateJudge
from probes.dns import Question
from probes.errors import NETWORK_ERRORS, failure_of
from probes.http import receive_reply
from probes.session import open_session
from probes.settings import DohServer, Limits
from probes.trace import Trace
from storage.failures import Failure

_LARGEST_MESSAGE = 65535
_MEDIA_TYPE = "application/dns-message"


@dataclass
class DohResolver:
    """One encrypted resolver with one connection that is reused; questions take turns."""

    server: DohServer
    judge: CertificateJudge
    limits: Limits
    clock_offset: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _client: httpx.AsyncClient | None = None
    _address: str | None = None

    async def look_up(self, trace: Trace, question: Question) -> Answer:
        """Ask and record the step. A failure to reach the server is the step's failure."""
        async with self._turn:
            watch = trace.watch()  # waiting for one's turn is not the resolver's slowness
            reused = self._client is not None
            answer = await self._ask(trace, question)
            if reused and answer.rcode is None:  # the idle connection may have been closed
                answer = await self._ask(trace, question)
        trace.steps.append(
            question.step(self.server.url, self._address, answer, watch, watch.microseconds())
        )
        return answer

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ask(self, trace: Trace, question: Question) -> Answer:
        try:
            async with asyncio.timeout(self.limits.dns_timeout):
                failure = await self._open(trace)
                answer = (
                    Answer(failure=failure)
                    if self._client is None
                    else await self._post(self._client, question)
                )
        except NETWORK_ERRORS as error:
            answer = Answer(failure=failure_of(error))
        except asyncio.CancelledError:
            await self.close()
            raise
        if answer.rcode is None:
            await self.close()
        return answer

    async def _open(self, trace: Trace) -> Failure | None:
        if self._client is not None:
            return None
        opened = await open_session(
            trace,
            self.server.url,
            self.server.addresses,
            self.limits,
            self.judge,
            self.clock_offset,
        )
        if isinstance(opened, Failure):
            return opened
        self._client, self._address = opened
        return None

    async def _post(self, client: httpx.AsyncClient, question: Question) -> Answer:
        """Put one question (RFC 8484 section 4.1)."""
        message = query(question.name, question.kind)
        message.id = 0  # section 4.1: friendlier to caches
        request = client.build_request(
            "POST",
            self.server.url,
            content=message.to_wire(),
            headers={"Content-Type": _MEDIA_TYPE, "Accept": _MEDIA_TYPE},
        )
        reply = await receive_reply(client, request, _LARGEST_MESSAGE)
        if reply.status != 200:
            return Answer(failure=Failure.HTTP_UNEXPECTED_STATUS)
        try:
            return Answer.of(dns.message.from_wire(bytes(reply.raw)), question.kind)
        except (dns.exception.DNSException, ValueError):
            return Answer(failure=Failure.DNS_MALFORMED)
