"""Torture: kill -9 in the middle of busy rounds, and disks that fail, with the figures printed.

``python -m tests.torture --kills 500 --write`` does all of it and keeps the figures in
docs/reliability.md; `make torture` calls it. With ``--into FILE`` each database's part is kept as
it comes, and only what the file lacks is done: it can be stopped and gone on with. The suite
does less of the same.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from lab.network import World
from lab.pki import Pki
from lab.scenario import Scenario, load_scenario
from probes.clock import SystemClock
from storage.store import Store
from tests.torture_disk import CASES, Outcome

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "docs" / "reliability.md"
_BEGIN, _END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"

# All healthy, so that nothing waits, and few at a time: those that are measured side by side end
# together, and records shall be written all the time.
_SCENARIO = f"""\
title = "A busy round"
country = "KZ"
targets = {[f"https://site{n:02}.example/" for n in range(32)]}

[[networks]]
name = "isp"
asn = 64496
latency_ms = 1

[sitewatch.limits]
parallel = 4
"""
# SQLite's lock for writing in WAL mode is the POSIX lock on this byte of the -shm file.
_WRITE_LOCK = 120
_GLANCE = 0.0002  # seconds; a transaction takes milliseconds
_LATEST = 300.0  # seconds; no round of the scenario takes so long


class Kills(msgspec.Struct, kw_only=True):
    """What came of the kills. `problems` is empty where nothing was lost or broken."""

    kills: int = 0
    missed: int = 0  # rounds that were over before their moment came; made up for by others
    aimed: int = 0  # of the kills, those that waited for a transaction after their moment
    in_transaction: int = 0
    by_chance: int = 0  # of those in a transaction, the ones that did not wait for it
    databases: int = 0
    reported: int = 0  # records that the killed programs had printed as stored
    kept: int = 0  # records in the databases at their end
    rounds_after: int = 0  # rounds begun on a database that a kill had left
    problems: list[str] = []

    def add(self, other: Kills) -> None:
        """Add the figures of another database."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


# --- kill -9 -------------------------------------------------------------------------------------


