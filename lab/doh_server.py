"""The encrypted resolvers: DNS over HTTPS beside the public resolvers' plain DNS."""

from __future__ import annotations

import asyncio
import base64
import binascii
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lab.clock import ScenarioClock
from lab.dns_server import Resolvers
from lab.http_server import serve_http, server_context
from lab.messages import Request, Respond, Response
from lab.plan import Plan

_PROTOCOLS = ("h2", "http/1.1")


async def serve_doh(
    resolvers: Resolvers, plan: Plan, certificates: dict[str, Path], clock: ScenarioClock
) -> None:
    """Begin to serve the encrypted resolvers."""
    for address, host in plan.public_resolvers().items():
        context = server_context(certificates[host], protocols=_PROTOCOLS)
        await serve_http(_responder(resolvers, address, clock), address, 443, context)


def _responder(resolvers: Resolvers, resolver: str, clock: ScenarioClock) -> Respond:
    async def respond(request: Request) -> Response:
        headers = {"Date": formatdate(clock.now(), usegmt=True)}
        query = _query(request)
        if not query:
            return Response(400, b"not a DNS query", headers)
        reply = resolvers.answer(query, request.visitor, resolver=resolver)
        if reply is None:
            return Response(503, b"", headers)
        await asyncio.sleep(reply.delay)
        headers["Content-Type"] = "application/dns-message"
        return Response(200, reply.wire, headers)

    return respond


def _query(request: Request) -> bytes:
    """Return the DNS message in a request of RFC 8484, empty where there is none."""
    parts = urlsplit(request.target)
    if parts.path != "/dns-query":
        return b""
    if request.method == "POST":
        return request.body
    encoded = parse_qs(parts.query).get("dns", [""])[0]
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error:
        return b""
