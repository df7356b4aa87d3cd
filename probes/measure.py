"""Measure one target: a visit, helpers beside it, reloads where a fact looks wrong, contrasts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from probes.deadline import in_time
from probes.followups import Budget, experiments, follow_up, record_of
from probes.followups import Keep as Keep
from probes.helpers import ask_helper, endpoints_of
from probes.prober import Prober
from probes.session import Service
from probes.suspicion import looks_wrong, pace, silent_for_all, unknown_addresses
from probes.trace import Trace
from probes.visit import Addresses, Visit
from storage.records import Exchange, Measurement, utc_text

# Seconds before the two reloads: a person who sees an error page tries again about so fast.
RELOAD_AFTER = (3.0, 6.0)


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
    before the cancellation goes on; so it is when the measurement takes too long.
    """
    async with prober.slots.taken():
        if not prober.line_is_up:
            return None
        trace = prober.trace()
        started = utc_text(prober.clock.wall())
        ended = complete = False
        try:
            complete = await in_time(_observe(prober, trace, url, line_again))
            ended = True
        finally:
            record = record_of(prober, trace, url, started, round_id, complete=complete)
            if ended or trace.steps:
                kept = await keep(record, prober.own.scrub_blobs(trace.blobs))
        follow_ups: list[tuple[str, Measurement]] = []
        for experiment in experiments(prober, record):
            steps = [step for _, followed in follow_ups for step in followed.steps]
            if not experiment.called_for(steps):
                continue
            followed_up = await follow_up(prober, record, kept, experiment, keep, budget)
            if followed_up is not None:
                follow_ups.append(followed_up)
    return Measured(kept, record, tuple(follow_ups))


async def _observe(
    prober: Prober, trace: Trace, url: str, line_again: Callable[[], Awaitable[None]]
) -> None:
    """Visit, ask helpers in parallel, and reload twice where something looks wrong.

    What helpers find just as silent is not reloaded: it would show nothing new, at a great cost.
    """
    names: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    visit = Visit(prober, trace, full=True, slot=True, first_hop=names)
    helping = [
        asyncio.create_task(_help(prober, trace, helper, url, names)) for helper in prober.helpers
    ]
    patience = trace.patience.left()
    try:
        await visit.run(url)
        first = patience - trace.patience.left()
        telling = trace.patience.during(_all_told, helping)
        await prober.patiently(telling, 0.0)  # it uses nothing of the line
        async with prober.idle():
            await visit.settle()
        _note_paces(prober, trace)
        wrong = looks_wrong(trace.steps, trace.helpers, 0)
        if prober.note(wrong=wrong):
            async with prober.idle():
                await line_again()
        silent = silent_for_all(trace.steps, trace.helpers)
        if wrong and not silent and prober.line_is_up:
            await _reload(prober, trace, url, first)
    finally:
        visit.abandon()
        for task in helping:
            task.cancel()


async def _all_told(helping: Iterable[asyncio.Task[None]]) -> None:
    await asyncio.gather(*helping)


def _note_paces(prober: Prober, trace: Trace) -> None:
    for step in trace.steps:
        if isinstance(step, Exchange):
            prober.note_pace(urlsplit(step.url).hostname or "", pace(step))


async def _reload(prober: Prober, trace: Trace, url: str, longest: float) -> None:
    """Visit again, as a browser would, until one visit goes well or patience ends.

    `longest` is how many seconds the first visit took. A reload that may not end as the ones before
    is not begun: what cuts it short would look like another failure of the site. Where no encrypted
    resolver answered, the first one tries what helpers know of the site's addresses as well.
    """
    patience, unknown = trace.patience, list[str]()
    if url.startswith("https:"):  # in clear nothing would prove them
        unknown = unknown_addresses(trace.steps, trace.helpers)
    for attempt, seconds in enumerate(RELOAD_AFTER, start=1):
        if patience.left() < seconds + longest:
            return
        async with prober.idle():
            await patience.during(prober.clock.sleep, seconds)
        visit = Visit(prober, trace, full=False, slot=True, attempt=attempt, known_outside=unknown)
        before = patience.left()
        try:
            await visit.run(url)
            async with prober.idle():
                await visit.settle()
        finally:
            visit.abandon()
        if not looks_wrong(trace.steps, trace.helpers, attempt):
            return
        longest, unknown = max(longest, before - patience.left()), []


async def _help(
    prober: Prober, trace: Trace, helper: Service, url: str, names: asyncio.Future[Addresses]
) -> None:
    """Ask one helper as soon as the first names are known."""
    addresses = await asyncio.shield(names)
    await ask_helper(
        trace,
        helper,
        url,
        endpoints_of([*addresses.system, *addresses.others], url),
        user_agent=prober.settings.user_agent,
    )