def kill_rounds(
    count: int,
    *,
    seed: int,
    side_by_side: int = 2,
    per_database: int = 10,
    keep: Path | None = None,
    told: Callable[[Kills], None] = lambda _: None,
) -> Kills:
    """Kill `count` busy rounds at moments drawn evenly over the whole of them.

    Every second kill then waits for the next transaction, as few moments lie inside of one. Each
    database suffers up to `per_database` kills, one after another, and is checked whole after each.
    Those with problems are copied into `keep`.
    """
    total = Kills()
    starts = range(0, count, per_database)
    shares = [min(per_database, count - start) for start in starts]
    with tempfile.TemporaryDirectory(prefix="sitewatch-torture-") as name:
        folder = Path(name)
        pki = Pki.create(folder / "pki")
        (folder / "busy.toml").write_text(_SCENARIO)
        scenario = load_scenario(str(folder / "busy.toml"))
        with ThreadPoolExecutor(side_by_side) as pool:
            jobs = [
                pool.submit(_one_database, scenario, pki, folder / f"db-{n}", share, seed + n, keep)
                for n, share in enumerate(shares)
            ]
            try:
                for job in as_completed(jobs):
                    told(job.result())
                    total.add(job.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return total


def _one_database(
    scenario: Scenario, pki: Pki, folder: Path, count: int, seed: int, keep: Path | None
) -> Kills:
    """Kill rounds of one database until it was hit `count` times; then let one round end."""
    folder.mkdir()
    database, dice, done = folder / "x.db", random.Random(seed), Kills(databases=1)
    reported: set[str] = set()
    with World(scenario, seed=seed, pki=pki, folder=folder / "world") as world:
        busy = _Round(world, database, folder / "out").whole()
        while done.kills < count and done.missed <= count:
            one = _Round(world, database, folder / "out")
            # Uniform over the round, from the moment when its own record is on the disk.
            aimed = done.kills % 2 == 1
            held = one.kill_after(dice.uniform(0.0, busy), aimed=aimed)
            reported |= one.reported()
            done.rounds_after += 1
            if held is None:
                done.missed, busy = done.missed + 1, one.lasted
                done.problems += [f"a round ended badly: {one.crash}"] if one.crash else []
                continue
            done.kills += 1
            done.aimed += aimed
            done.in_transaction += held
            done.by_chance += held and not aimed
            done.problems += _damage(database, reported)
        _Round(world, database, folder / "out").whole()  # the next start goes on
    done.reported = len(reported)
    with Store(database) as store:
        done.kept = sum(1 for _ in store.measurements())
    done.problems += _damage(database, reported)
    if done.problems and keep:
        shutil.copytree(folder, keep / f"seed-{seed}", ignore=shutil.ignore_patterns("world"))
    shutil.rmtree(folder)
    return done


class _Round:
    """One `sitewatch measure` in the lab, its output in a file so that nothing holds it up."""

    def __init__(self, world: World, database: Path, output: Path) -> None:
        self._database, self._output = database, output
        self._errors = output.with_suffix(".err")
        self._clock = SystemClock()
        self._before = _records_in(database)
        self.lasted = 0.0  # seconds from the first record to the end, once it has come to that
        self.crash = ""  # what it said if it ended by itself and not well
        argv = [sys.executable, "-m", "sitewatch", "measure", "--json"]
        with output.open("wb") as stdout, self._errors.open("wb") as stderr:
            self._process = world.popen(
                world.clients[0],
                [*argv, "--database", str(database)],
                stdout=stdout,
                stderr=stderr,
            )

    def whole(self) -> float:
        """Let the round end; return its busy seconds, from its first record to its end."""
        begun = self._begun()
        code = self._process.wait(_LATEST)
        if code != 0:
            raise RuntimeError(self._errors.read_text()[-2000:])
        self.lasted = self._clock.monotonic() - begun
        return self.lasted

    def kill_after(self, seconds: float, *, aimed: bool) -> bool | None:
        """Kill the program so long after its first record; tell whether it was in a transaction.

        It is stopped first, so that its locks can be looked at. `aimed`: wait for the beginning of
        the next transaction. None: it had ended already.
        """
        begun = self._begun()
        while (left := begun + seconds - self._clock.monotonic()) > 0:
            try:
                self._process.wait(left)
            except subprocess.TimeoutExpired:
                continue
            self._over(begun)
            return None
        program = self._program()
        if program is None:
            self._over(begun)
            return None
        while aimed and self._process.poll() is None and not write_locked(self._database):
            time.sleep(_GLANCE)
        try:
            os.kill(program, signal.SIGSTOP)
            _wait_until_stopped(program)
            held = write_locked(self._database)
            os.kill(program, signal.SIGKILL)
        except ProcessLookupError:
            self._over(begun)
            return None
        self._process.wait(_LATEST)
        self.lasted = self._clock.monotonic() - begun
        return held

    def _over(self, begun: float) -> None:
        """Take down the end of a round that came to it before its moment."""
        code = self._process.wait(_LATEST)
        self.lasted = self._clock.monotonic() - begun
        if code != 0:
            self.crash = self._errors.read_text()[-2000:] or f"exit code {code}"

    def reported(self) -> set[str]:
        """Return the ids in every whole line that the program printed."""
        whole = self._output.read_bytes().rpartition(b"\n")[0]
        ids = {json.loads(line)["id"] for line in whole.splitlines()}
        return {id for id in ids if id is not None}

    def _begun(self) -> float:
        """Wait until the record of the round is on the disk; return when it was seen there."""
        patience = self._clock.monotonic() + _LATEST
        while _records_in(self._database) <= self._before:
            if self._process.poll() is not None or self._clock.monotonic() > patience:
                raise RuntimeError(self._errors.read_text()[-2000:] or "no round began")
            try:
                self._process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
        return self._clock.monotonic()

    def _program(self) -> int | None:
        """Return the process that measures: the child of the one that entered the world."""
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None


def _records_in(database: Path) -> int:
    """Return how many records there are, 0 before there is a database."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute("SELECT COUNT(*) FROM records").fetchone()
            return int(count)
    except sqlite3.OperationalError:
        return 0


def _wait_until_stopped(program: int) -> None:
    """Return once the kernel has stopped it: the signal takes effect between instructions."""
    for _ in range(10_000):
        state = Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[0]
        if state in "TZX":
            return
        time.sleep(_GLANCE)


def write_locked(database: Path) -> bool:
    """Tell whether anybody holds SQLite's lock for writing: a transaction is under way."""
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _WRITE_LOCK, 1, 0)
    try:
        shared = os.open(f"{database}-shm", os.O_RDWR)
    except FileNotFoundError:
        return False  # the last one to close the database took it away
    try:
        answer = fcntl.fcntl(shared, fcntl.F_GETLK, wanted)
    finally:
        os.close(shared)
    return bool(struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK)


