"""Put the daemon through years: its schedule, its memory and files over two days, its idling.

``python -m tests.torture_daemon --write`` does all of it and keeps the figures in
docs/reliability.md; `make torture` calls it. The suite does less of the same.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from lab.network import World
from lab.scenario import load_scenario
from probes.rounds import RoundDone
from sitewatch.config import load_config
from sitewatch.daemon import Daemon
from sitewatch.daemon_clock import BEAT
from sitewatch.daemon_round import Order, probe
from sitewatch.installation import Installation
from sitewatch.watchlist import load_watchlist
from storage.records import utc_seconds
from storage.store import Store
from tests.test_daemon import Lived, live_through_troubles
from tests.test_schedule import BERLIN, Life, cadence, day_of
from tests.torture import machine

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- daemon: begin -->\n", "<!-- daemon: end -->\n"
MEGABYTE = 1e6

TARGETS = 20
_SCENARIO = f"""\
title = "Two days of a daemon"
country = "KZ"
targets = {[f"https://site{n:02}.example/" for n in range(TARGETS)]}

[[networks]]
name = "isp"
asn = 64496
latency_ms = 1

[sitewatch.schedule]
every = "1h"
waking_hours = "00:00-24:00"

[sitewatch.limits]
month_megabytes = 100000
"""


# --- the schedule --------------------------------------------------------------------------------


class ScheduleFigures(msgspec.Struct):
    """A thousand days of the pure schedule, by the machine's clock."""

    rounds: int
    calm_days: int  # days without any suspend, clock jump or outage
    calm_days_wrong: int  # of these, those without exactly four rounds
    asleep: int  # rounds outside waking hours
    most_in_a_day: int


def thousand_days(seed: int) -> ScheduleFigures:
    """Live a thousand days of a machine with suspends, clock jumps, outages and summer time."""
    life = Life(cadence(zone=BERLIN), seed)
    begin = life.day()
    while (life.day() - begin).days < 1000:
        life.live()
    by_day = Counter(map(day_of, life.made))
    calm = {begin + timedelta(days=number) for number in range(1, 999)} - life.troubled
    return ScheduleFigures(
        rounds=len(life.made),
        calm_days=len(calm),
        calm_days_wrong=sum(by_day[day] != 4 for day in calm),
        asleep=sum(not life.plan.hours.is_awake(at, BERLIN) for at in life.made),
        most_in_a_day=max(by_day.values()),
    )


# --- two days, compressed ------------------------------------------------------------------------


class Sample(msgspec.Struct):
    """The daemon's process after one round."""

    resident: int  # bytes
    files: int
    database: int  # bytes in use
    measurements: int


class LeapingClock:
    """The machine's clock, taken forward to the next round whenever there is nothing to do."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def wall(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        # The heart beats faster, so that it notices the leap; nothing else waits for long.
        await asyncio.sleep(min(seconds, 0.1 if seconds == BEAT else 0.5))


async def beside_the_clock(order: Order) -> RoundDone:
    """Make a round and leave out by how much the clock is off: the lab's time does not leap."""
    done = await probe(order)
    line = msgspec.structs.replace(done.round.line, clock_offset_us=None)
    return dataclasses.replace(done, round=msgspec.structs.replace(done.round, line=line))


async def compress(config_path: Path, database: str, hours: float) -> list[Sample]:
    """Run the real daemon with the real prober for so many hours of its clock."""
    config = load_config(config_path, {})
    installation, clock, samples = Installation(config, database), LeapingClock(), list[Sample]()
    end = clock.wall() + hours * 3600
    with Store(database) as store:
        daemon = Daemon(
            installation,
            load_watchlist(config),
            store,
            clock,
            load=lambda: (installation, load_watchlist(config)),
            draw=lambda _span: 0.0,
            probing=beside_the_clock,
        )
        working, made = asyncio.create_task(daemon.run()), ""
        while clock.wall() < end and not working.done():
            await asyncio.sleep(0.1)
            upcoming = min(map(utc_seconds, daemon.state.next.values()), default=0.0)
            if upcoming > clock.wall() + 1:
                if daemon.state.last_success != made:
                    made = daemon.state.last_success
                    samples.append(_sample(store, TARGETS * (len(samples) + 1)))
                clock.ahead += upcoming - clock.wall() + 1
        daemon.stop()
        await working
    return samples


def _sample(store: Store, measurements: int) -> Sample:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        resident=pages * os.sysconf("SC_PAGESIZE"),
        files=len(os.listdir("/proc/self/fd")),
        database=store.size().used,
        measurements=measurements,
    )


def two_days(hours: float) -> list[Sample]:
    """Compress so many hours in the lab and return a sample for each round."""
    with tempfile.TemporaryDirectory() as folder:
        scenario_file = Path(folder) / "days.toml"
        scenario_file.write_text(_SCENARIO)
        with World(load_scenario(str(scenario_file)), seed=1) as world:
            client = world.clients[0]
            argv = [sys.executable, "-m", "tests.torture_daemon", "--inside", str(hours)]
            argv += [str(world.config_path(client)), str(Path(folder) / "days.db")]
            process = world.popen(client, argv, stdout=subprocess.PIPE, cwd=ROOT)
            output, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"the daemon inside ended with {process.returncode}")
    return msgspec.json.decode(output, type=list[Sample])


