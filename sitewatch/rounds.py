"""Run one round against the database: keep what is measured, judge it, say it; stop on Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence

from probes.measure import Keep, Measured
from probes.prober import Prober
from probes.rounds import DailyBudget, RoundDone, run_round
from sitewatch.judging import judge_and_keep, offline
from sitewatch.output import Output
from storage.intake import referred_blobs
from storage.records import Record, Round, Walk, utc_text
from storage.store import Store


def keeper(store: Store) -> Keep:
    """Return the function by which probes hand over records; it returns once they are safe."""

    async def keep(record: Record, blobs: Mapping[str, bytes]) -> str:
        wanted = {id: blobs[id] for id in referred_blobs(record) if id in blobs}
        # Shielded: a record that was handed over is kept even when the round is stopped.
        return await asyncio.shield(asyncio.wrap_future(store.add(record, wanted)))

    return keep


def budget_so_far(prober: Prober, store: Store) -> DailyBudget:
    """Return today's budget of follow-ups with what this vantage has used of it already."""
    budget = DailyBudget(prober.settings.limits.sensitive_per_target_day)
    today = utc_text(prober.clock.wall())[:10]
    for stored in store.measurements(since=f"{today}T00:00:00.000000Z"):
        if stored.record.follows is not None and stored.record.vantage.id == prober.vantage.id:
            day = (stored.record.url, stored.record.time[:10])
            budget.taken[day] = budget.taken.get(day, 0) + 1
            if any(isinstance(step, Walk) for step in stored.record.steps):
                budget.walked.add(day)
    return budget


async def measure_round(
    prober: Prober, store: Store, urls: Sequence[str], output: Output
) -> RoundDone:
    """Measure `urls` once. Ctrl-C raises KeyboardInterrupt after keeping what there is."""
    round_task = asyncio.create_task(_round(prober, store, urls, output))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, round_task.cancel)
    try:
        return await round_task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _round(prober: Prober, store: Store, urls: Sequence[str], output: Output) -> RoundDone:
    def measured(result: Measured) -> None:
        output.measured(result, judge_and_keep(store, result))

    def line(record: Round) -> None:
        output.line(record)

    with output:
        done = await run_round(
            prober, urls, keeper(store), budget_so_far(prober, store), line, measured
        )
        if done.unmeasured:
            output.offline(done.round, [offline(done, url) for url in done.unmeasured])
    return done