def _damage(database: Path, reported: set[str]) -> list[str]:
    """Return what is wrong: with the file, the chain, a record, or by something reported lost."""
    with closing(sqlite3.connect(database)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    with Store(database) as store:
        found += store.check()
        kept = {one.id: one.record.complete for one in store.measurements()}
    half = [id for id, complete in kept.items() if not complete]
    if lost := reported - kept.keys():
        found.append(f"{len(lost)} records that were reported are lost")
    if half:
        found.append(f"{len(half)} measurements are half there")
    return found


# --- disks ---------------------------------------------------------------------------------------


def can_have_own_disks() -> bool:
    """Tell whether this machine lets us mount in a user namespace."""
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        return False
    attempt = ["unshare", "-Urmn", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(attempt, capture_output=True, timeout=30).returncode == 0


def strike_disk(case: str) -> Outcome:
    """Let one misfortune of the disk happen, in namespaces of its own; nothing can be sent."""
    alone = ["unshare", "-Urmn", "setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    with tempfile.TemporaryDirectory(prefix="sitewatch-disk-") as folder:
        ran = subprocess.run(
            [*alone, sys.executable, "-m", "tests.torture_disk", case, folder],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=ROOT,
            env=os.environ | {"XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder},
        )
    if ran.returncode != 0:
        return Outcome(case=case, problems=[ran.stderr.strip().splitlines()[-1]])
    return msgspec.json.decode(ran.stdout, type=Outcome)


# --- the figures ---------------------------------------------------------------------------------


def machine() -> str:
    """Return the sentence that says when and on what machine figures were taken."""
    return (
        f"Taken on {datetime.now(UTC):%Y-%m-%d} on {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} cores with a load of {os.getloadavg()[2]:.0f}, Python "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}."
    )


def figures(kills: Kills, disks: Sequence[Outcome]) -> str:
    """Return all figures as Markdown."""
    share = 100 * kills.in_transaction / max(1, kills.kills)
    chance = 100 * kills.by_chance / max(1, kills.kills - kills.aimed)
    lines = [
        machine(),
        "",
        "| kill -9 in busy rounds | |",
        "|---|---|",
        f"| kills | {kills.kills} |",
        f"| of these inside a write transaction | {kills.in_transaction} ({share:.1f} %) |",
        f"| among the {kills.kills - kills.aimed} at a random moment, by chance "
        f"| {kills.by_chance} ({chance:.1f} %) |",
        f"| among the {kills.aimed} that waited for a transaction, in time "
        f"| {kills.in_transaction - kills.by_chance} |",
        f"| databases, each checked whole after each kill | {kills.databases} |",
        f"| rounds begun on a database that a kill had left | {kills.rounds_after} |",
        f"| measurements reported as stored by the killed programs | {kills.reported} |",
        f"| measurements in the databases at the end | {kills.kept} |",
        f"| lost, half there, broken chains, damaged files | {len(kills.problems)} |",
        "",
        "| misfortune of the disk | what is said | records kept | lost or broken |",
        "|---|---|---|---|",
    ]
    for one in disks:
        said = one.message.replace("|", "/").replace("\n", " ")
        said = said.partition(": ")[2] or said
        lines.append(f"| {one.case} | {said} | {one.kept} | {len(one.problems)} |")
    return "\n".join([*lines, ""])


def _kills(options: argparse.Namespace) -> Kills:
    """Make the kills that are still to be made, and return all of them."""
    total = Kills()
    if options.into and options.into.exists():
        for line in options.into.read_bytes().splitlines():
            total.add(msgspec.json.decode(line, type=Kills))

    def told(part: Kills) -> None:
        line = msgspec.json.encode(part).decode()
        print(line, file=sys.stderr, flush=True)
        if options.into:
            with options.into.open("a") as file:
                file.write(line + "\n")

    seed = options.seed + 1000 * total.databases  # other moments than those that were
    left = max(0, options.kills - total.kills)
    made = kill_rounds(
        left, seed=seed, side_by_side=options.side_by_side, keep=options.keep, told=told
    )
    total.add(made)
    return total


def main() -> int:
    """Torture, print the figures, and with --write keep them; 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side-by-side", type=int, default=2, help="worlds at once")
    parser.add_argument("--into", type=Path, help="file that keeps each database's part")
    parser.add_argument("--keep", type=Path, help="folder for the databases with problems")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {REPORT.name}")
    options = parser.parse_args()
    kills = _kills(options)
    disks = [strike_disk(case) for case in CASES] if can_have_own_disks() else []
    text = figures(kills, disks)
    print(text)
    problems = [*kills.problems, *(f"{o.case}: {p}" for o in disks for p in o.problems)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if options.write:
        before, _, rest = REPORT.read_text("utf-8").partition(_BEGIN)
        REPORT.write_text(before + _BEGIN + text + _END + rest.partition(_END)[2], "utf-8")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
