"""Run one round: the line first, then the targets, as many at once as the limits allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from probes.line import look_at_line
from probes.measure import Keep, Measured, measure
from probes.prober import Prober
from storage.records import Round, utc_text


@dataclass
class DailyBudget:
    """Counts follow-ups per target and UTC day against a limit; `taken` may start filled."""

    limit: int
    taken: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, url: str, at: float) -> bool:
        day = (url, utc_text(at)[:10])
        if self.taken.get(day, 0) >= self.limit:
            return False
        self.taken[day] = self.taken.get(day, 0) + 1
        return True


@dataclass(frozen=True)
class RoundDone:
    """A kept round, and whether the line allowed any target to be measured."""

    id: str
    round: Round
    measured: int


async def run_round(
    prober: Prober,
    urls: Sequence[str],
    keep: Keep,
    budget: DailyBudget,
    on_line: Callable[[Round], None],
    on_measured: Callable[[Measured], None],
) -> RoundDone:
    """Look at the line, keep the round, and measure `urls` if the line is up.

    `on_line` and `on_measured` are told as things happen. Cancelling keeps what was found.
    """
    async with prober.connections():
        started = utc_text(prober.clock.wall())
        look = await look_at_line(prober)
        prober.begin(look.line, look.neutrals)
        record = Round(
            simulated=prober.simulated,
            tool=prober.tool,
            time=started,
            vantage=prober.vantage,
            line=look.line,
            steps=look.steps,
            targets=len(urls),
        )
        round_id = await keep(record, look.blobs)
        on_line(record)
        if look.line.state != "up":
            return RoundDone(round_id, record, 0)
        async with asyncio.TaskGroup() as group:
            for url in urls:
                group.create_task(_measure_one(prober, url, round_id, keep, budget, on_measured))
        return RoundDone(round_id, record, len(urls))


async def _measure_one(
    prober: Prober,
    url: str,
    round_id: str,
    keep: Keep,
    budget: DailyBudget,
    on_measured: Callable[[Measured], None],
) -> None:
    on_measured(await measure(prober, url, round_id, keep, budget))
