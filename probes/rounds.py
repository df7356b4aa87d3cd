"""Run one round: the line first, then the targets, as many at once as the limits allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from probes.instrument import describe_instrument
from probes.line import LineWatch, Look, look_at_line
from probes.measure import Keep, Measured, measure
from probes.prober import Prober
from storage.records import Round, utc_text


@dataclass
class DailyBudget:
    """Counts follow-ups per target and UTC day against a limit; `taken` may start filled.

    `walks`: may a target's name also be walked with, once a day.
    """

    limit: int
    taken: dict[tuple[str, str], int] = field(default_factory=dict)
    walks: bool = True
    walked: set[tuple[str, str]] = field(default_factory=set)

    def take(self, url: str, at: float) -> bool:
        day = (url, utc_text(at)[:10])
        if self.taken.get(day, 0) >= self.limit:
            return False
        self.taken[day] = self.taken.get(day, 0) + 1
        return True

    def take_walk(self, url: str, at: float) -> bool:
        """Take the one walk of a UTC day that shows the name."""
        day = (url, utc_text(at)[:10])
        if not self.walks or day in self.walked:
            return False
        self.walked.add(day)
        return True


@dataclass(frozen=True)
class RoundDone:
    """A kept round, and the URLs that were not measured since the line was not up, or no more.

    `round` is the record of the last look at the line.
    """

    id: str
    round: Round
    unmeasured: Sequence[str]


@dataclass
class _Running:
    """A round under way."""

    prober: Prober
    keep: Keep
    budget: DailyBudget
    on_measured: Callable[[Measured], None]
    id: str
    latest: Round
    line_watch: LineWatch
    unmeasured: list[str] = field(default_factory=list)

    async def measure_one(self, url: str, after: float) -> None:
        if after > 0:
            await self.prober.clock.sleep(after)
        measured = await measure(self.prober, url, self.id, self.keep, self.budget, self.line_again)
        if measured is None:
            self.unmeasured.append(url)
        else:
            self.on_measured(measured)

    async def line_again(self) -> None:
        """Look at the line in the middle of the round; keep a record where it is gone."""
        started = utc_text(self.prober.clock.wall())
        look = await self.line_watch.look_again()
        if look is not None:
            self.latest = _record(self.prober, look, started, targets=0)
            await self.keep(self.latest, self.prober.own.scrub_blobs(look.blobs))


async def run_round(
    prober: Prober,
    urls: Sequence[str],
    keep: Keep,
    budget: DailyBudget,
    on_line: Callable[[Round], None],
    on_measured: Callable[[Measured], None],
    *,
    apart: float = 0.0,
) -> RoundDone:
    """Look at the line, keep the round, and measure `urls` if the line is up.

    Targets start `apart` seconds after one another, or later where no slot is free. `on_line` and
    `on_measured` are told as things happen. Cancelling keeps what was found.
    """
    async with prober.connections():
        started = utc_text(prober.clock.wall())
        look = await look_at_line(prober)
        prober.locate_vantage()
        prober.begin(look.line, look.neutrals)
        record = _record(prober, look, started, targets=len(urls))
        round_id = await keep(record, prober.own.scrub_blobs(look.blobs))
        on_line(record)
        if look.line.state != "up":
            return RoundDone(round_id, record, urls)
        running = _Running(prober, keep, budget, on_measured, round_id, record, LineWatch(prober))
        async with asyncio.TaskGroup() as group:
            for number, url in enumerate(urls):
                group.create_task(running.measure_one(url, number * apart))
        return RoundDone(round_id, running.latest, running.unmeasured)


def _record(prober: Prober, look: Look, started: str, targets: int) -> Round:
    record = Round(
        simulated=prober.simulated,
        tool=prober.tool,
        time=started,
        vantage=prober.vantage,
        line=look.line,
        steps=look.steps,
        targets=targets,
        instrument=describe_instrument(
            prober.clock.wall(),
            prober.networks.date if prober.networks else None,
            prober.settings.tls.ca_bundle,
        ),
    )
    return prober.own.scrub_record(record)
