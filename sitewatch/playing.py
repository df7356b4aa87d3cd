"""Play a history in the lab: several worlds side by side, a player on each of their networks."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lab.network import World
from lab.pki import Pki
from lab.scenario import Scenario
from sitewatch.console import Failed
from sitewatch.player import Order, Played
from storage.records import Measurement, Record, Round, Vantage

WORLDS = 6  # at once: most of a round is waiting for time-outs, the rest is two cores' work


@dataclass(frozen=True)
class Kept:
    """A record that a player made, with its blobs."""

    record: Record
    blobs: Mapping[str, bytes]


@dataclass(frozen=True)
class History:
    """What is to be played: a scenario by a seed, its vantages by network, spans of rounds."""

    scenario: Scenario
    seed: int
    vantages: Mapping[str, Vantage]
    spans: Sequence[Sequence[float]]


def play_history(history: History, folder: Path, on_round: Callable[[], None]) -> list[Kept]:
    """Play all spans and return what was recorded, in order of simulated time.

    `on_round` is told of each round of all networks. Files of the worlds go to `folder`.
    Ctrl-C ends everything at once and raises KeyboardInterrupt; call it in the main thread.
    """
    waiting: queue.SimpleQueue[Sequence[float]] = queue.SimpleQueue()
    for span in history.spans:
        waiting.put(span)
    folder.mkdir(parents=True, exist_ok=True)
    pki = Pki.create(folder / "pki")
    stop = _Stop()
    worlds = min(WORLDS, len(history.spans))
    with stop.at_ctrl_c(), ThreadPoolExecutor(worlds) as pool:
        playing = {
            pool.submit(
                _play_world, history, pki, folder / f"world-{number}", waiting, stop, on_round
            )
            for number in range(worlds)
        }
        kept: list[Kept] = []
        try:
            while playing:
                # The kernel may hand a signal to any thread; this one must wake to handle it.
                done, playing = wait(playing, timeout=0.2, return_when=FIRST_COMPLETED)
                kept += [each for world in done for each in world.result()]
        except Exception:
            stop.now()
            raise
    # Sorting is stable: what one player recorded at one moment stays in its order.
    return sorted(kept, key=lambda each: each.record.time)


def _play_world(
    history: History,
    pki: Pki,
    folder: Path,
    waiting: queue.SimpleQueue[Sequence[float]],
    stop: _Stop,
    on_round: Callable[[], None],
) -> list[Kept]:
    """Take spans from the queue and play them, until there are none or it is time to stop."""
    kept: list[Kept] = []
    world = World(history.scenario, seed=history.seed, pki=pki, folder=folder)
    stop.watch(world)
    with ExitStack() as stack:
        stack.enter_context(world)
        players = [
            stack.enter_context(_Player(world, network, vantage))
            for network, vantage in history.vantages.items()
        ]
        rounds = stack.enter_context(ThreadPoolExecutor(len(players)))
        while not stop:
            try:
                span = waiting.get_nowait()
            except queue.Empty:
                break
            for at in span:
                if stop:
                    break
                world.set_time(at)
                order = Order(at, list(history.scenario.targets))
                for records in rounds.map(lambda player, order=order: player.play(order), players):
                    kept += records
                on_round()
    return kept


class _Stop:
    """Ends all worlds at once, with whatever plays in them, and lets no more begin."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._worlds: list[World] = []

    def __bool__(self) -> bool:
        return self._event.is_set()

    def watch(self, world: World) -> None:
        self._worlds.append(world)
        if self:  # it came too late for now()
            world.end()

    def now(self) -> None:
        self._event.set()
        for world in list(self._worlds):
            world.end()

    @contextmanager
    def at_ctrl_c(self) -> Iterator[None]:
        """Stop at Ctrl-C, and raise KeyboardInterrupt when what was under way has ended.

        Python's own handler would raise wherever the main thread happens to be, also between the
        start of a thread and the place that can stop it.
        """
        interrupted = threading.Event()

        def interrupt(*_: object) -> None:
            interrupted.set()
            self.now()

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        except Exception:
            if not interrupted.is_set():
                raise
        finally:
            signal.signal(signal.SIGINT, before)
        if interrupted.is_set():
            raise KeyboardInterrupt


class _Player:
    """The player program on one network of one world; a context manager."""

    def __init__(self, world: World, network: str, vantage: Vantage) -> None:
        self._network = network
        self._process = world.popen(
            network,
            [sys.executable, "-m", "sitewatch.player", msgspec.json.encode(vantage).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> _Player:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def play(self, order: Order) -> list[Kept]:
        """Run one round and return its records."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        kept: list[Kept] = []
        for line in self._process.stdout:
            played = msgspec.json.decode(line, type=Played)
            if played.canonical is None:
                return kept
            record: Record = msgspec.json.decode(played.canonical, type=_kind(played.canonical))
            kept.append(Kept(record, played.blobs))
        raise Failed(f"the player on network {self._network} ended early")


def _kind(content: bytes) -> type[Round] | type[Measurement]:
    return Round if b'"format":"sitewatch-round/1"' in content else Measurement
