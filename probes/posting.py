"""Post a document to a web address of the volunteer's choice: on time, and nothing is followed."""

from __future__ import annotations

import asyncio

from probes.certificates import CertificateJudge
from probes.clock import Clock
from probes.errors import NETWORK_ERRORS, failure_of
from probes.own import OwnAddresses
from probes.session import Service
from probes.settings import Limits
from probes.trace import Trace
from storage.failures import Failure

_LARGEST_ANSWER = 4096  # nobody reads it


async def post(
    url: str, body: bytes, *, kind: str, clock: Clock, limits: Limits, judge: CertificateJudge
) -> str | None:
    """Post `body` of that media type once; return None if it was taken, else why not.

    Taken means a 2xx answer. Redirects are not followed, so that what is sent stays with whom it
    was meant for. Over https only a chain that is valid for the name will do.
    """
    try:
        async with asyncio.timeout(limits.http_timeout * 2):
            return await _post(url, body, kind, clock, limits, judge)
    except NETWORK_ERRORS as error:
        return str(failure_of(error))


async def _post(
    url: str, body: bytes, kind: str, clock: Clock, limits: Limits, judge: CertificateJudge
) -> str | None:
    service, trace = Service(url, judge, limits), Trace(clock, OwnAddresses())
    try:
        reply = await service.post(trace, body, {"Content-Type": kind}, _LARGEST_ANSWER)
    finally:
        await service.close()
    if isinstance(reply, Failure):
        return str(reply)
    return None if 200 <= (reply.status or 0) < 300 else f"answered with status {reply.status}"
