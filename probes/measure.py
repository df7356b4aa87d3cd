"""Measure one target: a visit, helpers beside it, reloads where a fact looks wrong, contrasts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from probes.contrasts import plan, run_contrasts
from probes.helpers import ask_helper, endpoints_of
from probes.prober import Prober
from probes.suspicion import failed_handshake, looks_wrong
from probes.trace import Trace
from probes.visit import Addresses, Visit
from storage.records import Measurement, Record, utc_text

# Seconds before the two reloads: a person who sees an error page tries again about so fast.
RELOAD_AFTER = (3.0, 6.0)

Keep = Callable[[Record, Mapping[str, bytes]], Awaitable[str]]


class Budget(Protocol):
    """How many follow-ups a target may still cost today."""

    def take(self, url: str, at: float) -> bool:
        """Take one follow-up at `at` (seconds since the epoch); False where none is left."""


@dataclass(frozen=True)
class Measured:
    """A kept measurement with its kept follow-ups, each with its id."""

    id: str
    measurement: Measurement
    follow_ups: tuple[tuple[str, Measurement], ...] = ()


async def measure(
    prober: Prober,
    url: str,
    round_id: str,
    keep: Keep,
    budget: Budget,
    line_again: Callable[[], Awaitable[None]],
) -> Measured | None:
    """Measure `url` and keep what was found, first the measurement, then its follow-up.

    None where the line is no longer up: then nothing is measured. `line_again` is called when
    much fails, to look at the line. When cancelled, what was found so far is kept as incomplete
    before the cancellation goes on.
    """
    async with prober.slots:
        if not prober.line_is_up:
            return None
        trace = prober.trace()
        started = utc_text(prober.clock.wall())
        complete = False
        try:
            await _observe(prober, trace, url, line_again)
            complete = True
        finally:
            record = _record(prober, trace, url, started, round_id, complete=complete)
            if complete or trace.steps:
                kept = await keep(record, prober.own.scrub_blobs(trace.blobs))
        follow_up = await _follow_up(prober, trace, record, kept, keep, budget)
    return Measured(kept, record, follow_up)


def _record(
    prober: Prober,
    trace: Trace,
    url: str,
    started: str,
    round_id: str,
    *,
    complete: bool,
    follows: str | None = None,
) -> Measurement:
    assert prober.line is not None, "a round looks at its line first"
    record = Measurement(
        simulated=prober.simulated,
        tool=prober.tool,
        url=url,
        time=started,
        round=round_id,
        follows=follows,
        complete=complete,
        tier=prober.settings.tier,
        vantage=prober.vantage,
        line=prober.line,
        steps=list(trace.steps),
        helpers=list(trace.helpers),
    )
    return prober.own.scrub_record(record)


async def _observe(
    prober: Prober, trace: Trace, url: str, line_again: Callable[[], Awaitable[None]]
) -> None:
    """Visit, ask helpers in parallel, and reload twice where something looks wrong."""
    names: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    visit = Visit(prober, trace, full=True, first_hop=names)
    helping = [
        asyncio.create_task(_help(prober, trace, helper, url, names))
        for helper in prober.settings.helpers.urls
    ]
    try:
        await visit.run(url)
        await asyncio.gather(*helping)
        async with prober.idle():
            await visit.settle()
        wrong = looks_wrong(trace.steps, trace.helpers, 0)
        if prober.note(wrong=wrong):
            await line_again()
        if wrong and prober.line_is_up:
            await _reload(prober, trace, url)
    finally:
        visit.abandon()
        for task in helping:
            task.cancel()


async def _reload(prober: Prober, trace: Trace, url: str) -> None:
    """Visit again, as a browser would, until one visit goes well or patience ends."""
    for attempt, seconds in enumerate(RELOAD_AFTER, start=1):
        await prober.rest(seconds)
        visit = Visit(prober, trace, full=False, attempt=attempt)
        try:
            await visit.run(url)
            async with prober.idle():
                await visit.settle()
        finally:
            visit.abandon()
        if not looks_wrong(trace.steps, trace.helpers, attempt):
            return


async def _help(
    prober: Prober, trace: Trace, helper: str, url: str, names: asyncio.Future[Addresses]
) -> None:
    """Ask one helper as soon as the first names are known."""
    addresses = await asyncio.shield(names)
    await ask_helper(
        trace,
        helper,
        url,
        endpoints_of([*addresses.system, *addresses.others], url),
        user_agent=prober.settings.user_agent,
        limits=prober.settings.limits,
        judge=prober.judge,
        clock_offset=prober.clock_offset,
    )


async def _follow_up(
    prober: Prober,
    trace: Trace,
    measured: Measurement,
    measured_id: str,
    keep: Keep,
    budget: Budget,
) -> tuple[tuple[str, Measurement], ...]:
    """Run the contrasts that the facts call for and the tier and the budget allow."""
    last = max((step.attempt for step in trace.steps), default=0)
    suspect = failed_handshake(trace.steps, last)
    if prober.settings.tier == "browser-like" or suspect is None or not prober.line_is_up:
        return ()
    if last < len(RELOAD_AFTER):
        return ()  # a reload went well
    arms = plan(suspect, prober.neutrals)
    if not arms or not budget.take(measured.url, prober.clock.wall()):
        return ()
    own, started = prober.trace(), utc_text(prober.clock.wall())
    complete = False
    try:
        await run_contrasts(prober, own, suspect, arms)
        complete = True
    finally:
        record = _record(
            prober,
            own,
            measured.url,
            started,
            measured.round,
            complete=complete,
            follows=measured_id,
        )
        if complete or own.steps:
            kept = await keep(record, prober.own.scrub_blobs(own.blobs))
    return ((kept, record),)
