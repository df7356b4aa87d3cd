"""Every scenario that comes with the lab, measured once for all tests that look at the results.

It stands apart from them because pytest loads modules of tests under names of their own: what one
of them keeps is made anew where another imports it.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.network import World
from lab.scenario import Scenario, load_scenario, scenario_names

SCENARIOS = [name for name in scenario_names() if name != "kazakhstan-2017"]


@dataclass(frozen=True)
class Measured:
    """What one run printed and kept."""

    scenario: Scenario
    lines: list[dict[str, Any]]
    database: Path
    errors: str

    @property
    def main(self) -> dict[str, Any]:
        return self.lines[0]

    def steps(self, kind: str, **wanted: object) -> list[dict[str, Any]]:
        """Return the steps of all lines of a kind that have these values."""
        return [
            step
            for line in self.lines
            for step in line["steps"]
            if step["kind"] == kind and all(step[key] == value for key, value in wanted.items())
        ]


def measure(scenario: Scenario, folder: Path, urls: list[str]) -> Measured:
    """Run `sitewatch measure --json` in a fresh world of a scenario."""
    database = folder / f"{scenario.name or 'scenario'}.db"
    argv = [sys.executable, "-m", "sitewatch", "measure", "--json", "--database", str(database)]
    with World(scenario, seed=3) as world:
        process = world.popen(
            world.clients[0], [*argv, *urls], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    lines = [json.loads(line) for line in output.splitlines()]
    return Measured(scenario, lines, database, errors.decode())


@functools.cache
def every_scenario() -> dict[str, Measured]:
    """Measure every scenario, once for all the modules of this process that look at the results.

    Most of the time is waiting, so several run at once. The databases are not to be changed.
    """
    folder = Path(tempfile.mkdtemp(prefix="sitewatch-scenarios-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    def run(name: str) -> Measured:
        scenario = load_scenario(name)
        return measure(scenario, folder, list(scenario.targets[:1]))

    with ThreadPoolExecutor(6) as pool:
        return dict(zip(SCENARIOS, pool.map(run, SCENARIOS), strict=True))
