"""The server processes of a world: one loop in the servers' namespace, one abroad."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

from lab.censor_programs import serve_programs
from lab.clock import ScenarioClock
from lab.dns_server import Resolvers, serve_dns
from lab.doh_server import serve_doh
from lab.helper import Helper
from lab.http_server import serve_http, server_context
from lab.plan import Plan
from lab.web import serve_sites

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name


async def serve_everything(
    plan: Plan, certificates: dict[str, Path], clock: ScenarioClock, ready: Callable[[], None]
) -> None:
    """Serve resolvers and sites for ever; `ready` is called when all of them listen."""
    resolvers = Resolvers(plan, clock)
    for resolver in plan.resolvers():
        await serve_dns(resolvers, resolver)
    await serve_doh(resolvers, plan, certificates, clock)
    running = await serve_sites(plan, certificates, clock)
    pki_folder = next(iter(certificates.values())).parent
    await serve_programs(plan, resolvers, pki_folder, clock)
    ready()
    await asyncio.gather(asyncio.Event().wait(), *running)


async def serve_helpers(
    plan: Plan,
    certificates: dict[str, Path],
    ca: Path,
    clock: ScenarioClock,
    ready: Callable[[], None],
) -> None:
    """Serve the helpers for ever; dead ones are left to the path, which swallows their packets."""
    trusted = ssl.create_default_context(cafile=ca)
    trusted.set_alpn_protocols(["http/1.1"])
    if plan.scenario.clock_ahead:  # this process has the machine's clock, which is wrong then
        trusted.verify_flags |= _NO_CHECK_TIME
    for planned in plan.helpers:
        if planned.described.command:
            continue
        patience = plan.scenario.helper_timeout
        helper = Helper(
            planned.described, planned.address, trusted, patience, plan, planned.address6
        )
        context = server_context(certificates[planned.host], protocols=("h2", "http/1.1"))
        for address in planned.everywhere:
            await serve_http(helper.responder(), address, 443, context)
            await serve_http(helper.responder(), address, 80)
    await serve_programs(plan, None, ca.parent, clock)  # censors divert what goes to helpers too
    ready()
    await asyncio.Event().wait()
