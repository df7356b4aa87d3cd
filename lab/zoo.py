"""The zoo: runs every scenario in a world of its own and holds Sitewatch against the truth.

Sitewatch is run as a program, as anybody would run it; so any other program that prints its JSON
could be held against the same worlds.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from lab.expected import Outcome
from lab.network import LabUnavailable, World, check_available
from lab.pki import Pki
from lab.scenario import Scenario, ScenarioError, load_scenario
from lab.symptoms import Symptom, check_symptoms
from lab.temporary import temporary_folder
from lab.zoo_kept import Kept
from lab.zoo_record import (
    TIERS,
    Circumstances,
    Result,
    Verdict,
    as_json,
    as_markdown,
    as_page,
    as_summary,
    with_summary,
)

_SEED = 3  # of the first world of a scenario; further ones have the numbers after it
_SECONDS = 560.0  # for one scenario: a contrast waits out a penalty of 190 seconds at most
_JOBS_PER_CORE = 24  # most of a world's time is waiting
_APART = 0.3  # seconds at least between the beginnings of two worlds
_BREATH = 2.0  # seconds at most that a world waits for others to have begun
# Made once, before there are threads: msgspec crashed twice where several of them met a type first.
_VERDICT = msgspec.json.Decoder(Verdict, strict=False)
_DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "zoo.md"
_ACCURACY = _DOCUMENT.with_name("accuracy.md")


def zoo_scenarios() -> dict[str, Path]:
    """Return the zoo's scenario files by name, sorted."""
    folder = Path(str(resources.files("lab") / "scenarios" / "zoo"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def run_zoo(
    worlds: Sequence[tuple[Scenario, int]],
    tier: str,
    jobs: int,
    told: Callable[[Result], None],
    keep: Path | None = None,
) -> None:
    """Run worlds, each a scenario with a seed, several at once; `told` gets each result.

    Those that wait longest begin first, so that nothing is left to wait for at the end. What was
    measured stays in the folder `keep`, a database for each world, or is thrown away.
    """
    check_available()
    in_order = sorted(worlds, key=lambda world: _waiting(world[0]), reverse=True)
    with temporary_folder("sitewatch-zoo-") as folder:
        run = Run(tier, Pki.create(folder / "pki"), keep or folder)
        run.folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(jobs) as pool:
            waiting = [pool.submit(run.one, scenario, seed) for scenario, seed in in_order]
            try:
                for done in as_completed(waiting):
                    told(done.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                run.stopped.set()
                for process in list(run.measuring):
                    process.kill()
                raise


@dataclass
class Run:
    """What the worlds of one run share."""

    tier: str
    pki: Pki
    folder: Path
    measuring: set[subprocess.Popen[bytes]] = field(default_factory=set)
    stopped: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def one(self, scenario: Scenario, seed: int = _SEED) -> Result:
        """Measure one scenario's first target, and check the symptoms apart from that."""
        with self._turn:
            if not self.stopped.is_set():
                _take_breath()
        began = time.monotonic()
        database = self.folder / f"{scenario.name}-{self.tier}-{seed}.db"
        verdict, trouble, symptoms = None, "", list[Symptom]()
        try:
            if self.stopped.is_set():
                raise LabUnavailable("the run was stopped")
            with World(scenario, seed=seed, pki=self.pki) as world:
                verdict, trouble = self._measure(world, database)
                if not _remembers(scenario) and not self.stopped.is_set():
                    symptoms = check_symptoms(world)
            if _remembers(scenario) and not self.stopped.is_set():
                with World(scenario, seed=seed, pki=self.pki) as world:
                    symptoms = check_symptoms(world)
        except LabUnavailable as error:  # this machine is too busy by now, or all was stopped
            trouble = str(error)
        return Result(
            name=scenario.name,
            title=scenario.title,
            tier=self.tier,
            expect=scenario.expect or Outcome(status="accessible"),
            verdict=verdict,
            trouble=trouble,
            symptoms=[(one.line, one.wanted, one.got) for one in symptoms],
            seconds=round(time.monotonic() - began, 1),
            seed=seed,
        )

    def _measure(self, world: World, database: Path) -> tuple[Verdict | None, str]:
        """Run `sitewatch measure`; return its verdict of the first target, or what went wrong."""
        url = world.scenario.targets[0]
        argv = [sys.executable, "-m", "sitewatch", "measure", "--json", "--tier", self.tier]
        process = world.popen(
            world.clients[0],
            [*argv, "--database", str(database), url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | world.environment(world.clients[0]) | {"SITEWATCH_CONSENT": "yes"},
        )
        self.measuring.add(process)
        if self.stopped.is_set():  # the others were ended before this one began
            process.kill()
        try:
            output, errors = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None, f"no verdict after {_SECONDS:.0f} seconds"
        finally:
            self.measuring.discard(process)
        if process.returncode != 0:
            return None, (errors.decode().strip().splitlines() or ["no word"])[-1]
        lines: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
        main = next((line for line in lines if line["verdict"] is not None), None)
        if main is None:
            return None, "no line has a verdict"
        return _VERDICT.decode(json.dumps(main["verdict"])), ""


def _take_breath() -> None:
    """Wait until the machine has room for another beginning, or for a while.

    A world computes for two seconds while it begins and then mostly waits. Many that begin at once
    make each other's servers late, and then it is the machine that is measured.
    """
    until = time.monotonic() + _BREATH
    time.sleep(_APART)
    while _wanting_to_run() > 2 * (os.cpu_count() or 1) and time.monotonic() < until:
        time.sleep(_APART / 3)


def _wanting_to_run() -> int:
    """Return how many threads of this machine run or could (proc(5), /proc/loadavg)."""
    return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])


def _remembers(scenario: Scenario) -> bool:
    """Tell whether a world is another after it was measured, so that symptoms need a fresh one."""
    spans = (*scenario.outages, *scenario.downs, *scenario.captives, *scenario.resolvers)
    return any(censor.residual_by == "3-tuple" for censor in scenario.censors) or any(
        span.since is not None or span.until is not None for span in spans
    )


def _waiting(scenario: Scenario) -> int:
    """Rank a scenario by how long Sitewatch will wait in it.

    2: another name fails at the site's address too, which may be a penalty that is waited out; 1:
    time-outs are not shortened, or packets vanish; 0: neither.
    """
    refusing = {"tls-silence", "tls-reset", "tls-close"}
    if any(site.refuse_how in refusing and site.refuse_countries for site in scenario.sites):
        return 2
    if any(censor.residual_by for censor in scenario.censors):
        return 2
    slow = ("address-", "loss", "throttle", "freeze")
    by_address = any(censor.kind.startswith(slow) for censor in scenario.censors)
    return int(by_address or bool(scenario.downs) or "limits" not in scenario.sitewatch)


# --- the command ----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the zoo, write its record; 0 where all symptoms hold, 1 where one does not."""
    options = _parser().parse_args(arguments)
    known = zoo_scenarios()
    wanted = [
        name for name in known if any(fnmatch.fnmatchcase(name, one) for one in options.names)
    ]
    if not wanted:
        print(f"no scenario of the zoo is called {' or '.join(options.names)}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        kept = Kept(options.into, known)
        scenarios = [load_scenario(known[name]) for name in wanted]
    except (OSError, ScenarioError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    try:
        stopped = _run(scenarios, kept, options)
    except LabUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    _write(kept, options.output, docs=options.docs and not stopped)
    if stopped:
        return 130
    return 0 if all(result.symptoms_hold for result in kept.results) else 1


def _run(scenarios: Sequence[Scenario], kept: Kept, options: argparse.Namespace) -> bool:
    """Measure the worlds that are not known yet; return whether that was cut short."""
    began, measured, stopped = time.monotonic(), 0, False

    def told(result: Result) -> None:
        nonlocal measured
        measured += 1
        kept.add(result)
        _tell(result)

    try:
        for tier in (options.tier,) if options.tier else TIERS:
            worlds = [
                (scenario, seed)
                for scenario in scenarios
                for seed in range(_SEED, _SEED + options.seeds)
                if not kept.has(scenario.name, tier, seed)
            ]
            run_zoo(worlds, tier, options.jobs, told, options.keep)
    except KeyboardInterrupt:
        stopped = True
    if measured:
        kept.end(
            Circumstances(
                worlds=measured,
                seconds=time.monotonic() - began,
                worlds_at_once=options.jobs,
                cores=os.cpu_count() or 1,
                load=os.getloadavg()[2],
                day=f"{datetime.now(UTC):%Y-%m-%d}",
            )
        )
    return stopped


def _write(kept: Kept, output: Path, *, docs: bool) -> None:
    """Write zoo.json and zoo.md, and the pages of the documentation where they are wanted."""
    results, runs = kept.results, kept.runs
    output.mkdir(parents=True, exist_ok=True)
    (output / "zoo.json").write_text(as_json(results, runs), "utf-8")
    (output / "zoo.md").write_text(as_markdown(results, runs), "utf-8")
    if docs:
        _DOCUMENT.write_text(as_page(results, runs), "utf-8")
        summary = as_summary(results, runs)
        _ACCURACY.write_text(with_summary(_ACCURACY.read_text("utf-8"), summary), "utf-8")
    right, seconds = sum(result.is_right for result in results), sum(run.seconds for run in runs)
    print(f"{right} of {len(results)} right in {seconds:.0f} s; written: {output}/zoo.md")


def _tell(result: Result) -> None:
    """Say on stderr how one scenario went."""
    said = result.verdict.in_words() if result.verdict else result.trouble
    mark = "right" if result.is_right else "WRONG"
    print(f"{mark}  {result.name:44} {said}  ({result.seconds:.0f} s)", file=sys.stderr)
    for line, wanted, got in result.symptoms:
        if not Symptom(line, wanted, got).holds:
            print(f"       symptom {line}: {got}, not {wanted}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab.zoo",
        description=__doc__,
        epilog="example: python -m lab.zoo --tier probing 'tls-*'",
    )
    parser.add_argument("names", nargs="*", default=["*"], help="scenarios, with * and ?")
    parser.add_argument("--tier", choices=TIERS, help="default: first one, then the other")
    parser.add_argument("--docs", action="store_true", help="renew the pages under docs too")
    parser.add_argument(
        "--jobs", type=_count, default=_JOBS_PER_CORE * (os.cpu_count() or 1), help="worlds at once"
    )
    parser.add_argument("--seeds", type=_count, default=1, help="worlds of each scenario")
    parser.add_argument(
        "--into", type=Path, help="file that keeps each world as it comes; what it has is not run"
    )
    parser.add_argument("--output", type=Path, default=Path("."), help="folder for the record")
    parser.add_argument("--keep", type=Path, help="folder that keeps the databases; default: none")
    return parser


def _count(text: str) -> int:
    """Read a number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
