"""How often Sitewatch calls blocking what is not: ``python bench/false_alarms.py``.

Worlds without any censor are made in the lab, several at once, each with a line of random loss (0
to 5 % each way), latency (10 to 800 ms there and back) and jitter, and with as many sites of each
innocent kind below as ``--each`` says: healthy ones, dead ones, ones that turn the country away,
ones with a wrong certificate. The real command measures all of them in one round at tier probing.

With ``--into FILE`` every finished world is a line of that file, and the next run goes on where the
file ends: so 20,000 measurements can be had in pieces (``--minutes`` bounds a piece). What is
printed at the end sums up the file: the rate of `blocked` with its 95 % interval (Clopper and
Pearson). Exit code 1: more than one in ten thousand, or any at `confirmed`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lab.network import LabUnavailable, World  # noqa: E402
from lab.pki import Pki  # noqa: E402
from lab.scenario import load_scenario  # noqa: E402
from lab.temporary import temporary_folder  # noqa: E402

WORST = 1e-4  # of all measurements may be called blocked
_SECONDS = 1500.0  # for one world
_PARALLEL = 48  # targets at once in a world
_APART = 3.0  # seconds between the beginnings of worlds
# Of each kind one site stands in every world.
KINDS = {
    "healthy": "",
    "large": "size = 60000",
    "many-addresses": "cdn = true",
    "by-asker": 'cdn = "asker"',
    "in-clear": 'http = "serve"\nhttps = false',
    "refuses": 'refuse_countries = ["KZ"]',
    "refuses-451": 'refuse_countries = ["KZ"]\nrefuse_status = 451',
    "refuses-in-silence": 'refuse_countries = ["KZ"]\nrefuse_how = "silence"',
    "refuses-hello": 'refuse_countries = ["KZ"]\nrefuse_how = "tls-silence"',
    "refuses-by-reset": 'refuse_countries = ["KZ"]\nrefuse_how = "tls-reset"',
    "refuses-by-alert": 'refuse_countries = ["KZ"]\nrefuse_how = "tls-alert"',
    "captcha": "captcha = true",
    "error": "status = 503",
    "expired": 'certificate = "expired"',
    "self-signed": 'certificate = "self-signed"',
    "other-name": 'certificate = "wrong-name"',
    "dead": "",
    "refusing": "",
}
_DOWN = {"dead": "swallow", "refusing": "refuse"}


def line_of(chance: random.Random) -> dict[str, float]:
    """Draw a line: one-way latency and jitter in milliseconds, loss as a share each way."""
    half = chance.uniform(5, 400)
    return {
        "latency_ms": round(half, 1),
        "jitter_ms": round(chance.uniform(0, half / 2), 1),
        "loss": round(chance.uniform(0, 0.05), 4),
    }


def scenario(line: dict[str, float], each: int) -> str:
    """Return a world of innocent sites, `each` of every kind, behind a line."""
    hosts = {f"{kind}-{number}.example": kind for kind in KINDS for number in range(each)}
    lines = [
        'country = "KZ"',
        f"targets = [{', '.join(json.dumps(_url(host, kind)) for host, kind in hosts.items())}]",
        f"sitewatch.limits = {{ parallel = {_PARALLEL} }}",
        "[[networks]]",
        'name = "isp"',
        "asn = 64496",
        *(f"{key} = {value}" for key, value in line.items()),
    ]
    for host, kind in hosts.items():
        lines += ["[[sites]]", f'host = "{host}"', KINDS[kind]]
        if kind in _DOWN:
            lines += ["[[downs]]", f'hosts = ["{host}"]', f'how = "{_DOWN[kind]}"']
    return "\n".join(lines) + "\n"


def _url(host: str, kind: str) -> str:
    return f"{'http' if kind == 'in-clear' else 'https'}://{host}/"


def measure(
    world: World, database: Path, running: set[subprocess.Popen[bytes]]
) -> tuple[list[Any], str]:
    """Run `sitewatch measure` on every target; return URL and verdict of each, and its last word
    where it failed."""
    command = [sys.executable, "-m", "sitewatch", "measure", "--json", "--tier", "probing"]
    client = world.clients[0]
    process = world.popen(
        client,
        [*command, "--database", str(database), *world.scenario.targets],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | world.environment(client) | {"SITEWATCH_CONSENT": "yes"},
    )
    running.add(process)
    try:
        output, errors = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
    finally:
        running.discard(process)
    found = [json.loads(line) for line in output.splitlines() if line.endswith(b"}")]
    verdicts = [{"url": one["url"], **one["verdict"]} for one in found if one["verdict"]]
    said = errors.decode(errors="replace").strip().splitlines() or ["no word"]
    return verdicts, "" if process.returncode == 0 else f"{process.returncode}: {said[-1]}"


def one_world(
    name: str, each: int, folder: Path, pki: Pki, running: set[subprocess.Popen[bytes]]
) -> dict[str, Any]:
    """Make the world of a name, which draws its line and its addresses, and measure it."""
    began, chance = time.monotonic(), random.Random(name)
    line, path = line_of(chance), folder / f"{name}.toml"
    path.write_text(scenario(line, each))
    with World(load_scenario(path), seed=chance.randrange(2**31), pki=pki) as world:
        verdicts, trouble = measure(world, folder / f"{name}.db", running)
    for left in folder.glob(f"{name}.*"):
        if left.is_file():
            left.unlink()
    statuses: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for one in verdicts:
        statuses[one["url"].split("/")[2].rpartition("-")[0]][one["status"]] += 1
    return {
        "world": name,
        **line,
        "seconds": round(time.monotonic() - began),
        "trouble": trouble,
        "statuses": statuses,
        "alarms": [one for one in verdicts if one["status"] == "blocked"],
    }


def worlds_until_enough(options: argparse.Namespace, known: list[Any]) -> Iterator[dict[str, Any]]:
    """Measure worlds that are not known yet, several at once, and yield each as it ends."""
    done, count = {world["world"] for world in known}, sum(map(size, known))
    until = time.monotonic() + 60 * options.minutes
    names = (f"{options.seed}-{number}" for number in range(options.measurements))
    fresh = (name for name in names if name not in done)
    running, stopping = set[subprocess.Popen[bytes]](), threading.Event()
    with (
        temporary_folder("sitewatch-alarms-") as folder,
        ThreadPoolExecutor(options.worlds) as pool,
    ):
        pki = Pki.create(folder / "pki")
        waiting = set[Future[dict[str, Any]]]()
        try:
            while True:
                expected = count + len(waiting) * options.each * len(KINDS)
                wanted = expected < options.measurements and time.monotonic() < until
                if wanted and len(waiting) < options.worlds:
                    call = (next(fresh), options.each, folder, pki, running)
                    waiting.add(pool.submit(one_world, *call))
                    stopping.wait(_APART)  # so that not all of them begin at once
                    continue
                if not waiting:
                    return
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    found = future.result()
                    count += size(found)
                    yield found
        finally:
            for process in list(running):
                process.kill()


def size(world: dict[str, Any]) -> int:
    """Return how many measurements a world gave."""
    return sum(sum(statuses.values()) for statuses in world["statuses"].values())


def interval(events: int, tries: int) -> tuple[float, float]:
    """Return the 95 % Clopper-Pearson interval of a rate, by bisection of the binomial."""

    def at_most(count: int, rate: float) -> float:
        logs = (
            math.lgamma(tries + 1)
            - math.lgamma(k + 1)
            - math.lgamma(tries - k + 1)
            + k * math.log(rate)
            + (tries - k) * math.log1p(-rate)
            for k in range(count + 1)
        )
        return sum(math.exp(one) for one in logs)

    def where(count: int, share: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(count, middle) > share else (low, middle)
        return (low + high) / 2

    below = 0.0 if events == 0 else where(events - 1, 0.975)
    above = 1.0 if events == tries else where(events, 0.025)
    return below, above


def main() -> int:
    """Measure until there are enough, print the rate, and say whether it is low enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measurements", type=int, default=200, help="20000 for the full run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--into", type=Path, help="file of finished worlds, to be gone on with")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start none after these")
    parser.add_argument("--each", type=int, default=1, help="sites of each kind in a world")
    parser.add_argument("--worlds", type=int, default=2, help="at once")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    text = options.into.read_text() if options.into and options.into.exists() else ""
    known = [json.loads(line) for line in text.splitlines()]
    try:
        with contextlib.closing(worlds_until_enough(options, known)) as worlds:
            for world in worlds:
                known.append(world)
                if options.into:
                    with options.into.open("a") as file:
                        file.write(json.dumps(world) + "\n")
                print(f"{len(known)} worlds, {dict(summed(known))}", file=sys.stderr)
    except LabUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    return told(known)


def summed(worlds: list[Any]) -> Counter[str]:
    """Return how often each status was found."""
    total: Counter[str] = Counter()
    for world in worlds:
        for statuses in world["statuses"].values():
            total.update(statuses)
    return total


def told(worlds: list[Any]) -> int:
    """Print the figures as one line of JSON and return the exit code."""
    statuses = summed(worlds)
    alarms = [{"world": world["world"], **alarm} for world in worlds for alarm in world["alarms"]]
    tries = statuses.total()
    low, high = interval(len(alarms), tries) if tries else (0.0, 1.0)
    confirmed = sum(alarm["certainty"] == "confirmed" for alarm in alarms)
    figures = {
        "measurements": tries,
        "worlds": len(worlds),
        "statuses": dict(statuses),
        "by_kind": {
            kind: dict(sum((Counter(world["statuses"][kind]) for world in worlds), Counter()))
            for kind in KINDS
        },
        "blocked": len(alarms),
        "confirmed": confirmed,
        "rate": len(alarms) / tries if tries else None,
        "interval_95": [low, high],
        "alarms": alarms,
    }
    print(json.dumps(figures))
    return 1 if confirmed or len(alarms) > WORST * max(tries, 1) else 0


if __name__ == "__main__":
    sys.exit(main())
