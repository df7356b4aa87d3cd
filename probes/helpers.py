"""Ask helpers what they see for the same URL, over the protocol of OONI's test helpers.

A dead, slow, blocked or lying helper is expected: every answer is checked, capped and recorded
as that helper's word, never as the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from probes.addresses import endpoint
from probes.errors import NETWORK_ERRORS, failure_of
from probes.helper_answers import Response, answer_of, read_response
from probes.http import browser_headers
from probes.session import Service
from probes.trace import Trace
from storage.failures import Failure
from storage.records import HelperAnswer

_LARGEST_ANSWER = 1024 * 1024
_PATIENCE = 2.0  # times http_timeout: a helper tries the site itself before it answers


async def ask_helper(
    trace: Trace, helper: Service, url: str, endpoints: Sequence[str], *, user_agent: str
) -> None:
    """Ask one helper about `url` and the `address:port` endpoints that we found; record it."""
    watch = trace.watch()
    question = {
        "http_request": url,
        "http_request_headers": {
            name: [value]
            for name, value in browser_headers(user_agent).items()
            if name in {"User-Agent", "Accept", "Accept-Language"}
        },
        "tcp_connect": list(endpoints),
        "x_quic_enabled": False,
    }
    answer: Response | Failure
    try:
        async with asyncio.timeout(helper.limits.http_timeout * _PATIENCE):
            answer = await _post(trace, helper, question)
    except NETWORK_ERRORS as error:
        answer = failure_of(error)
    start, duration = watch.start, watch.microseconds()
    if isinstance(answer, Failure):
        failed = HelperAnswer(
            helper=helper.url, answered=False, failure=answer, start=start, duration_us=duration
        )
        trace.helpers.append(failed)
    else:
        trace.helpers.append(answer_of(trace, helper.url, answer, endpoints, start, duration))


async def _post(
    trace: Trace, helper: Service, question: Mapping[str, object]
) -> Response | Failure:
    content = msgspec.json.encode(question)
    reply = await helper.post(trace, content, {"Content-Type": "application/json"}, _LARGEST_ANSWER)
    if isinstance(reply, Failure):
        return reply
    if reply.status != 200:
        return Failure.HTTP_UNEXPECTED_STATUS
    return read_response(bytes(reply.raw)) or Failure.JSON_PARSE


def endpoints_of(addresses: Sequence[str], url: str) -> list[str]:
    """Return the endpoints that a helper is asked to try: the URL's port, else 443 and 80."""
    parts = urlsplit(url)
    ports = [parts.port] if parts.port else [443, 80]
    return [endpoint(address, port) for address in addresses for port in ports]
