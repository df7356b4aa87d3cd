"""The arms of contrasts: one name sent to one address in a ClientHello, a request or a question."""

from __future__ import annotations

import httpx

from probes.contrasts import Contrast
from probes.dns import look_up_udp
from probes.http import SingleConnection, browser_headers, exchange
from probes.prober import Prober
from probes.tcp import connect
from probes.tls import handshake
from probes.trace import Stage, Trace
from probes.udp import UdpAsking
from storage.records import Exchange, Handshake, Lookup

HTTP_PORT, DNS_PORT = 80, 53
_MOST_OF_A_PAGE = 64 * 1024


async def try_hello(prober: Prober, trace: Trace, stage: Stage, arm: Contrast) -> bool | None:
    """Send the name as server name of a ClientHello."""
    limits = prober.settings.limits
    connection = await connect(trace, stage, arm.address, arm.port, limits.connect_timeout)
    if connection is None:
        return None
    stream = await handshake(
        trace,
        stage,
        connection,
        arm.name,
        limits.tls_timeout,
        prober.judge,
        prober.clock_offset,
    )
    if stream is not None:
        stream.close()
    step = trace.steps[-1]
    assert isinstance(step, Handshake)
    return (step.bytes_received or 0) > 0


async def try_request(prober: Prober, trace: Trace, stage: Stage, arm: Contrast) -> bool | None:
    """Send the name as Host of a request in clear; without a name the address stands there."""
    step = await request_in_clear(prober, trace, stage, arm)
    return None if step is None else step.status is not None


async def request_in_clear(
    prober: Prober,
    trace: Trace,
    stage: Stage,
    arm: Contrast,
    *,
    method: str = "GET",
    max_segment: int | None = None,
    uncompressed: bool = False,
) -> Exchange | None:
    """Send one request in clear and return its step, None where no connection was opened."""
    limits = prober.settings.limits
    connection = await connect(
        trace, stage, arm.address, arm.port, limits.connect_timeout, max_segment=max_segment
    )
    if connection is None:
        return None
    url = url_in_clear(arm)
    headers = browser_headers(prober.settings.user_agent)
    if uncompressed:
        headers["Accept-Encoding"] = "identity"
    try:
        async with httpx.AsyncClient(
            transport=SingleConnection(url, connection), trust_env=False
        ) as client:
            await exchange(
                trace,
                stage,
                client,
                client.build_request(method, url, headers=headers),
                connection.number,
                arm.address,
                timeout=limits.http_timeout,
                trusted=False,
                cap=_MOST_OF_A_PAGE,
                wire=connection.wire_received,
            )
    finally:
        connection.close()
    step = trace.steps[-1]
    assert isinstance(step, Exchange)
    return step


def url_in_clear(arm: Contrast) -> str:
    """Return what an arm asks for over plain HTTP."""
    shown = f"[{arm.address}]" if ":" in arm.address else arm.address
    port = "" if arm.port == HTTP_PORT else f":{arm.port}"
    return f"http://{arm.name or shown}{port}{arm.path}"


async def try_question(prober: Prober, trace: Trace, stage: Stage, arm: Contrast) -> bool | None:
    """Ask for the name over UDP. "site" is a resolver, "neutral" an address that runs none.

    There only somebody on the way can answer.
    """
    if arm.name is None:
        return None
    timeout = prober.settings.limits.dns_timeout
    await prober.patiently(_ask(trace, stage, arm.name, arm.address, timeout))
    step = trace.steps[-1]
    assert isinstance(step, Lookup)
    return bool(step.replies)


async def _ask(trace: Trace, stage: Stage, name: str, server: str, timeout: float) -> None:
    asking = UdpAsking(trace, [server], name, ["A"], timeout)
    try:
        asked = await look_up_udp(stage, asking, asking.asked[0])
        await asked.settle()
    finally:
        asking.listening.cancel()  # without effect where it has ended
