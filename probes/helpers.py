"""Ask helpers what they see for the same URL, over the protocol of OONI's test helpers.

A dead, slow, blocked or lying helper is expected: every answer is checked, capped and recorded
as that helper's word, never as the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from probes.addresses import endpoint, is_address
from probes.certificates import CertificateJudge
from probes.dns import ask_system
from probes.errors import NETWORK_ERRORS, failure_of
from probes.http import browser_headers, receive_reply
from probes.session import open_session
from probes.settings import Limits
from probes.trace import Trace
from storage.failures import Failure
from storage.records import HelperAnswer, HelperEndpoint, HelperExchange

_LARGEST_ANSWER = 1024 * 1024
_MOST_ENTRIES = 50
_LONGEST_TEXT = 512
_PATIENCE = 2.0  # times http_timeout: a helper tries the site itself before it answers


class _Endpoint(msgspec.Struct):
    status: bool
    failure: str | None = None


class _Request(msgspec.Struct):
    body_length: int = -1
    failure: str | None = None
    title: str = ""
    headers: dict[str, str] = {}
    status_code: int = -1


class _Dns(msgspec.Struct):
    failure: str | None = None
    addrs: list[str] = []


class _Response(msgspec.Struct):
    """What a helper sends, as far as it is read here (facts: test helper protocol)."""

    tcp_connect: dict[str, _Endpoint] = {}
    tls_handshake: dict[str, _Endpoint] = {}
    http_request: _Request | None = None
    dns: _Dns | None = None


_DECODER = msgspec.json.Decoder(_Response)


async def ask_helper(
    trace: Trace,
    helper: str,
    url: str,
    endpoints: Sequence[str],
    *,
    user_agent: str,
    limits: Limits,
    judge: CertificateJudge,
    clock_offset: float,
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
    answer: _Response | Failure
    try:
        async with asyncio.timeout(limits.http_timeout * _PATIENCE):
            answer = await _post(trace, helper, question, limits, judge, clock_offset)
    except NETWORK_ERRORS as error:
        answer = failure_of(error)
    start, duration = watch.start, watch.microseconds()
    if isinstance(answer, Failure):
        failed = HelperAnswer(
            helper=helper, answered=False, failure=answer, start=start, duration_us=duration
        )
        trace.helpers.append(failed)
    else:
        trace.helpers.append(_answer(trace, helper, answer, start, duration))


async def _post(
    trace: Trace,
    helper: str,
    question: Mapping[str, object],
    limits: Limits,
    judge: CertificateJudge,
    clock_offset: float,
) -> _Response | Failure:
    host = urlsplit(helper).hostname or ""
    addresses: tuple[str, ...] = (host,)
    if not is_address(host):
        found = await ask_system(host, "A", limits.dns_timeout)
        if found.failure is not None:
            return found.failure
        addresses = found.addresses[: limits.addresses_per_family]
    opened = await open_session(trace, helper, addresses, limits, judge, clock_offset)
    if isinstance(opened, Failure):
        return opened
    client, _ = opened
    async with client:
        request = client.build_request(
            "POST",
            helper,
            content=msgspec.json.encode(question),
            headers={"Content-Type": "application/json"},
        )
        reply = await receive_reply(client, request, _LARGEST_ANSWER)
    if reply.status != 200:
        return Failure.HTTP_UNEXPECTED_STATUS
    try:
        return _DECODER.decode(bytes(reply.raw))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Failure.JSON_PARSE


def endpoints_of(addresses: Sequence[str], url: str) -> list[str]:
    """Return the endpoints that a helper is asked to try: the URL's port, else 443 and 80."""
    parts = urlsplit(url)
    ports = [parts.port] if parts.port else [443, 80]
    return [endpoint(address, port) for address in addresses for port in ports]


def _answer(
    trace: Trace, helper: str, answer: _Response, start: str, duration: int
) -> HelperAnswer:
    request = answer.http_request or _Request()
    dns = answer.dns or _Dns()
    return HelperAnswer(
        helper=helper,
        answered=True,
        dns=[each for each in dns.addrs if is_address(each)][:_MOST_ENTRIES],
        dns_failure=_text(trace, dns.failure),
        connect=_endpoints(trace, answer.tcp_connect),
        handshake=_endpoints(trace, answer.tls_handshake),
        exchange=HelperExchange(
            status=request.status_code if 100 <= request.status_code <= 999 else None,
            body_length=request.body_length if 0 <= request.body_length < 2**53 else None,
            title=_text(trace, request.title) or None,
            headers={
                trace.own.scrub(name[:_LONGEST_TEXT]): _text(trace, value) or ""
                for name, value in list(request.headers.items())[:_MOST_ENTRIES]
                if name.isascii() and name.lower() != "set-cookie"
            },
            failure=_text(trace, request.failure),
        ),
        start=start,
        duration_us=duration,
    )


def _endpoints(trace: Trace, answers: Mapping[str, _Endpoint]) -> dict[str, HelperEndpoint]:
    return {
        where: HelperEndpoint(status=each.status, failure=_text(trace, each.failure))
        for where, each in list(answers.items())[:_MOST_ENTRIES]
        if where.isascii() and len(where) < 64
    }


def _text(trace: Trace, text: str | None) -> str | None:
    return None if text is None else trace.own.scrub(text[:_LONGEST_TEXT])
