"""Paired downloads: the suspected name and a neutral one in turns, from the same address.

Whether a transfer is slow or freezes for the name alone shows only beside another that goes on in
the same minute. See design.md section 4 and the sequential test in `probes.sequential`.
"""

from __future__ import annotations

import httpx

from probes.http import SingleConnection, browser_headers, exchange
from probes.prober import Prober
from probes.sequential import Sequential
from probes.suspicion import Suspect, pace
from probes.tcp import connect
from probes.tls import handshake
from probes.trace import Stage, Trace
from storage.failures import Failure
from storage.records import Arm, Exchange

MOST_PAIRS = 6
DOWNLOAD_CAP = 96 * 1024  # several times what passes before a freeze (14 to 20 KB were measured)
_MOST_UNOPENED = 3  # pairs in which the name opened no page
_SLOWER = 3.0  # times: what counts as a pair in which the name was slow
# In a fair pair each of two transfers is three times as slow as the other by chance one time in
# ten at most; a throttled name loses nearly every pair.
_STOPPED = Sequential(by_chance=0.1, for_cause=0.9)
# A page that came is no emergency: one fair pair ends it, so that a slow line costs little. Nine in
# ten throttled names still lose their first pair.
_SLOW = Sequential(by_chance=0.1, for_cause=0.9, miss=0.12)


async def run_paired(prober: Prober, trace: Trace, *, suspect: Suspect, stopped: bool) -> None:
    """Download in pairs until it is clear whether the name is slower, six pairs at most.

    The pair is the name and a neutral name at the site's address. Where the server closes on a
    stranger's name, or has another page for it, nothing can be compared and one pair shows it.
    `stopped`: the name's page never ended; else it came, but slowly.
    """
    neutral = next((each for each in prober.neutrals if each.name != suspect.name), None)
    if neutral is None:
        return
    test = _STOPPED if stopped else _SLOW
    slower = fair = unopened = 0
    turns: list[tuple[Arm, str]] = [("neutral@site", neutral.name), ("name@site", suspect.name)]
    for pair in range(MOST_PAIRS):
        # Not always in one order: a server may grow slower from download to download by itself.
        came = {
            arm: await _download(prober, trace, suspect, arm, name, pair) for arm, name in turns
        }
        turns.reverse()
        named, other = came["name@site"], came["neutral@site"]
        if other is not None:
            prober.note_pace(neutral.name, pace(other))
        if named is None:  # a name that is slowed down may not even get through its handshake
            unopened += 1
            if other is None or unopened >= _MOST_UNOPENED:
                return
            continue
        if other is None or not _comparable(named, other):
            return
        if _rate(other) >= _SLOWER * _rate(named):
            slower += 1
        else:
            fair += 1
        if test.decide(slower, fair) is not None:
            return


def _comparable(named: Exchange, other: Exchange) -> bool:
    """Tell whether both downloads were of the same page: a short refusal always comes fast."""
    same = other.status == named.status if named.status is not None else other.status == 200
    return same and (other.received_bytes or 0) >= (named.received_bytes or 0)


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
    url = f"https://{suspect.name}{suspect.path}"
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