def growth(samples: Sequence[Sample]) -> float:
    """Return the bytes that the database grows by for each measurement, rounds and all."""
    first, last = samples[len(samples) // 4], samples[-1]
    return (last.database - first.database) / (last.measurements - first.measurements)


# --- idling --------------------------------------------------------------------------------------


class Idle(msgspec.Struct):
    """A daemon between rounds."""

    resident: int  # bytes
    cpu: float  # seconds of processor time per second


def idle(seconds: float) -> Idle:
    """Start a daemon that has nothing to do until tomorrow, and watch it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hour = time.gmtime(time.time() + 12 * 3600).tm_hour
        config = folder / "sitewatch.toml"
        config.write_text(
            f'[schedule]\ntime_zone = "UTC"\nwaking_hours = "{hour:02}:00-{hour:02}:59"\n'
            "[vantage]\nsimulated = true\n"
        )
        Store(folder / "sitewatch.db").close()  # only a new database needs Alembic's memory
        argv = [sys.executable, "-m", "sitewatch", "daemon", "--consent", "--config", str(config)]
        with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE) as daemon:
            assert daemon.stderr is not None
            daemon.stderr.readline()  # it says what it watches
            time.sleep(5)
            before = _processor_seconds(daemon.pid)
            time.sleep(seconds)
            used = _processor_seconds(daemon.pid) - before
            status = Path(f"/proc/{daemon.pid}/status").read_text()
            daemon.terminate()
            daemon.communicate(timeout=30)
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return Idle(int(resident.split()[1]) * 1024, used / seconds)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- the figures ---------------------------------------------------------------------------------


def figures(
    years: Sequence[ScheduleFigures],
    months: Sequence[Lived],
    samples: Sequence[Sample],
    hours: float,
    idling: Idle,
) -> str:
    """Return all figures as Markdown."""
    tenth = max(1, len(samples) // 10)
    first = sum(s.resident for s in samples[:tenth]) / tenth
    last = sum(s.resident for s in samples[-tenth:]) / tenth
    lines = [
        machine(),
        "",
        "| the schedule | pure, 1,000 days | the daemon, 30 days |",
        "|---|---|---|",
        f"| lives, each with another seed | {len(years)} | {len(months)} |",
        f"| rounds | {sum(y.rounds for y in years)} | {sum(m.rounds for m in months)} |",
        f"| days without suspend, clock jump or outage | {sum(y.calm_days for y in years)} "
        f"| {sum(m.calm_days for m in months)} |",
        f"| of these, days without exactly four rounds | {sum(y.calm_days_wrong for y in years)} "
        f"| {sum(m.calm_days_wrong for m in months)} |",
        f"| most rounds in a day, after clocks were set back "
        f"| {max(y.most_in_a_day for y in years)} | {max(m.most_in_a_day for m in months)} |",
        f"| rounds in sleeping hours | {sum(y.asleep for y in years)} "
        f"| {sum(m.asleep for m in months)} |",
        f"| months over their data budget | | {sum(m.over_budget for m in months)} |",
        "",
        f"| {hours:g} hours compressed, {len(samples)} rounds over {TARGETS} sites in the lab | |",
        "|---|---|",
        f"| resident memory in the first tenth | {first / MEGABYTE:.1f} MB |",
        f"| in the last tenth | {last / MEGABYTE:.1f} MB ({100 * (last / first - 1):+.1f} %) |",
        f"| most | {max(s.resident for s in samples) / MEGABYTE:.1f} MB |",
        f"| open files after the first and the last round "
        f"| {samples[0].files}, {samples[-1].files} |",
        f"| growth of the database for each clean measurement | {growth(samples) / 1000:.1f} KB |",
        "",
        "| an idle daemon, on a database that was there | |",
        "|---|---|",
        f"| resident memory | {idling.resident / MEGABYTE:.1f} MB |",
        f"| share of a core | {100 * idling.cpu:.2f} % |",
    ]
    return "\n".join([*lines, ""])


def main() -> int:
    """Torture, print the figures, and with --write keep them."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture_daemon", description=__doc__)
    parser.add_argument("--hours", type=float, default=48.0, help="hours to compress")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds to watch an idle daemon")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {REPORT.name}")
    parser.add_argument(
        "--inside", nargs=3, metavar=("HOURS", "CONFIG", "DB"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.inside:
        hours, config, database = options.inside
        samples = asyncio.run(compress(Path(config), database, float(hours)))
        sys.stdout.buffer.write(msgspec.json.encode(samples))
        return 0
    years = [thousand_days(seed) for seed in range(10)]
    months = []
    for seed in range(4):
        with tempfile.TemporaryDirectory() as folder:
            months.append(live_through_troubles(Path(folder), 30, seed))
    text = figures(years, months, two_days(options.hours), options.hours, idle(options.idle))
    print(text)
    if options.write:
        before, _, rest = REPORT.read_text("utf-8").partition(BEGIN)
        REPORT.write_text(before + BEGIN + text + END + rest.partition(END)[2], "utf-8")
    wrong = sum(year.calm_days_wrong + year.asleep for year in years) + sum(
        month.calm_days_wrong + month.asleep + month.over_budget for month in months
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
