"""The symptoms of a scenario: what plain programs meet inside, written beside what was set up.

The lines are tried by `symptom_client`, which uses nothing of Sitewatch. README.md lists them.
"""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lab.network import World

_SECONDS = 120.0


class Symptom(NamedTuple):
    """One line, what it must give ("|" between alternatives, "*" for anything), what it gave."""

    line: str
    wanted: str
    got: str

    @property
    def holds(self) -> bool:
        return any(fnmatch.fnmatchcase(self.got, each) for each in self.wanted.split(" | "))


def check_symptoms(world: World) -> list[Symptom]:
    """Try every symptom of a world's scenario on its first client.

    What the client complains of by itself is one more, which never holds.
    """
    symptoms = world.scenario.symptoms
    argv = [sys.executable, "-m", "lab.symptom_client", json.dumps(_told(world, list(symptoms)))]
    pipe = subprocess.PIPE
    with world.popen(world.clients[0], argv, stdout=pipe, stderr=pipe) as process:
        try:
            output, complaint = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, complaint = process.communicate()
    answers = json.loads(output) if process.returncode == 0 else {}
    found = [
        Symptom(line, wanted, answers.get(line, "the client failed"))
        for line, wanted in symptoms.items()
    ]
    return [*found, Symptom("(complaint)", "", complaint.decode())] if complaint else found


def _told(world: World, lines: list[str]) -> dict[str, Any]:
    """Return what the client must know of the world: where everything is."""
    plan = world.plan
    network = plan.networks[world.clients[0]]
    hosts = {name: planned.addresses for planned in plan.sites.values() for name in planned.names}
    hosts6 = {name: one.addresses6 for one in plan.sites.values() for name in one.names}
    resolvers = {"operator": network.resolver, "google": "8.8.8.8", "quad9": "9.9.9.9"}
    return {
        "lines": lines,
        "hosts": hosts,
        "hosts6": hosts6,
        "resolvers": resolvers,
        "helper": world.scenario.helpers[0].url if world.scenario.helpers else "",
    }
