"""The lab's commands: run a program inside a scenario, open a shell there, list the scenarios."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from lab.network import LabUnavailable, World
from lab.scenario import ScenarioError, load_scenario, scenario_names
from lab.zoo import zoo_scenarios

_EXAMPLE = "example: python -m lab run tls-drop -- curl -m 3 https://watched.example/"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code (that of the program, if one ran)."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "list":
            return _list()
        argv = options.argv if options.command == "run" else [os.environ.get("SHELL", "/bin/sh")]
        return _run(options.scenario, options.network, options.seed, argv)
    except (ScenarioError, LabUnavailable) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__, epilog=_EXAMPLE)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the scenarios")
    run = commands.add_parser("run", help="run a program inside", epilog=_EXAMPLE)
    shell = commands.add_parser("shell", help="open a shell inside")
    for command in (run, shell):
        command.add_argument("scenario", help="a name from the list, or a TOML file")
        command.add_argument("--network", help="the client network (default: the first)")
        command.add_argument("--seed", type=int, default=0, help="draws addresses and hops")
    run.add_argument("argv", nargs="+", metavar="COMMAND", help="the program, behind --")
    return parser


def _list() -> int:
    zoo = (f"zoo/{name}" for name in zoo_scenarios())
    for name in (*scenario_names(), *zoo):
        print(f"{name:44}{load_scenario(name).title}")
    return 0


def _run(scenario_name: str, network: str | None, seed: int, argv: Sequence[str]) -> int:
    """Run a program in a new world; return its exit code, as a shell would."""
    scenario = load_scenario(scenario_name)
    names = [one.name for one in scenario.networks]
    if network is not None and network not in names:
        raise ScenarioError(f"{scenario_name}: no network is called {network!r}: {names}")
    with World(scenario, seed=seed) as world:
        process = world.popen(network or names[0], argv)
        # The program decides what Ctrl-C means; the terminal has told it already.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        code = _wait(process)
    return code if code >= 0 else 128 - code


def _wait(process: subprocess.Popen[bytes]) -> int:
    with process:
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
