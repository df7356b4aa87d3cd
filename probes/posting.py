"""Post a document to a web address of the volunteer's choice: on time, and nothing is followed."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from probes.addresses import is_address
from probes.answers import RecordType
from probes.certificates import CertificateJudge
from probes.clock import Clock
from probes.dns import ask_system
from probes.errors import NETWORK_ERRORS, failure_of
from probes.http import receive_reply
from probes.own import OwnAddresses
from probes.session import open_session
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
    addresses = await _addresses(urlsplit(url).hostname or "", limits)
    if isinstance(addresses, Failure):
        return str(addresses)
    trace = Trace(clock, OwnAddresses())
    opened = await open_session(trace, url, addresses, limits, judge, 0.0)
    if isinstance(opened, Failure):
        return str(opened)
    client, _ = opened
    async with client:
        request = client.build_request("POST", url, content=body, headers={"Content-Type": kind})
        reply = await receive_reply(client, request, _LARGEST_ANSWER)
    return None if 200 <= (reply.status or 0) < 300 else f"answered with status {reply.status}"


async def _addresses(host: str, limits: Limits) -> tuple[str, ...] | Failure:
    """Return the addresses of a host as the system gives them, of either family."""
    if is_address(host):
        return (host,)
    failure = Failure.DNS_NO_ANSWER
    families: tuple[RecordType, ...] = ("A", "AAAA")
    for family in families:
        found = await ask_system(host, family, limits.dns_timeout)
        if found.failure is None:
            return tuple(found.addresses[: limits.addresses_per_family])
        failure = Failure(found.failure)
    return failure
