"""Worlds without any censor, behind bad lines, and what the real command makes of them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.machine import Machine
from lab.network import LabUnavailable, World
from lab.pki import Pki
from lab.scenario import load_scenario

_SECONDS = 1500.0  # for one world
_CLEAR = 'http = "serve"\nhttps = false'  # asked for in clear
_HERE = 'refuse_countries = ["KZ"]'
KINDS = {
    # of servers that serve everybody
    "healthy": "",
    "large": "size = 60000",
    "many-addresses": "cdn = true",
    "by-asker": 'cdn = "asker"',
    "by-time": 'cdn = "time"',
    "http2": "http2 = true",
    "http3": "http3 = true",
    "changing": "changing = true",
    "captcha": "captcha = true",
    "slow": 'body = "slow"\nrate = 12000.0\nsize = 60000',
    "late": "delay_ms = 4000.0",
    "unknown-names-reset": 'unknown_name = "reset"',
    "in-clear": _CLEAR,
    "in-clear-changing": f"{_CLEAR}\nchanging = true",
    # of servers that turn this country away
    "refuses": _HERE,
    "refuses-451": f"{_HERE}\nrefuse_status = 451",
    "refuses-in-silence": f'{_HERE}\nrefuse_how = "silence"',
    "refuses-packets": f'{_HERE}\nrefuse_how = "refuse"',
    "refuses-hello": f'{_HERE}\nrefuse_how = "tls-silence"',
    "refuses-by-reset": f'{_HERE}\nrefuse_how = "tls-reset"',
    "refuses-by-alert": f'{_HERE}\nrefuse_how = "tls-alert"',
    "refuses-by-close": f'{_HERE}\nrefuse_how = "tls-close"',
    "refuses-all-names": f'{_HERE}\nrefuse_how = "tls-silence"\nunknown_name = "silence"',
    "refuses-in-clear": f"{_CLEAR}\n{_HERE}",
    "another-page-in-clear": f"{_CLEAR}\n{_HERE}\nrefuse_status = 200",
    # of sites that are broken for everybody
    "error": "status = 503",
    "expired": 'certificate = "expired"',
    "self-signed": 'certificate = "self-signed"',
    "other-name": 'certificate = "wrong-name"',
    "unknown-authority": 'certificate = "unknown-authority"',
    "old-tls": 'tls = "old"',
    "stalls": 'body = "stall"\nsize = 60000',
    "cut-in-clear": f'{_CLEAR}\nbody = "cut"\nsize = 60000',
    "dead": "",
    "refusing": "",
    "unreachable": "",
}
HEALTHY = ("healthy", "large", "many-addresses", "by-asker", "http2", "http3", "in-clear")
BROKEN = ("error", "expired", "self-signed", "other-name", "dead", "refusing", "unreachable")
_DOWN = {"dead": "swallow", "refusing": "refuse", "unreachable": "unreachable"}


def line_of(chance: random.Random) -> dict[str, float]:
    """Draw a line: one-way latency and jitter in milliseconds, loss as a share each way."""
    half = chance.uniform(5, 400)
    return {
        "latency_ms": round(half, 1),
        "jitter_ms": round(chance.uniform(0, half / 2), 1),
        "loss": round(chance.uniform(0, 0.05), 4),
    }


def scenario(line: dict[str, float], each: int, chance: random.Random) -> str:
    """Return a world of innocent sites, `each` of every kind in any order, behind a line."""
    hosts = [(f"{kind}-{number}.example", kind) for kind in KINDS for number in range(each)]
    chance.shuffle(hosts)
    lines = [
        'country = "KZ"',
        f"targets = [{', '.join(json.dumps(_url(host, kind)) for host, kind in hosts)}]",
        "[[networks]]",
        'name = "isp"',
        "asn = 64496",
        *(f"{key} = {value}" for key, value in line.items()),
    ]
    for host, kind in hosts:
        lines += ["[[sites]]", f'host = "{host}"', KINDS[kind]]
        if kind in _DOWN:
            lines += ["[[downs]]", f'hosts = ["{host}"]', f'how = "{_DOWN[kind]}"']
    return "\n".join(lines) + "\n"


def _url(host: str, kind: str) -> str:
    return f"{'http' if KINDS[kind].startswith(_CLEAR) else 'https'}://{host}/"


def kind_of(url: str) -> str:
    """Return the kind of site that a URL of these worlds belongs to."""
    return url.split("/")[2].rpartition("-")[0]


def one_world(
    name: str,
    each: int,
    folder: Path,
    pki: Pki,
    machine: Machine,
    running: set[subprocess.Popen[bytes]],
) -> dict[str, Any]:
    """Make the world of a name, which draws its line and its addresses, and measure it.

    Its database stays in `folder`. A world that did not start is one without measurements.
    """
    began, chance = time.monotonic(), random.Random(name)
    line, path = line_of(chance), folder / f"{name}.toml"
    path.write_text(scenario(line, each, chance))
    for left in folder.glob(f"{name}.db*"):  # of a run that was stopped
        left.unlink()
    measured: list[dict[str, Any]] = []
    try:
        with World(load_scenario(path), seed=chance.randrange(2**31), pki=pki) as world:
            measured, trouble = _measure(world, folder / f"{name}.db", running)
    except LabUnavailable as error:
        trouble = str(error)
    path.unlink()
    answers = [answer["answered"] for one in measured for answer in one["helpers"]]
    return {
        "world": name,
        **line,
        "seconds": round(time.monotonic() - began),
        "share": round(machine.share(since=began), 2),
        "load": round(os.getloadavg()[0], 1),
        "trouble": trouble,
        "helpers_asked": len(answers),
        "helpers_silent": answers.count(False),
        **counted({one["url"]: one["verdict"] for one in measured}),
    }


def counted(verdicts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Sum up the verdicts of a world by URL: statuses, what left kinds open, false alarms."""
    statuses: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    opened: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for url, verdict in verdicts.items():
        statuses[kind_of(url)][verdict["status"]] += 1
        if verdict["status"] == "inconclusive":
            opened[kind_of(url)][verdict["rules"][0]] += 1
    return {
        "statuses": statuses,
        "left_open_by": {kind: rules for kind, rules in opened.items() if rules},
        "alarms": [
            {"url": url, **verdict}
            for url, verdict in verdicts.items()
            if verdict["status"] == "blocked"
        ],
    }


def _measure(
    world: World, database: Path, running: set[subprocess.Popen[bytes]]
) -> tuple[list[dict[str, Any]], str]:
    """Run `sitewatch measure` on every target; return what it says of each, and its last word
    where it failed."""
    command = [sys.executable, "-m", "sitewatch", "measure", "--json", "--tier", "probing"]
    client = world.clients[0]
    process = world.popen(
        client,
        [*command, "--database", str(database), *world.scenario.targets],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Linux deals the processors' time by sessions
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
    said = errors.decode(errors="replace").strip().splitlines() or ["no word"]
    trouble = "" if process.returncode == 0 else f"{process.returncode}: {said[-1]}"
    return [one for one in found if one["verdict"]], trouble
