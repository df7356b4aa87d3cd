"""A target keeps its measurement waiting for so long and no longer; our own queues do not count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from lab.scenario import load_scenario
from probes import patience
from probes.certificates import CertificateJudge
from probes.clock import SystemClock
from probes.measure import measure
from probes.patience import Patience
from probes.prober import Prober
from probes.rounds import DailyBudget
from probes.settings import Limits, Resolvers, Settings
from storage.failures import Failure
from storage.records import Exchange, Line, Measurement, Record, Vantage, record_id, utc_seconds
from tests.lab_worlds import require_lab
from tests.loopback import serving
from tests.measured_scenarios import measure as measure_in_lab


class Hand(SystemClock):
    """A clock that goes on only by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_it_runs_out_while_the_network_is_waited_for_and_not_in_our_own_queues() -> None:
    clock = Hand()
    left = Patience(clock)
    clock.now += 1000  # nobody waits for anything
    assert left.left() == patience.MOST_SECONDS == 60.0
    await left.during(clock.sleep, 10)
    assert left.left() == 50

    async def ask() -> None:
        clock.now += 2
        with left.queueing():  # for a socket, say
            clock.now += 100
            with left.queueing():
                clock.now += 100
            clock.now += 100
        clock.now += 3
        assert left.left() == 45

    await left.during(ask)
    assert (left.left(), left.at_most(10), left.at_most(50)) == (45, 10, 45)
    await left.during(clock.sleep, 100)
    assert (left.left(), left.at_most(10)) == (0, 0)


async def test_it_stops_running_out_where_the_wait_ended_in_an_exception() -> None:
    clock = Hand()
    left = Patience(clock)

    async def fails() -> None:
        clock.now += 5
        raise OSError("of its own")

    with pytest.raises(OSError, match="of its own"):
        await left.during(fails)
    with pytest.raises(OSError, match="of its own"), left.queueing():
        raise OSError("of its own")
    clock.now += 100
    assert left.left() == 55


async def _measured(clock: SystemClock, limits: Limits, seconds: float) -> Measurement:
    """Measure a server that lets `clock`, if it is a hand's, go on so far and closes without a
    word; with another clock it keeps silent."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if isinstance(clock, Hand):
            clock.now += seconds
        else:
            await reader.read()

    async def nothing() -> None:
        return

    async def keep(record: Record, blobs: Mapping[str, bytes]) -> str:
        return record_id(record)

    prober = Prober(
        settings=Settings(limits=limits, resolvers=Resolvers(public=(), doh=())),
        clock=clock,
        judge=CertificateJudge(),
        vantage=Vantage(id="0" * 32),
        simulated=True,
        tool="sitewatch",
    )
    prober.begin(Line(state="up"), ())
    again: Callable[[], Awaitable[None]] = nothing
    async with serving(handler) as port, asyncio.timeout(20):
        url = f"http://127.0.0.1:{port}/"
        done = await measure(prober, url, "0" * 64, keep, DailyBudget(0), again)
    assert done is not None
    assert done.measurement.complete
    return done.measurement


@pytest.mark.parametrize(("seconds", "attempts"), [(10, {0, 1, 2}), (25, {0, 1}), (40, {0})])
async def test_no_reload_is_begun_that_may_not_end_in_time(
    seconds: float, attempts: set[int]
) -> None:
    measured = await _measured(Hand(), Limits(), seconds)
    assert {step.attempt for step in measured.steps} == attempts
    assert all(step.failure for step in measured.steps if isinstance(step, Exchange))


async def test_what_is_cut_short_is_recorded_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "MOST_SECONDS", 0.3)
    measured = await _measured(SystemClock(), Limits(http_timeout=3600.0), 0.0)
    [step] = [step for step in measured.steps if isinstance(step, Exchange)]
    assert step.failure == Failure.TIMEOUT
    assert {each.attempt for each in measured.steps} == {0}


# Each keeps us waiting in its own way for as long as the default limits allow.
SLOWEST = """
country = "KZ"
targets = [
  "https://dead.example/", "https://mute.example/", "https://stalls.example/",
  "https://far.example/", "https://nameless.example/",
]
networks = [{name = "isp", asn = 64496}]
helpers = [{url = "https://honest.example/"}, {url = "https://gone.example/", dead = true}]
[[sites]]
host = "dead.example"
[[sites]]
host = "mute.example"
[[sites]]
host = "nameless.example"
[[sites]]
host = "stalls.example"
body = "stall"
size = 60000
[[sites]]
host = "far.example"
delay_ms = 8000.0
redirect = "https://farther.example/"
[[sites]]
host = "farther.example"
delay_ms = 8000.0
redirect = "https://stalls.example/"
[[downs]]
hosts = ["dead.example"]
how = "swallow"
[[censors]]
kind = "tls-drop"
names = ["mute.example"]
[[resolvers]]
of = "isp"
how = "dead"
names = ["nameless.example"]
"""


@pytest.mark.long
@pytest.mark.lab
def test_the_slowest_targets_end_their_first_part_within_sixty_seconds(tmp_path: Path) -> None:
    require_lab()
    path = tmp_path / "slowest.toml"
    path.write_text(SLOWEST)
    scenario = load_scenario(path)
    measured = measure_in_lab(scenario, tmp_path, list(scenario.targets))
    assert len(measured.lines) == len(scenario.targets)
    for line in measured.lines:
        ends = [utc_seconds(each["start"]) + each["duration_us"] / 1e6 for each in line["steps"]]
        took = max(ends) - utc_seconds(line["time"])
        print(
            f"{line['url']:<30} {took:.1f} s, attempts {max(s['attempt'] for s in line['steps'])}"
        )
        assert took <= patience.MOST_SECONDS
        assert line["complete"]
        assert any(step["failure"] for step in line["steps"])
