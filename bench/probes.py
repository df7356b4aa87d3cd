"""What measuring costs: CPU, bytes, wall time and memory for each target and each kind of step.

``python -m bench.probes [TARGETS] [DEAD] [ROUNDS]`` makes a lab with so many healthy targets, of
which a share DEAD (0 to 1) is unreachable, measures all of them inside, so many rounds long in one
process, and prints the figures. The lab runs on the same machine and takes its own part of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.network import World
from lab.scenario import load_scenario

_SAMPLE_SECONDS = 0.2


def main() -> None:
    """Make the lab, measure inside, print."""
    targets = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    dead = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    if not 0 <= dead <= 1:
        sys.exit(f"DEAD is a share of the targets, from 0 to 1, not {dead:g}")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.toml"
        path.write_text(_scenario(targets, dead))
        scenario = load_scenario(path)
        with World(scenario, seed=1) as world:
            process = world.popen(
                world.clients[0],
                [sys.executable, "-m", "bench.probes", "--inside", str(rounds), *scenario.targets],
                stdout=subprocess.PIPE,
            )
            output, _ = process.communicate()
    _print(json.loads(output), targets, rounds)
    print(f"load              {load:.0f} before, {os.getloadavg()[0]:.0f} after")


def _scenario(targets: int, dead: float) -> str:
    names = [f"site{number}.example" for number in range(targets)]
    random.Random(1).shuffle(names)
    down = names[: round(targets * dead)]
    lines = [
        'country = "KZ"',
        "targets = [" + ", ".join(f'"https://{name}/"' for name in sorted(names)) + "]",
        '[[networks]]\nname = "home"\nasn = 64496',
    ]
    if down:
        lines.append("[[downs]]\nhosts = [" + ", ".join(f'"{name}"' for name in down) + "]")
    return "\n".join(lines) + "\n"


def _print(found: dict[str, Any], each: int, rounds: int) -> None:
    wall, cpu, sent, targets = found["wall"], found["cpu"], found["bytes"], each * rounds
    print(f"targets           {each}, measured {rounds} times")
    print(f"slowest target    {found['slowest']:.1f} s until its measurement was kept")
    print(f"wall time         {wall:.1f} s, {targets / wall:.1f} targets a second")
    print(f"CPU               {1000 * cpu / targets:.1f} ms a target")
    print(f"on the wire       {sent / targets / 1000:.1f} KB a target, both ways")
    after = ", ".join(f"{each / 2**20:.0f}" for each in found["after"])
    print(f"memory            {found['memory'] / 1024:.0f} MB at most; after each round {after}")
    print(f"open sockets      {found['sockets']} at most")
    print(f"stored            {found['stored'] / targets / 1000:.1f} KB a target, not compressed")
    for kind, (count, seconds) in sorted(found["steps"].items()):
        print(f"{kind:<17} {count / targets:.1f} a target, {1000 * seconds / count:.1f} ms each")


# --- inside ---------------------------------------------------------------------------------------


async def _measure(rounds: int, urls: list[str]) -> dict[str, Any]:
    from probes.clock import SystemClock
    from probes.rounds import DailyBudget, run_round
    from sitewatch.config import load_config
    from sitewatch.probing import make_prober
    from storage.records import Measurement, Record, Vantage, canonical, digest, utc_seconds

    stored, slowest = 0, 0.0
    steps: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0.0])

    async def keep(record: Record, blobs: Mapping[str, bytes]) -> str:
        nonlocal stored, slowest
        data = canonical(record)
        slowest = max(slowest, time.time() - utc_seconds(record.time))
        stored += len(data) + sum(map(len, blobs.values()))
        for step in record.steps if isinstance(record, Measurement) else ():
            tally = steps[type(step).__name__.lower()]
            tally[0] += 1
            tally[1] += step.duration_us / 1e6
        return digest(data)

    config = load_config(None, os.environ)
    vantage = Vantage(id="0" * 32, country="KZ", asn=64496)
    prober = make_prober(config.settings(), SystemClock(), vantage, simulated=True)
    budget = DailyBudget(0)
    watching = asyncio.create_task(_watch_sockets(highest := [0]))
    before, began, spent = _bytes(), time.monotonic(), time.process_time()
    after = []
    for _ in range(rounds):
        await run_round(prober, urls, keep, budget, lambda _: None, lambda _: None)
        after.append(_memory())
    watching.cancel()
    return {
        "wall": time.monotonic() - began,
        "cpu": time.process_time() - spent,
        "bytes": _bytes() - before,
        "after": after,
        "slowest": slowest,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "sockets": highest[0],
        "stored": stored,
        "steps": steps,
    }


async def _watch_sockets(highest: list[int]) -> None:
    while True:
        links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
        sockets = sum(_is_socket(link) for link in links)
        highest[0] = max(highest[0], sockets)
        await asyncio.sleep(_SAMPLE_SECONDS)


def _is_socket(link: str) -> bool:
    try:
        return os.readlink(link).startswith("socket:")
    except OSError:
        return False  # closed meanwhile


def _memory() -> int:
    """Return how many bytes this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _bytes() -> int:
    """Return what the devices of this namespace have received and sent, loopback left out."""
    lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    rows = [line.replace(":", " ").split() for line in lines]
    return sum(int(row[1]) + int(row[9]) for row in rows if row[0] != "lo")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        print(json.dumps(asyncio.run(_measure(int(sys.argv[2]), sys.argv[3:]))))
    else:
        main()
