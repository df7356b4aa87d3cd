"""How often Sitewatch calls blocking what is not: ``python bench/false_alarms.py``.

Worlds without any censor are made in the lab, each with a line of random loss (0 to 5 % each way),
latency (10 to 800 ms there and back) and jitter, and with sites of all the innocent kinds below:
healthy ones, dead ones, ones that turn the country away, ones with a wrong certificate. The real
command measures them at tier probing; ``--measurements 20000`` is the full run. The rate of
`blocked` is printed with its 95 % interval (Clopper and Pearson). Exit code 1: more than one in ten
thousand, or any at `confirmed`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lab.network import World  # noqa: E402
from lab.pki import Pki  # noqa: E402
from lab.scenario import load_scenario  # noqa: E402

WORST = 1e-4  # of all measurements may be called blocked
_SECONDS = 1500.0  # for one world
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


def scenario(chance: random.Random) -> str:
    """Return a world of innocent sites behind a line of random quality."""
    half = chance.uniform(5, 400)
    lines = [
        'country = "KZ"',
        f"targets = [{', '.join(json.dumps(_url(kind)) for kind in KINDS)}]",
        "[[networks]]",
        'name = "isp"',
        "asn = 64496",
        f"latency_ms = {half:.1f}",
        f"jitter_ms = {chance.uniform(0, half / 2):.1f}",
        f"loss = {chance.uniform(0, 0.05):.4f}",
    ]
    for kind, keys in KINDS.items():
        lines += ["[[sites]]", f'host = "{kind}.example"', keys]
    for kind, how in _DOWN.items():
        lines += ["[[downs]]", f'hosts = ["{kind}.example"]', f'how = "{how}"']
    return "\n".join(lines) + "\n"


def _url(kind: str) -> str:
    return f"{'http' if kind == 'in-clear' else 'https'}://{kind}.example/"


def measure(world: World, folder: Path) -> list[dict[str, object]]:
    """Run `sitewatch measure` on every target; return URL and verdict of each."""
    command = [sys.executable, "-m", "sitewatch", "measure", "--json", "--tier", "probing"]
    client = world.clients[0]
    process = world.popen(
        client,
        [*command, "--database", str(folder / "alarms.db"), *world.scenario.targets],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | world.environment(client) | {"SITEWATCH_CONSENT": "yes"},
    )
    try:
        output, _ = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    found = [json.loads(line) for line in output.splitlines() if line.endswith(b"}")]
    return [{"url": one["url"], **one["verdict"]} for one in found if one["verdict"]]


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
    parser.add_argument("--measurements", type=int, default=100, help="20000 for the full run")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, statuses = random.Random(options.seed), Counter[str]()
    alarms: list[dict[str, object]] = []
    begun, worlds = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as root:
        pki = Pki.create(Path(root) / "pki")
        while statuses.total() < options.measurements and worlds < options.measurements:
            worlds += 1
            folder = Path(root) / str(worlds)
            folder.mkdir()
            path = folder / "world.toml"
            path.write_text(scenario(chance))
            with World(load_scenario(path), seed=chance.randrange(2**31), pki=pki) as world:
                verdicts = measure(world, folder)
            statuses.update(str(one["status"]) for one in verdicts)
            alarms += [one for one in verdicts if one["status"] == "blocked"]
            print(f"{worlds} worlds, {dict(statuses)}", file=sys.stderr)
    return told(statuses, alarms, worlds, time.monotonic() - begun)


def told(
    statuses: Counter[str], alarms: list[dict[str, object]], worlds: int, seconds: float
) -> int:
    """Print the figures as one line of JSON and return the exit code."""
    tries = statuses.total()
    low, high = interval(len(alarms), tries) if tries else (0.0, 1.0)
    confirmed = sum(one["certainty"] == "confirmed" for one in alarms)
    figures = {
        "measurements": tries,
        "worlds": worlds,
        "statuses": dict(statuses),
        "blocked": len(alarms),
        "confirmed": confirmed,
        "rate": len(alarms) / tries if tries else None,
        "interval_95": [low, high],
        "alarms": alarms,
        "seconds": round(seconds),
    }
    print(json.dumps(figures))
    return 1 if confirmed or len(alarms) > WORST * max(tries, 1) else 0


if __name__ == "__main__":
    sys.exit(main())
