"""How often Sitewatch calls blocking what is not: ``python -m bench.false_alarms``.

Worlds without any censor are made in the lab, many at once, each with a line of random loss (0
to 5 % each way), latency (10 to 800 ms there and back) and jitter, and with as many sites of each
innocent kind of `bench.innocents` as ``--each`` says: healthy ones, dead ones, ones that turn the
country away, ones with a wrong certificate. The real command measures all of them in one round at
tier probing, as it comes.

A world computes for 0.1 s a measurement, in its first minute mostly, and waits for some minutes:
what is silent has to be waited out. So many worlds run at once; a new one begins while a program
that wants a processor is given enough of one (``--share``), since on an overloaded machine the
machine itself would be the noise. The figures at the end say what share there was, and how often
helpers kept silent and sites that are healthy or broken for everybody were left open
(`inconclusive`): where these are many, little was measured.

With ``--into FILE`` every finished world is a line of that file, and the next run goes on where the
file ends: so 20,000 measurements can be had in pieces (``--minutes`` bounds a piece). The databases
of all worlds are kept in ``FILE.databases``, from which ``--anew`` judges them by today's rules.
What is printed at the end sums up the file: the rate of `blocked` with its 95 % interval (Clopper
and Pearson). Exit code 1: more than one in ten thousand, or any at `confirmed`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec

from bench.innocents import BROKEN, HEALTHY, KINDS, counted, one_world
from bench.machine import Machine
from lab.network import LabUnavailable, check_available
from lab.pki import Pki
from lab.temporary import temporary_folder
from sitewatch.rejudging import rejudge
from storage.store import Store

WORST = 1e-4  # of all measurements may be called blocked
# Seconds between the beginnings of worlds: one computes for a minute after it has begun, so that
# only then it shows what room is left.
_APART = 15.0


def worlds_until_enough(options: argparse.Namespace, known: list[Any]) -> Generator[dict[str, Any]]:
    """Measure worlds that are not known yet, many at once, and yield each as it ends."""
    done, count = {world["world"] for world in known}, sum(map(size, known))
    until = time.monotonic() + 60 * options.minutes
    names = (f"{options.seed}-{number}" for number in itertools.count())
    fresh = (name for name in names if name not in done)
    running, latest = set[subprocess.Popen[bytes]](), -math.inf
    with contextlib.ExitStack() as held:
        machine = held.enter_context(Machine())
        folder = held.enter_context(temporary_folder("sitewatch-alarms-"))
        pool = held.enter_context(ThreadPoolExecutor(options.worlds))
        pki, databases = Pki.create(folder / "pki"), folders_of(options.into or folder / "alarms")
        databases.mkdir(exist_ok=True)
        waiting = set[Future[dict[str, Any]]]()
        try:
            while True:
                expected = count + len(waiting) * options.each * len(KINDS)
                wanted = expected < options.measurements and time.monotonic() < until
                fits = machine.share() > options.share and time.monotonic() - latest > _APART
                if wanted and len(waiting) < options.worlds and (fits or not waiting):
                    call = (next(fresh), options.each, databases, pki, machine, running)
                    waiting.add(pool.submit(one_world, *call))
                    latest = time.monotonic()
                if not waiting:
                    return
                ended, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in ended:
                    found = future.result()
                    count += size(found)
                    yield found
        finally:
            for process in list(running):
                process.kill()


def folders_of(into: Path) -> Path:
    """Return where the databases of a file's worlds are kept."""
    return into.with_name(f"{into.name}.databases")


def judged_anew(worlds: Iterable[dict[str, Any]], databases: Path) -> Iterator[dict[str, Any]]:
    """Judge the worlds by today's rules out of their databases, and yield each as it is then."""
    for world in worlds:
        path = databases / f"{world['world']}.db"
        if not path.exists():
            yield world
            continue
        with Store(path, create=False) as store:
            for _ in rejudge(store, everything=True):
                pass
            verdicts = {row.url: msgspec.to_builtins(row.verdict) for row in store.judged()}
        yield world | counted(verdicts)


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
    parser = argparse.ArgumentParser(prog="python -m bench.false_alarms")
    parser.add_argument("--measurements", type=int, default=180, help="20000 for the full run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--into", type=Path, help="file of finished worlds, to be gone on with")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start none after these")
    parser.add_argument("--each", type=int, default=5, help="sites of each kind in a world")
    parser.add_argument("--worlds", type=int, default=32, help="at once, at most")
    parser.add_argument("--share", type=float, default=0.6, help="of a processor; start none below")
    parser.add_argument("--anew", action="store_true", help="measure nothing, judge FILE anew")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    into: Path | None = options.into
    text = into.read_text() if into and into.exists() else ""
    known = [json.loads(line) for line in text.splitlines()]
    if options.anew:
        if not (into and into.exists()):
            parser.error("--anew needs --into FILE")
        known = list(judged_anew(known, folders_of(into)))
        into.write_text("".join(json.dumps(world) + "\n" for world in known))
        return told(known)
    try:
        check_available()
        with contextlib.closing(worlds_until_enough(options, known)) as worlds:
            for world in worlds:
                known.append(world)
                if into:
                    with into.open("a") as file:
                        file.write(json.dumps(world) + "\n")
                print(f"{len(known)} worlds, {dict(summed(known))}", file=sys.stderr)
    except LabUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    return told(known)


def summed(worlds: list[Any], kinds: Iterable[str] = KINDS) -> Counter[str]:
    """Return how often each status was found, at sites of some kinds."""
    total: Counter[str] = Counter()
    for world in worlds:
        for kind in kinds:
            total.update(world["statuses"][kind])
    return total


def health(worlds: list[Any]) -> dict[str, Any]:
    """Return how far the machine itself may have been the noise."""
    asked = sum(world["helpers_asked"] for world in worlds)
    found = {"healthy": summed(worlds, HEALTHY), "broken": summed(worlds, BROKEN)}
    return {
        "worlds_with_trouble": [world["trouble"] for world in worlds if world["trouble"]],
        "share_median": statistics.median(world["share"] for world in worlds),
        "share_least": min(world["share"] for world in worlds),
        "load_median": statistics.median(world["load"] for world in worlds),
        "helpers_silent": round(sum(w["helpers_silent"] for w in worlds) / max(asked, 1), 4),
        "left_open": {
            kinds: round(statuses["inconclusive"] / max(statuses.total(), 1), 4)
            for kinds, statuses in found.items()
        },
    }


def told(worlds: list[Any]) -> int:
    """Print the figures as one line of JSON and return the exit code."""
    if not worlds:
        return 1
    tries = summed(worlds).total()
    alarms = [{"world": world["world"], **alarm} for world in worlds for alarm in world["alarms"]]
    low, high = interval(len(alarms), tries) if tries else (0.0, 1.0)
    confirmed = sum(alarm["certainty"] == "confirmed" for alarm in alarms)
    figures = {
        "measurements": tries,
        "worlds": len(worlds),
        "statuses": dict(summed(worlds)),
        "by_kind": {kind: dict(summed(worlds, [kind])) for kind in KINDS},
        "health": health(worlds),
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
