"""The web sites of a world and the encrypted resolvers: what they answer, and to whom."""

from __future__ import annotations

import asyncio
import base64
import binascii
import html
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lab.clock import ScenarioClock
from lab.described import Site
from lab.dns_server import Resolvers
from lab.http_server import Request, Respond, Response, serve_http, tls_context
from lab.plan import Plan, PlannedSite

_FILLER = "This sentence fills the page to the size that the scenario asks for. "


async def serve_sites(plan: Plan, certificates: dict[str, Path], clock: ScenarioClock) -> None:
    """Begin to serve all sites, each at its own addresses."""
    at_address: dict[str, list[PlannedSite]] = {}
    for planned in plan.sites.values():
        for address in planned.everywhere:
            at_address.setdefault(address, []).append(planned)
    for address, here in at_address.items():
        respond = _site_responder(here, plan, clock)
        secure = [planned for planned in here if planned.site.https]
        if secure:
            by_name = {
                name: certificates[planned.site.host]
                for planned in secure
                for name in planned.names
            }
            context = tls_context(by_name, secure[0].site.host)
            await serve_http(respond, address, 443, context)
        if any(planned.site.http != "closed" for planned in here):
            await serve_http(respond, address, 80)


def _site_responder(here: Sequence[PlannedSite], plan: Plan, clock: ScenarioClock) -> Respond:
    by_name = {name: planned.site for planned in here for name in planned.names}

    async def respond(request: Request) -> Response:
        site = by_name.get(request.host)
        _, country = plan.visitor(request.visitor)
        response = (
            Response(421, page("No such site", "Another host was asked for."))
            if site is None
            else site_response(site, request, country)
        )
        headers = {
            "Date": formatdate(clock.now(), usegmt=True),
            "Content-Type": "text/html; charset=utf-8",
            **response.headers,
        }
        return Response(response.status, response.body, headers)

    return respond


def site_response(site: Site, request: Request, country: str) -> Response:
    """Return what a site answers to a visitor from a country."""
    if country and country in site.refuse_countries:
        text = "This content is not available in your country."
        return Response(site.refuse_status, page("Not available", text))
    if site.redirect:
        return Response(301, b"", {"Location": site.redirect})
    if not request.secure and site.https and site.http == "redirect":
        return Response(301, b"", {"Location": f"https://{request.host}{request.target}"})
    title = site.title or f"Welcome to {site.host}"
    text = site.text or f"You are reading {site.host}."
    if site.echo:
        text += f" Your address is {request.visitor}."
    return Response(site.status, page(title, text, site.size))


def page(title: str, text: str, size: int = 0) -> bytes:
    """Return an HTML page of at least `size` bytes."""
    head = f"<!doctype html><html><head><title>{html.escape(title)}</title></head><body>"
    body = f"{head}<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>"
    missing = size - len(body.encode()) - len("<p></p></body></html>")
    if missing > 0:
        body += f"<p>{(_FILLER * (missing // len(_FILLER) + 1))[:missing]}</p>"
    return f"{body}</body></html>".encode()


# --- DNS over HTTPS ---------------------------------------------------------------------------


async def serve_doh(
    resolvers: Resolvers, plan: Plan, certificates: dict[str, Path], clock: ScenarioClock
) -> None:
    """Begin to serve the encrypted resolvers beside the plain ones."""
    for address, host in plan.public_resolvers().items():
        context = tls_context({host: certificates[host]}, host)
        await serve_http(_doh_responder(resolvers, address, clock), address, 443, context)


def _doh_responder(resolvers: Resolvers, resolver: str, clock: ScenarioClock) -> Respond:
    async def respond(request: Request) -> Response:
        headers = {"Date": formatdate(clock.now(), usegmt=True)}
        query = _doh_query(request)
        if not query:
            return Response(400, b"not a DNS query", headers)
        reply = resolvers.answer(query, request.visitor, resolver=resolver)
        if reply is None:
            return Response(503, b"", headers)
        await asyncio.sleep(reply.delay)
        headers["Content-Type"] = "application/dns-message"
        return Response(200, reply.wire, headers)

    return respond


def _doh_query(request: Request) -> bytes:
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
