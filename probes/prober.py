"""What all measurements of one round share: settings, clock, roots, resolvers, slots."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from probes.certificates import CertificateJudge
from probes.clock import Clock
from probes.doh import DohResolver
from probes.own import OwnAddresses
from probes.session import Service
from probes.settings import Settings
from probes.shares import Shares
from probes.system_resolver import system_servers
from probes.trace import Trace
from storage.networks import Network, NetworksTable
from storage.records import Line, Vantage

_RECENT = 10  # so many visits are looked back on to notice that the line has gone
_FEWEST = 4
LONG = 0.5  # seconds after which a wait for the network gives the slot to others
# Sockets of visits, questions and walks under way; the few connections to helpers and encrypted
# resolvers, and what is not of the network, come on top and keep all below 256.
MOST_SOCKETS = 236
_MOST_WALKING = 3  # walks, or pairs of them, at once: routers answer only so fast
_MOST_SILENT = 3  # QUIC handshakes without a word before none is tried any more

_T = TypeVar("_T")


@dataclass(frozen=True)
class NeutralHost:
    """A neutral host that passed in this round: its name works at this address."""

    name: str
    address: str


@dataclass
class Prober:
    """One installation at work. `line` and `neutrals` are filled in when a round begins."""

    settings: Settings
    clock: Clock
    judge: CertificateJudge
    vantage: Vantage
    simulated: bool
    tool: str
    own: OwnAddresses = field(default_factory=OwnAddresses)
    networks: NetworksTable | None = None
    # Finds the pseudonym for the network that the line turns out to be on; None: it is given.
    identify: Callable[[Network | None], Vantage] | None = None
    line: Line | None = None
    neutrals: Sequence[NeutralHost] = ()
    system_server: str | None = None
    doh: Sequence[DohResolver] = ()
    helpers: Sequence[Service] = ()
    slots: Shares = field(init=False)
    walking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MOST_WALKING))
    sockets: Shares = field(default_factory=lambda: Shares(MOST_SOCKETS))
    _quic_passed: bool = False
    _quic_silent: int = 0
    _paces: dict[str, float] = field(default_factory=dict)
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def __post_init__(self) -> None:
        self.slots = Shares(self.settings.limits.parallel)
        self.system_server = next(iter(system_servers()), None)
        self.doh = [
            DohResolver(server, self.judge, self.settings.limits)
            for server in self.settings.resolvers.doh
        ]
        self.helpers = [
            Service(url, self.judge, self.settings.limits) for url in self.settings.helpers.urls
        ]

    @property
    def clock_offset(self) -> float:
        """Seconds to add to the machine's clock."""
        offset = self.line.clock_offset_us if self.line else None
        return (offset or 0) / 1e6

    @property
    def line_is_up(self) -> bool:
        return self.line is not None and self.line.state == "up"

    def begin(self, line: Line, neutrals: Sequence[NeutralHost]) -> None:
        """Take over what the look at the line has shown."""
        self.line, self.neutrals = line, neutrals
        self._quic_passed, self._quic_silent = False, 0
        self._paces.clear()
        for service in self._services():
            service.clock_offset = self.clock_offset

    def note(self, *, wrong: bool) -> bool:
        """Note how a first visit went; return whether most of the latest ones went wrong."""
        self._recent.append(wrong)
        return len(self._recent) >= _FEWEST and 2 * sum(self._recent) > len(self._recent)

    def note_pace(self, name: str, pace: float | None) -> None:
        """Note at how many bytes per second a page of `name` came; None where it tells nothing."""
        if pace is not None:
            self._paces[name] = max(pace, self._paces.get(name, 0.0))

    def pace_beside(self, name: str) -> float | None:
        """Return the best pace of other names on this line, None where none is known."""
        return max((pace for each, pace in self._paces.items() if each != name), default=None)

    def note_quic(self, *, passed: bool) -> None:
        """Note whether anything came back from a QUIC handshake of this round."""
        self._quic_passed |= passed
        self._quic_silent += not passed

    @property
    def quic_may_pass(self) -> bool:
        """Tell whether QUIC is worth trying: where UDP is shut for all, waiting is in vain."""
        return self._quic_passed or self._quic_silent < _MOST_SILENT

    def trace(
        self, connections: itertools.count[int] | None = None, *, neutral: bool = False
    ) -> Trace:
        """Return an empty trace; traces given the same `connections` share their numbering."""
        return Trace(
            self.clock,
            self.own,
            connections or itertools.count(1),
            self.networks,
            neutral,
            self.sockets,
        )

    def locate_vantage(self) -> None:
        """Take the pseudonym that belongs to the network of the line's public address."""
        if self.identify is None:
            return
        table = self.networks
        known = [table.network_of(address) for address in self.own.public()] if table else []
        self.vantage = self.identify(next(filter(None, known), None))

    @asynccontextmanager
    async def idle(self) -> AsyncIterator[None]:
        """Give back the slot that the caller holds while it only waits."""
        async with self.slots.lent():
            yield

    async def patiently(self, work: Awaitable[_T], long: float = LONG) -> _T:
        """Return what `work` of the network gives; when that takes long others get the slot."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=long)
            if not task.done():
                async with self.idle():
                    await asyncio.wait({task})
            return await task
        finally:
            if task.cancel():  # without effect where it is done
                task.add_done_callback(_forget)

    async def rest(self, seconds: float) -> None:
        """Wait on purpose, without holding the caller's slot."""
        async with self.idle():
            await self.clock.sleep(seconds)

    @asynccontextmanager
    async def connections(self) -> AsyncIterator[None]:
        """Close the connections that the round kept open, however it ends."""
        try:
            yield
        finally:
            for service in self._services():
                await service.close()

    def _services(self) -> list[Service]:
        return [*(resolver.service for resolver in self.doh), *self.helpers]


def _forget(task: asyncio.Future[Any]) -> None:
    """Take the end of what was cancelled for known, so that nothing complains of it."""
    if not task.cancelled():
        task.exception()
