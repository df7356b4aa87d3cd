"""A life for the daemon under virtual time: the real one, with only its prober replaced."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from probes.measure import Measured
from probes.rounds import RoundDone
from sitewatch.config import load_config
from sitewatch.daemon import Daemon
from sitewatch.daemon_round import AfterRound, Order
from sitewatch.installation import Installation
from sitewatch.watchlist import Watchlist, load_watchlist
from storage.failures import Failure
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    Line,
    LineState,
    Lookup,
    Measurement,
    Round,
    Step,
    utc_text,
)
from tests.virtual_time import VirtualClock, VirtualLoop, VirtualStore

HEADER = "url,category_code,category_description,date_added,source,notes\n"
SITES = ("alpha", "beta", "gamma", "delta")


@dataclass
class Prober:
    """Stands in for the network: makes the records that a round would make."""

    clock: VirtualClock
    line: Callable[[float], LineState] = lambda _: "up"
    clock_offset: Callable[[float], float | None] = lambda _: None  # what the line look measures
    failing: Callable[[str, float], bool] = lambda _url, _at: False
    body_bytes: int = 20_000
    seconds: float = 60.0
    rounds: list[tuple[float, list[str]]] = field(default_factory=list)  # on lines that were up
    looks: list[float] = field(default_factory=list)  # on lines that were not
    follow_ups: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, order: Order) -> RoundDone:
        now = self.clock.wall()
        off = self.clock_offset(now)
        microseconds = None if off is None else round(off * 1e6)
        line = Line(state=self.line(now), ipv4=True, clock_offset_us=microseconds)
        record = Round(
            simulated=True,
            tool="test",
            time=utc_text(now),
            vantage=order.vantage,
            line=line,
            targets=len(order.urls),
        )
        id = await order.keep(record, {})
        order.on_line(record)
        if line.state != "up":
            self.looks.append(now)
            return RoundDone(id, record, order.urls)
        self.rounds.append((now, list(order.urls)))
        self.begun.set()
        await asyncio.gather(*(self._measure(order, id, line, url) for url in order.urls))
        return RoundDone(id, record, [])

    async def _measure(self, order: Order, round_id: str, line: Line, url: str) -> None:
        started, complete = self.clock.wall(), False
        steps = _steps(url, utc_text(started), self.failing(url, started), self.body_bytes)
        record = Measurement(
            simulated=True,
            tool="test",
            url=url,
            time=utc_text(started),
            round=round_id,
            vantage=order.vantage,
            line=line,
            steps=steps,
        )
        try:
            await self.clock.sleep(self.seconds)
            complete = True
        finally:
            id = await order.keep(_with(record, complete), {})
        follow_ups: tuple[tuple[str, Measurement], ...] = ()
        if self.failing(url, started) and order.budget.take(url, self.clock.wall()):
            later = utc_text(self.clock.wall())
            follow_up = msgspec.structs.replace(record, follows=id, time=later, steps=[])
            follow_ups = ((await order.keep(follow_up, {}), follow_up),)
            self.follow_ups += 1
        order.on_measured(Measured(id, record, follow_ups))


def _with(record: Measurement, complete: bool) -> Measurement:
    return msgspec.structs.replace(record, complete=complete)


def _steps(url: str, start: str, failing: bool, body_bytes: int) -> list[Step]:
    host = url.split("/")[2]
    at: Any = {"address": "192.0.2.10", "connection": 1, "start": start, "duration_us": 9000}
    failure = Failure.TIMEOUT if failing else None
    steps: list[Step] = [
        Lookup(
            name=host,
            type="A",
            resolver="system",
            answers=["192.0.2.10"],
            rcode=0,
            start=start,
            duration_us=9000,
        ),
        Connect(port=443, **at),
        Handshake(
            port=443,
            server_name=host,
            hello_bytes=517,
            bytes_received=0 if failing else 4500,
            valid=None if failing else True,
            failure=failure,
            **at,
        ),
    ]
    if not failing:
        steps.append(Exchange(url=url, status=200, title=host, body_bytes=body_bytes, **at))
    return steps


@dataclass
class Machine:
    """A machine on which the daemon lives: its clock, its prober, its folder."""

    folder: Path
    clock: VirtualClock
    loop: VirtualLoop
    prober: Prober
    store: VirtualStore
    daemon: Daemon
    chance: random.Random

    async def live(self, seconds: float, *also: Coroutine[Any, Any, None]) -> None:
        """Let the daemon run for so long by the loop's time, with other things going on."""
        working = asyncio.create_task(self.daemon.run())
        others = [asyncio.create_task(each) for each in also]
        await asyncio.sleep(seconds)
        self.daemon.stop()
        await working
        for other in others:
            other.cancel()


def write_configuration(folder: Path, toml: str, sites: tuple[str, ...] = SITES) -> Path:
    """Write a configuration with its targets; return its path."""
    rows = [f"https://{site}.example/,NEWS,News Media,2026-11-01,test,\n" for site in sites]
    (folder / "targets.csv").write_text(HEADER + "".join(rows))
    path = folder / "sitewatch.toml"
    path.write_text("[vantage]\nsimulated = true\ncountry = 'KZ'\nasn = 9198\n" + toml)
    return path


def live(
    folder: Path,
    toml: str,
    begin: float,
    story: Callable[[Machine], Coroutine[Any, Any, None]],
    *,
    after_round: AfterRound | None = None,
    paused: Callable[[], bool] = lambda: False,
    seed: int = 1,
) -> Machine:
    """Play `story` with a daemon on a machine whose clock says `begin`; return the machine."""
    path = write_configuration(folder, toml)

    def load() -> tuple[Installation, Watchlist]:
        config = load_config(path, {})
        return Installation(config, config.database), load_watchlist(config)

    async def main() -> Machine:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clock, chance = VirtualClock(loop, begin), random.Random(seed)
        installation, watchlist = load()
        VirtualStore.loop = loop
        with VirtualStore(installation.database) as store:
            prober = Prober(clock)
            daemon = Daemon(
                installation,
                watchlist,
                store,
                clock,
                load=load,
                draw=lambda span: chance.uniform(0, span),
                probing=prober,
                after_round=[after_round] if after_round else [],
                paused=paused,
            )
            machine = Machine(folder, clock, loop, prober, store, daemon, chance)
            await story(machine)
        return machine

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
