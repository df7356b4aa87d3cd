"""How fast a report is, and how large: ``python bench/report.py``.

Invents a year of 200 targets on 10 networks, a dozen of them blocked on some networks for a time,
with experiments after failures, and writes the records through the store (not timed; keep them with
`--database PATH`, which is used again if it exists, after one report that is not timed). The
verdicts are brought up to date as the daemon keeps them, by `sitewatch judge` (not timed). Then the
real `sitewatch report` runs, and Chromium opens its page as a desktop and as a phone would (the
median of five times). One line of JSON; exit code 1 says that it took longer than 20 seconds or
that the page is over 3 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from storage.bulk import Item  # noqa: E402
from storage.records import (  # noqa: E402
    Measurement,
    Round,
    Step,
    Vantage,
    record_id,
    utc_seconds,
    utc_text,
)
from storage.store import Store  # noqa: E402
from tests.cases import TIMEOUT, UP, arms, helper, loads, measurement  # noqa: E402

WANTED_SECONDS, WANTED_MEGABYTES = 20.0, 3.0
FIRST = "2017-01-01"
DAY = 86400.0
_PAGE = 5000  # a transaction
_SEED = 2017
_REACHED = [helper()]
_ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu"]
_TIMES = """() => new Promise((done) => {
  const look = () => {
    const [paint] = performance.getEntriesByName('first-contentful-paint');
    if (!paint) return setTimeout(look, 20);
    done([paint.startTime, performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd]);
  };
  look();
})"""


class World:
    """Which target is blocked on which network, from when to when; the same for the same seed."""

    def __init__(self, targets: int, networks: int, days: int) -> None:
        chance = random.Random(_SEED)
        self.hosts = [f"site{number}.example" for number in range(targets)]
        self.spans: dict[tuple[str, int], tuple[float, float]] = {}
        for host in chance.sample(self.hosts, max(1, targets // 16)):
            begin = chance.uniform(0.1, 0.7) * days
            length = chance.uniform(0.02, 0.25) * days
            for network in chance.sample(range(networks), max(1, networks // 2)):
                self.spans[host, network] = (begin, begin + length)
        self.chance = chance

    def blocked(self, host: str, network: int, day: float) -> bool:
        begin, end = self.spans.get((host, network), (0.0, 0.0))
        return begin <= day < end


def records(world: World, vantages: list[Vantage], days: int, every: float) -> Iterator[Item]:
    """Yield the rounds of all networks, each with its measurements and their follow-ups."""
    begin = utc_seconds(f"{FIRST}T06:00:00.000000Z")
    templates = {host: loads(1, name=host) for host in world.hosts}
    silent = {host: loads(3, name=host, tls=TIMEOUT) for host in world.hosts}
    for step in range(int(days / every)):
        for network, vantage in enumerate(vantages):
            moment = begin + step * every * DAY + 60.0 * network
            head = Round(
                simulated=True,
                tool="sitewatch 0.1.0",
                time=utc_text(moment),
                vantage=vantage,
                line=UP,
                targets=len(world.hosts),
            )
            yield Item(head)
            for place, host in enumerate(world.hosts):
                blocked = world.blocked(host, network, step * every)
                steps = silent[host] if blocked else templates[host]
                yield from _measured(host, steps, vantage, head, moment + 5 * place, blocked)


def _measured(
    host: str, steps: list[Step], vantage: Vantage, head: Round, moment: float, blocked: bool
) -> Iterator[Item]:
    record: Measurement = measurement(
        steps,
        url=f"https://{host}/",
        time=utc_text(moment),
        vantage=vantage,
        helpers=_REACHED,
        round=record_id(head),
    )
    yield Item(record)
    if blocked:
        contrast = measurement(
            arms(name=host),
            url=record.url,
            time=utc_text(moment + 60),
            vantage=vantage,
            round=record.round,
            follows=record_id(record),
        )
        yield Item(contrast)


def write(path: Path, targets: int, networks: int, days: int, every: float) -> int:
    """Write the world's records; return how many."""
    count = 0
    with Store(path) as store:
        vantages = [
            store.own_vantage(country="KZ", asn=64496 + number, network=f"Network {number}")
            for number in range(networks)
        ]
        page: list[Item] = []
        for item in records(World(targets, networks, days), vantages, days, every):
            page.append(item)
            if len(page) == _PAGE:
                store.add_page(page).result()
                count += len(page)
                page = []
        store.add_page(page).result()
        return count + len(page)


def run(*arguments: str) -> tuple[float, float, float]:
    """Run the real command; return its seconds, seconds of computing, and megabytes at its peak."""
    program = "import resource, sys; from sitewatch.cli import group; "
    program += f"group({[*arguments]!r}, standalone_mode=False); "
    program += "used = resource.getrusage(resource.RUSAGE_SELF); "
    program += "print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)"
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - begun
    used, peak = done.stderr.split()[-2:]
    return seconds, float(used), float(peak) / 1024


def opened(page: Path) -> dict[str, dict[str, int]]:
    """Open a page; return milliseconds to the first paint and to the whole document, by device."""
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_ARGUMENTS)
        for device, width in (("desktop", 1280), ("phone", 390)):
            times = []
            for _ in range(5):
                tab = browser.new_page(viewport={"width": width, "height": 900})
                tab.goto(page.as_uri())
                times.append(tab.evaluate(_TIMES))
                tab.close()
            paint, document = (round(statistics.median(each)) for each in zip(*times, strict=True))
            found[device] = {"first_paint_ms": paint, "document_ms": document}
        browser.close()
    return found


def main() -> int:
    """Measure, print, and say by the exit code whether it was fast and small enough."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--networks", type=int, default=10)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--every", type=float, default=1.0, help="days between two rounds")
    parser.add_argument("--database", type=Path)
    parser.add_argument("--dossier", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = options.database or Path(folder) / "bench.db"
        kept = database.exists()
        if not kept:
            size = (options.targets, options.networks, options.days, options.every)
            print(f"{write(database, *size)} records written", file=sys.stderr)
            judging = run("judge", "--database", str(database))[0]
            print(f"judged in {judging:.0f} s", file=sys.stderr)
        last = utc_text(utc_seconds(f"{FIRST}T00:00:00.000000Z") + (options.days - 1) * DAY)[:10]
        out = Path(folder) / "out"
        arguments = ["report", "--from", FIRST, "--to", last, "--output", str(out)]
        arguments += ["--database", str(database)] + ["--dossier"] * options.dossier
        if kept:
            run(*arguments)  # judges what other rules have judged
        seconds, used, peak = run(*arguments)
        sizes = {file.name: round(file.stat().st_size / 1e6, 2) for file in sorted(out.iterdir())}
        episodes = json.loads((out / "episodes.json").read_bytes())["episodes"]
        opening = opened(out / "report.html")
    figures = {
        "measurements": options.targets * options.networks * int(options.days / options.every),
        "episodes": len(episodes),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used, 1),
        "peak_mb": round(peak),
        "megabytes": sizes,
        "opening": opening,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figures))
    return int(seconds > WANTED_SECONDS or sizes["report.html"] > WANTED_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
