"""The web sites of a world: who listens at which address, and in what manner."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path

from lab.clock import ScenarioClock
from lab.http_server import choosing_by_name, converse_over, serve_http, server_context
from lab.messages import Request, Respond, Response
from lab.pages import page, site_response
from lab.plan import Plan, PlannedSite
from lab.tls_front import Accept, Choose, Converse, Hello, Rudeness, listen, serve_chosen

_HTTP, _HTTPS = 80, 443
_TLS_REFUSALS: dict[str, Rudeness] = {
    "tls-alert": "alert",
    "tls-reset": "reset",
    "tls-close": "close",
    "tls-silence": "silence",
}


async def serve_sites(
    plan: Plan, certificates: dict[str, Path], clock: ScenarioClock
) -> list[asyncio.Task[None]]:
    """Begin to serve all sites, each at its own addresses; return what must be kept running."""
    at_address: dict[str, list[PlannedSite]] = {}
    for planned in plan.sites.values():
        if not planned.site.command:
            for address in planned.everywhere:
                at_address.setdefault(address, []).append(planned)
    tasks = []
    for address, here in at_address.items():
        tasks += await _serve_address(address, here, plan, certificates, clock)
    return tasks


async def _serve_address(
    address: str,
    here: Sequence[PlannedSite],
    plan: Plan,
    certificates: dict[str, Path],
    clock: ScenarioClock,
) -> list[asyncio.Task[None]]:
    """Begin to serve the sites that share an address."""
    respond, tasks = _responder(here, plan, clock), []
    secure = [planned for planned in here if planned.site.https]
    if secure:
        contexts = {name: _context(one, certificates) for one in secure for name in one.names}
        default = secure[0].site.host
        if any(_looks_first(planned) for planned in secure):
            converse = converse_over(respond, secure=True)
            choose = _chooser(secure, contexts, default, plan, converse)
            tasks.append(serve_chosen(listen(address, _HTTPS), choose))
        else:
            await serve_http(respond, address, _HTTPS, choosing_by_name(contexts, default))
    elif any(planned.site.plain_443 for planned in here):
        await serve_http(respond, address, _HTTPS)
    if any(planned.site.http3 for planned in secure):
        from lab.http3_server import serve_http3  # heavy, and an extra

        first = next(planned for planned in secure if planned.site.http3)
        await serve_http3(respond, address, certificates[first.site.host])
    if any(planned.site.http != "closed" for planned in here):
        await serve_http(respond, address, _HTTP)
    for port in {port for planned in here for port in planned.site.ports}:
        await serve_http(respond, address, port)
    return tasks


def _context(planned: PlannedSite, certificates: dict[str, Path]) -> ssl.SSLContext:
    protocols = ("h2", "http/1.1") if planned.site.http2 else ("http/1.1",)
    certificate = certificates[planned.site.host]
    return server_context(certificate, manner=planned.site.tls, protocols=protocols)


def _looks_first(planned: PlannedSite) -> bool:
    """Tell whether the name asked for must be known before the handshake begins."""
    site = planned.site
    refuses = bool(site.refuse_countries) and site.refuse_how in _TLS_REFUSALS
    return refuses or site.unknown_name != "default" or site.tls != "usual"


def _chooser(
    secure: Sequence[PlannedSite],
    contexts: dict[str, ssl.SSLContext],
    default: str,
    plan: Plan,
    converse: Converse,
) -> Choose:
    by_name = {name: planned.site for planned in secure for name in planned.names}
    own = secure[0].site

    async def choose(hello: Hello) -> Accept | Rudeness:
        site = by_name.get(hello.name)
        if site is None and own.unknown_name != "default":
            return own.unknown_name
        _, country = plan.visitor(hello.visitor)
        asked = site or own
        if country and country in asked.refuse_countries and asked.refuse_how in _TLS_REFUSALS:
            return _TLS_REFUSALS[asked.refuse_how]
        return Accept(contexts.get(hello.name, contexts[default]), converse)

    return choose


def _responder(here: Sequence[PlannedSite], plan: Plan, clock: ScenarioClock) -> Respond:
    by_name = {name: planned.site for planned in here for name in planned.names}
    portals = {captive.portal for captive in plan.scenario.captives}
    portal = next((one.site.host for one in here if one.site.host in portals), "")

    async def respond(request: Request) -> Response:
        site = by_name.get(request.host)
        _, country = plan.visitor(request.visitor)
        if site is not None:
            await asyncio.sleep(site.delay_ms / 1000)
            response = site_response(site, request, country)
        elif portal:
            response = Response(302, b"", {"Location": f"http://{portal}/"})
        else:
            response = Response(421, page("No such site", "Another host was asked for."))
        headers = {
            "Date": formatdate(clock.now(), usegmt=True),
            "Content-Type": "text/html; charset=utf-8",
            **response.headers,
        }
        return Response(response.status, response.body, headers, response.stream, response.declared)

    return respond
