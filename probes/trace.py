"""The growing list of steps of one measurement, with its blobs and its own clockwork."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from probes.clock import Clock
from probes.own import OwnAddresses
from probes.patience import Patience
from probes.shares import Shares
from storage.networks import NetworksTable
from storage.records import Arm, HelperAnswer, Purpose, Step, digest, utc_text


@dataclass(frozen=True)
class Stage:
    """Where in a measurement a step belongs: copied into every step of that stage."""

    purpose: Purpose = "main"
    hop: int = 0
    attempt: int = 0
    arm: Arm | None = None


@dataclass
class Stopwatch:
    """When a step began; `microseconds` is how long ago that is."""

    clock: Clock
    start: str
    _monotonic: float

    def microseconds(self) -> int:
        return max(0, round((self.clock.monotonic() - self._monotonic) * 1_000_000))


@dataclass
class Trace:
    """Collects what happens while something is measured; steps are added as they end."""

    clock: Clock
    own: OwnAddresses
    connections: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    networks: NetworksTable | None = None
    neutral: bool = False  # of a host that may be believed when it says whom it sees
    # Taken by each socket of a step while it is open; the traces of a round share one.
    sockets: Shares = field(default_factory=lambda: Shares(64))
    steps: list[Step] = field(default_factory=list)
    helpers: list[HelperAnswer] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self.patience = Patience(self.clock)

    @asynccontextmanager
    async def holding_sockets(self, count: int = 1) -> AsyncIterator[None]:
        """Hold so many of the round's sockets; waiting for them costs no patience."""
        async with AsyncExitStack() as held:
            with self.patience.queueing():
                await held.enter_async_context(self.sockets.taken(count))
            yield

    def watch(self) -> Stopwatch:
        """Start timing a step."""
        return Stopwatch(self.clock, utc_text(self.clock.wall()), self.clock.monotonic())

    def asn_of(self, address: str | None) -> int | None:
        """Return the network of an address, None where it is unknown."""
        return self.networks.asn_of(address) if self.networks and address else None

    def next_connection(self) -> int:
        """Return the number that ties connect, handshake and exchange together."""
        return next(self.connections)

    def keep(self, data: bytes) -> str:
        """Keep bytes as a blob and return its id."""
        blob = digest(data)
        self.blobs[blob] = data
        return blob
