"""Nothing waits for ever: no slot is kept while sockets are waited for, and deadlines hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import pytest

from probes import deadline
from probes.arms import try_question
from probes.certificates import CertificateJudge
from probes.clock import SystemClock
from probes.contrasts import Contrast
from probes.followups import Experiment, follow_up
from probes.locate import Place, locate
from probes.measure import measure
from probes.prober import Prober
from probes.rounds import DailyBudget
from probes.settings import Limits, Resolvers, Settings
from probes.shares import Shares
from probes.suspicion import Suspect
from probes.trace import Stage, Trace
from probes.visit import Visit
from sitewatch.daemon import LONGEST_ROUND
from storage.records import Line, Measurement, Record, Vantage, record_id

_LIMITS = Limits(
    parallel=1, dns_timeout=0.3, connect_timeout=0.3, tls_timeout=0.3, http_timeout=0.3
)
_PATIENCE = 20.0  # seconds; only a deadlock takes so long
_URL = "https://127.0.0.1:1/"  # refuses at once


class Hasty(SystemClock):
    """The machine's clock, but nobody waits on purpose."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
async def prober() -> Prober:
    """Return a prober with one slot and one socket, which asks nobody but its targets."""
    made = Prober(
        settings=Settings(limits=_LIMITS, resolvers=Resolvers(public=(), doh=())),
        clock=Hasty(),
        judge=CertificateJudge(),
        vantage=Vantage(id="0" * 32),
        simulated=True,
        tool="sitewatch",
    )
    made.sockets = Shares(1)
    made.begin(Line(state="up"), ())
    return made


async def _visit(prober: Prober) -> None:
    await Visit(prober, prober.trace(), full=False, slot=True).run(_URL)


async def _ask(prober: Prober) -> None:
    arm = Contrast("name@neutral", "site.example", "127.0.0.1", 53)
    await try_question(prober, prober.trace(), Stage("contrast"), arm)


async def _walk(prober: Prober) -> None:
    await locate(prober, prober.trace(), Place(Suspect("site.example", "127.0.0.1", 1), "hello"))


@pytest.mark.parametrize("work", [_visit, _ask, _walk])
async def test_no_slot_is_kept_while_sockets_are_waited_for(
    prober: Prober, work: Callable[[Prober], Coroutine[Any, Any, None]]
) -> None:
    """As by a visit whose connections are open, the sockets are held by who waits for a slot."""
    holds = asyncio.Event()

    async def rival() -> None:
        async with prober.sockets.taken():
            holds.set()
            async with prober.slots.taken():
                pass

    async with asyncio.timeout(_PATIENCE):
        async with prober.slots.taken():
            other = asyncio.create_task(rival())
            await holds.wait()
            await work(prober)
        await other


async def test_visits_that_need_more_sockets_than_there_are_all_end(prober: Prober) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    prober.settings = Settings(limits=Limits(parallel=1, tls_timeout=0.7))

    async def one() -> None:
        async with prober.slots.taken():
            visit = Visit(prober, prober.trace(), full=False, slot=True)
            await visit.run(f"https://127.0.0.1:{port}/")

    async with server, asyncio.timeout(_PATIENCE):
        await asyncio.gather(one(), one())


class Kept:
    """Keeps records in memory."""

    def __init__(self) -> None:
        self.records: list[Measurement] = []

    async def __call__(self, record: Record, blobs: Mapping[str, bytes]) -> str:
        assert isinstance(record, Measurement)
        self.records.append(record)
        return record_id(record)


async def _measure(prober: Prober, kept: Kept, line_again: Callable[[], Awaitable[None]]) -> bool:
    async with asyncio.timeout(_PATIENCE):
        done = await measure(prober, _URL, "0" * 64, kept, DailyBudget(9), line_again)
    return done is not None and done.measurement.complete


async def test_the_line_is_looked_at_without_a_slot(prober: Prober) -> None:
    async def line_again() -> None:
        async with prober.slots.taken():
            looked.append(True)

    looked: list[bool] = []
    for _ in range(4):
        prober.note(wrong=True)
    assert await _measure(prober, Kept(), line_again)
    assert looked == [True]


async def test_a_measurement_that_does_not_end_is_kept_as_incomplete(
    prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        prober.note(wrong=True)
    monkeypatch.setattr(deadline, "MOST_SECONDS", 0.3)
    kept = Kept()
    assert not await _measure(prober, kept, asyncio.Event().wait)  # type: ignore[arg-type]
    assert [(each.complete, len(each.steps)) for each in kept.records] == [(False, 1)]
    async with asyncio.timeout(_PATIENCE), prober.slots.taken():
        pass  # the slot came back


async def test_a_follow_up_that_does_not_end_is_kept_as_incomplete(
    prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def for_ever(trace: Trace) -> None:
        await asyncio.Event().wait()

    async def looks_up(_: object = None) -> None:
        return None

    kept = Kept()
    await _measure(prober, kept, looks_up)
    [measured] = kept.records
    monkeypatch.setattr(deadline, "MOST_SECONDS", 0.1)
    async with asyncio.timeout(_PATIENCE), prober.slots.taken():
        done = await follow_up(
            prober, measured, "0" * 64, Experiment(for_ever), kept, DailyBudget(9)
        )
    assert done is not None
    assert not done[1].complete
    assert kept.records[1:] == [done[1]]


async def test_a_network_that_timed_out_is_not_taken_for_the_deadline() -> None:
    async def fails() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await deadline.in_time(fails())


def test_targets_are_given_up_before_the_daemon_gives_up_the_round() -> None:
    assert deadline.MOST_SECONDS < LONGEST_ROUND
