"""One round as the daemon makes it: kept, counted, judged, its suspicions noted."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from probes.clock import Clock
from probes.measure import Keep, Measured
from probes.rounds import DailyBudget, RoundDone, run_round
from sitewatch.daemon_plan import Kind, Plan
from sitewatch.installation import Installation
from sitewatch.judging import judge_and_keep
from sitewatch.networks import Identify, identifier, open_table
from sitewatch.probing import make_prober
from sitewatch.rounds import keeper
from storage.networks import NetworksTable
from storage.records import Record, Round, Vantage, utc_seconds, utc_text
from storage.store import Store

# Targets start one after the other over this time, as far as the cadence leaves it.
_SPREAD = 600.0


@dataclass(frozen=True)
class Order:
    """A round to make: over which URLs, for which vantage, `apart` seconds between their starts."""

    installation: Installation
    clock: Clock
    vantage: Vantage
    urls: Sequence[str]
    apart: float
    keep: Keep
    budget: DailyBudget
    on_line: Callable[[Round], None]
    on_measured: Callable[[Measured], None]
    networks: NetworksTable | None = None
    identify: Identify | None = None  # finds the vantage once the line's network is known


class Probing(Protocol):
    """Carries out an order. What it can raise is a local failure: the network's are results."""

    async def __call__(self, order: Order) -> RoundDone: ...


# What is done after a round, such as sending alerts; it never holds up the next round.
AfterRound: TypeAlias = Callable[[Store, Installation, RoundDone], Awaitable[None]]


async def probe(order: Order) -> RoundDone:
    """Carry out an order with the real prober."""
    installation = order.installation
    prober = make_prober(
        installation.settings(),
        order.clock,
        order.vantage,
        simulated=installation.config.vantage.simulated,
        networks=order.networks,
        identify=order.identify,
    )
    return await run_round(
        prober,
        order.urls,
        order.keep,
        order.budget,
        order.on_line,
        order.on_measured,
        apart=order.apart,
    )


def budget_of_today(store: Store, vantages: Collection[str], limit: int, now: float) -> DailyBudget:
    """Return today's budget of follow-ups with what these vantages have used of it already."""
    budget, today = DailyBudget(limit), utc_text(now)[:10]
    for stored in store.measurements(since=today):
        record = stored.record
        if record.follows is not None and record.vantage.id in vantages:
            budget.take(record.url, utc_seconds(record.time))
    return budget


@dataclass
class Rounds:
    """Makes the daemon's rounds. `budget` counts follow-ups over all of them."""

    store: Store
    clock: Clock
    plan: Plan
    probing: Probing
    budget: DailyBudget

    async def run(self, installation: Installation, kind: Kind) -> RoundDone:
        """Make a round of a kind now. Cancelling keeps what was measured."""
        self._forget_yesterday()
        table = open_table(installation.config)
        identify = identifier(installation.config, self.store, table)
        urls = self._urls(kind)
        shortest = min(cadence.every for cadence in self.plan.cadences().values())
        order = Order(
            installation=installation,
            clock=self.clock,
            vantage=identify(None),
            urls=urls,
            apart=min(_SPREAD, shortest / 8) / max(1, len(urls)),
            keep=self._counting(keeper(self.store)),
            budget=self.budget,
            on_line=self._line,
            on_measured=self._measured,
            networks=table,
            identify=identify,
        )
        return await self.probing(order)

    def size(self, kind: Kind) -> int:
        """Return how many targets a round of that kind has at most."""
        sizes = {
            "all": len(self.plan.watchlist.targets),
            "watched": len(self.plan.watchlist.watched),
            "suspects": len(self.plan.suspects.waiting),
        }
        return sizes[kind]

    def _urls(self, kind: Kind) -> list[str]:
        urls = {
            "all": self.plan.watchlist.urls,
            "watched": sorted(self.plan.watchlist.watched),
            "suspects": self.plan.suspects.take(self.clock.wall()) if kind == "suspects" else [],
        }[kind]
        # Another order each time: a fixed one would be a signature on the line.
        return random.SystemRandom().sample(urls, len(urls))

    def _forget_yesterday(self) -> None:
        today = utc_text(self.clock.wall())[:10]
        taken = self.budget.taken
        self.budget.taken = {day: count for day, count in taken.items() if day[1] >= today}

    def _counting(self, keep: Keep) -> Keep:
        async def keep_and_count(record: Record, blobs: Mapping[str, bytes]) -> str:
            kept = await keep(record, blobs)
            self.plan.state.usage.add(record)
            if record.vantage.id not in self.plan.state.vantages:
                self.plan.state.vantages.append(record.vantage.id)
            return kept

        return keep_and_count

    def _line(self, record: Round) -> None:
        self.plan.state.note_line(record.line.state, record.time)

    def _measured(self, measured: Measured) -> None:
        verdict = judge_and_keep(self.store, measured)
        self.plan.suspects.note(measured.measurement.url, verdict, self.clock.wall())
