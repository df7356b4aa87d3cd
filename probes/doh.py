"""Ask encrypted resolvers: DNS over HTTPS to pinned addresses, over connections of our own."""

from __future__ import annotations

import asyncio

import dns.exception
import dns.message

from probes.answers import Answer, query
from probes.certificates import CertificateJudge
from probes.dns import Question
from probes.errors import NETWORK_ERRORS, failure_of
from probes.session import Service
from probes.settings import DohServer, Limits
from probes.trace import Trace
from storage.failures import Failure

_LARGEST_MESSAGE = 65535
_MEDIA_TYPE = "application/dns-message"
_HEADERS = {"Content-Type": _MEDIA_TYPE, "Accept": _MEDIA_TYPE}


class DohResolver:
    """One encrypted resolver."""

    def __init__(self, server: DohServer, judge: CertificateJudge, limits: Limits) -> None:
        self.service = Service(server.url, judge, limits, addresses=server.addresses)
        self._timeout = limits.dns_timeout

    async def look_up(self, trace: Trace, question: Question) -> Answer:
        """Ask and record the step. A failure to reach the server is the step's failure."""
        watch = trace.watch()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._post(trace, question)
        except NETWORK_ERRORS as error:
            answer = Answer(failure=failure_of(error))
        service = self.service
        trace.steps.append(
            question.step(service.url, service.address, answer, watch, watch.microseconds())
        )
        return answer

    async def _post(self, trace: Trace, question: Question) -> Answer:
        """Put one question (RFC 8484 section 4.1)."""
        message = query(question.name, question.kind)
        message.id = 0  # section 4.1: friendlier to caches
        reply = await self.service.post(trace, message.to_wire(), _HEADERS, _LARGEST_MESSAGE)
        if isinstance(reply, Failure):
            return Answer(failure=reply)
        if reply.status != 200:
            return Answer(failure=Failure.HTTP_UNEXPECTED_STATUS)
        try:
            return Answer.of(dns.message.from_wire(bytes(reply.raw)), question.kind)
        except (dns.exception.DNSException, ValueError):
            return Answer(failure=Failure.DNS_MALFORMED)
