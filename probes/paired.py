"""Paired downloads: the suspected name and a neutral one in turns, from the same address.

Whether a transfer is slow or freezes for the name alone shows only beside another that goes on in
the same minute. See design.md section 4 and the sequential test in `probes.sequential`.
"""

from __future__ import annotations

import httpx

from probes.http import SingleConnection, browser_headers, exchange
from probes.prober import Prober
from probes.sequential import Sequential
from probes.suspicion import Suspect
from probes.tcp import connect
from probes.tls import handshake
from probes.trace import Stage, Trace
from storage.failures import Failure
from storage.records import Arm, Exchange

MOST_PAIRS = 6
DOWNLOAD_CAP = 96 * 1024  # several times what passes before a freeze (14 to 20 KB were measured)
_SLOWER = 3.0  # times: what counts as a pair in which the name was slow
# In a fair pair each of two transfers is three times as slow as the other by chance one time in
# ten at most; a throttled name loses nearly every pair.
_TEST = Sequential(by_chance=0.1, for_cause=0.9, error=0.01)


async def run_paired(prober: Prober, trace: Trace, *, suspect: Suspect) -> None:
    """Download in pairs until it is clear whether the name is slower, six pairs at most.

    The pair is the name and a neutral name at the site's address; where the server closes on a
    stranger's name nothing can be compared, and one pair shows it.
    """
    neutral = next((each for each in prober.neutrals if each.name != suspect.name), None)
    if neutral is None:
        return
    slower = fair = 0
    for pair in range(MOST_PAIRS):
        other = await _download(prober, trace, suspect, "neutral@site", neutral.name, pair)
        named = await _download(prober, trace, suspect, "name@site", suspect.name, pair)
        if other is None or named is None:
            return
        if _rate(other) >= _SLOWER * _rate(named):
            slower += 1
        else:
            fair += 1
        if _TEST.decide(slower, fair) is not None:
            return


async def _download(
    prober: Prober, trace: Trace, suspect: Suspect, arm: Arm, name: str, pair: int
) -> Exchange | None:
    stage, limits = Stage("contrast", 0, pair, arm), prober.settings.limits
    connection = await connect(trace, stage, suspect.address, suspect.port, limits.connect_timeout)
    if connection is None:
        return None
    stream = await handshake(
        trace, stage, connection, name, limits.tls_timeout, prober.judge, prober.clock_offset
    )
    if stream is None:
        return None
    # The same page for both: the server is asked for the site, only the name in clear differs.
    url = f"https://{suspect.name}/"
    transport = SingleConnection(url, stream)
    try:
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            headers = browser_headers(prober.settings.user_agent)
            await exchange(
                trace,
                stage,
                client,
                client.build_request("GET", url, headers=headers),
                connection.number,
                suspect.address,
                timeout=limits.http_timeout,
                trusted=True,
                protocol=transport.protocol,
                cap=DOWNLOAD_CAP,
                wire=stream.wire_received,
            )
    finally:
        stream.close()
    step = trace.steps[-1]
    assert isinstance(step, Exchange)
    return step


def _rate(step: Exchange) -> float:
    """Return bytes per second until the last byte; a freeze counts until our patience ended."""
    end = step.duration_us if step.failure == Failure.TIMEOUT else step.last_byte_us
    return (step.wire_bytes or 0) / (end / 1e6) if end else 0.0
