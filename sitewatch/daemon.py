"""The daemon: starts rounds when the plan says so, reloads, survives clocks and lines, and stops.

APScheduler only wakes it; a woken daemon asks the plan again whether this is still a good moment.
Rounds run one after another in tasks of the daemon's own, because APScheduler cancels its running
jobs at shutdown and the daemon must keep what they measured.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from probes.clock import Clock
from probes.rounds import RoundDone
from sitewatch.daemon_clock import ClockZone, Heartbeat
from sitewatch.daemon_log import place_of
from sitewatch.daemon_plan import CADENCES, Kind, Plan
from sitewatch.daemon_round import AfterRound, Probing, Rounds, budget_of_today, probe
from sitewatch.daemon_state import DaemonState, load_state
from sitewatch.installation import Installation
from sitewatch.schedule import Draw
from sitewatch.usage import first_day_of_month
from sitewatch.watchdog import Notifier
from sitewatch.watchlist import Watchlist
from storage.records import utc_text
from storage.store import Store, StoreError

_log = logging.getLogger(__name__)

STOP_SECONDS = 8.0  # for what is being measured to be kept; systemd and we promise 10
LONGEST_ROUND = 3 * 3600.0  # every step is bounded, so that this is only for what nobody foresaw
_PAUSE_LOOK = 300.0  # how soon measuring goes on after a pause
_PAUSE_NOTICED = 2.0  # how soon a pause stops a round

# Reads the configuration and the targets anew. Raises with one line where they cannot be used.
Load = Callable[[], tuple[Installation, Watchlist]]


class Daemon:
    """Works until told to stop. All that touches the world comes in through the constructor.

    `probing` carries out rounds, `after_round` is told of each one that was made, `paused` tells
    whether the volunteer has paused everything, `draw` makes the jitter.
    """

    def __init__(
        self,
        installation: Installation,
        watchlist: Watchlist,
        store: Store,
        clock: Clock,
        *,
        load: Load,
        draw: Draw,
        probing: Probing = probe,
        after_round: Sequence[AfterRound] = (),
        paused: Callable[[], bool] = lambda: False,
        notifier: Notifier | None = None,
    ) -> None:
        self._installation, self._store, self._clock = installation, store, clock
        self._load, self._draw, self._after_round = load, draw, after_round
        self._paused, self._notifier = paused, notifier or Notifier(None)
        self.state = self._remembered()
        self.plan = Plan(installation.config, watchlist, self.state)
        limit = installation.config.limits.sensitive_per_target_day
        budget = budget_of_today(store, self.state.vantages, limit, clock.wall())
        self._rounds = Rounds(store, clock, self.plan, probing, budget)
        self._scheduler = AsyncIOScheduler(timezone=ClockZone(clock))
        self._wake, self._stopping = asyncio.Event(), asyncio.Event()
        self._due: set[Kind] = set()
        self._reload = False
        self._afterwards: set[asyncio.Task[None]] = set()

    # --- orders from outside -------------------------------------------------------------------

    def stop(self) -> None:
        """Stop soon, keeping everything that was measured."""
        self._stopping.set()
        self._wake.set()

    def reload(self) -> None:
        """Read configuration and targets again, after the round that may be running."""
        self._reload = True
        self._wake.set()

    # --- the loop ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `stop`. Everything that was handed over is on the disk when this returns."""
        self.state.started = utc_text(self._clock.wall())
        self._scheduler.start()
        heart = Heartbeat(self._clock, self._zone_offset, self._clock_moved, self._notifier.alive)
        beating = asyncio.create_task(heart.beat())
        self._make_plan()
        self._notifier.ready()
        try:
            while not self._stopping.is_set():
                await self._wake.wait()
                self._wake.clear()
                await self._act()
        finally:
            self._notifier.stopping()
            beating.cancel()
            self._scheduler.shutdown(wait=False)
            await self._settle_afterwards()
            self.state.next = {}
            self._save()

    async def _act(self) -> None:
        if self._stopping.is_set():
            return
        if self._reload:
            self._reload = False
            self._reconfigure()
        # A round over all targets serves the others that are due as well.
        due = next((kind for kind in ("all", "watched", "suspects") if kind in self._due), None)
        self._due.clear()
        if due is not None:
            await self._make_round(due)
        if not self._stopping.is_set():
            self._make_plan()

    def _make_plan(self) -> None:
        """Set the jobs anew from what the plan says; also tell what comes next."""
        starts = self.plan.starts(self._clock.wall(), self._draw)
        for job in self._scheduler.get_jobs():
            if job.id not in starts:
                job.remove()
        for kind, at in starts.items():
            # Coalesced: of several missed starts one remains. No grace time: a late start is
            # never dropped by the scheduler, since `_make_round` decides whether it is welcome.
            self._scheduler.add_job(
                self._fire,
                DateTrigger(datetime.fromtimestamp(at, UTC)),
                args=[kind],
                id=kind,
                replace_existing=True,
                coalesce=True,
                misfire_grace_time=None,
                max_instances=1,
            )
        self.state.next = {kind: utc_text(at) for kind, at in starts.items()}
        self._save()
        self._tell_next(min(starts.values()))

    async def _fire(self, kind: Kind) -> None:
        self._due.add(kind)
        self._wake.set()

    # --- one round -----------------------------------------------------------------------------

    async def _make_round(self, kind: Kind) -> None:
        """Make a round if this is a good moment for one."""
        now = self._clock.wall()
        self.state.paused = self._paused()
        if self.state.paused:
            self.plan.not_before = now + _PAUSE_LOOK
            return
        if not self.plan.is_awake(now):
            return  # woken by a suspend's end or by a clock that was set
        if not self.plan.affords(self._rounds.size(kind), now):
            self._out_of_data(kind, now)
            return
        self.plan.begins(kind, now)
        self._save()
        round_ = asyncio.create_task(self._rounds.run(self._installation, kind))
        ends = {
            asyncio.create_task(self._stopping.wait()),
            asyncio.create_task(self._until_paused()),
        }
        await asyncio.wait(
            {round_, *ends}, timeout=LONGEST_ROUND, return_when=asyncio.FIRST_COMPLETED
        )
        too_long = not round_.done() and not any(end.done() for end in ends)
        for end in ends:
            end.cancel()
        if round_.done():
            self._take_in(kind, now, round_)
            return
        round_.cancel()
        await asyncio.wait({round_}, timeout=STOP_SECONDS)
        if too_long:
            self._trouble("a round took hours and was stopped", "report it")
        _log.info("the round was stopped; what it measured is kept")

    async def _until_paused(self) -> None:
        while not self._paused():
            await self._clock.sleep(_PAUSE_NOTICED)

    def _take_in(self, kind: Kind, started: float, round_: asyncio.Task[RoundDone]) -> None:
        """Draw the consequences of a round that ended by itself."""
        error = round_.exception()
        if error is not None:
            self._failed(kind, error)
            return
        done = round_.result()
        self.state.note_line(done.round.line.state, done.round.time)
        if done.round.line.clock_offset_us is not None:
            self.state.clock_offset = done.round.line.clock_offset_us / 1e6
        if done.round.line.state != "up":
            until = self.plan.went_wrong(kind, self._clock.wall())
            _log.warning(
                "the line is %s: waiting, looking again at %s",
                done.round.line.state,
                utc_text(until)[:16],
            )
        else:
            self.plan.went_well()
            self.state.last_success = utc_text(started)
            _log.info("a round over %d targets is done", done.round.targets)
        for what in self._after_round:
            task = asyncio.create_task(self._after(what, done))
            self._afterwards.add(task)
            task.add_done_callback(self._afterwards.discard)

    async def _after(self, what: AfterRound, done: RoundDone) -> None:
        """Do what comes after a round; its failure is nobody else's."""
        try:
            await what(self._store, self._installation, done)
        except Exception as error:
            self._trouble(_words(error), "it is tried again after the next round")

    def _failed(self, kind: Kind, error: BaseException) -> None:
        until = self.plan.went_wrong(kind, self._clock.wall())
        cause = _first_cause(error)
        remedy = "free or repair what the message names; measuring goes on by itself"
        self._trouble(_words(cause), remedy if isinstance(cause, StoreError) else "report it")
        _log.error("the round ended early; trying again at %s", utc_text(until)[:16])

    def _out_of_data(self, kind: Kind, now: float) -> None:
        self._trouble(
            "the month's data are used up, so that rounds wait",
            "raise limits.month_megabytes, watch fewer targets or measure less often",
        )
        # One cadence may fit where another does not, so look again at the next usual time.
        self.state.last[kind] = utc_text(now)

    # --- other events --------------------------------------------------------------------------

    def _clock_moved(self, seconds: float) -> None:
        if seconds:
            how = "was set back" if seconds < 0 else "was set forward, or the machine slept"
            _log.info("the clock %s by %d seconds", how, abs(seconds))
            self.plan.clock_moved(seconds)
        self._wake.set()

    def _zone_offset(self) -> float:
        _, zone = self.plan.hours()
        offset = datetime.fromtimestamp(self._clock.wall(), zone).utcoffset()
        return offset.total_seconds() if offset else 0.0

    def _reconfigure(self) -> None:
        self._notifier.reloading()
        try:
            installation, watchlist = self._load()
        except Exception as error:
            self._trouble(f"not reloaded: {_words(error)}", "correct it and reload again")
        else:
            self._installation = installation
            self.plan.reconfigure(installation.config, watchlist)
            self._rounds.budget.limit = installation.config.limits.sensitive_per_target_day
            _log.info("reloaded: %d targets", len(watchlist.targets))
        self._notifier.ready()

    # --- remembering and telling ---------------------------------------------------------------

    def _remembered(self) -> DaemonState:
        """Return the state of before, with the data used counted anew where it may be stale."""
        now = self._clock.wall()
        state = load_state(self._installation.database) or DaemonState()
        state.last = {kind: at for kind, at in state.last.items() if kind in CADENCES}
        since = state.saved[:10] or first_day_of_month(now)
        state.usage.recount(self._store, state.vantages, since, now)
        return state

    def _save(self) -> None:
        try:
            self.state.save(self._installation.database, self._clock.wall())
        except OSError as error:
            _log.error("the state file cannot be written: %s", error.strerror)

    def _trouble(self, what: str, remedy: str) -> None:
        _log.error("%s", what)
        self.state.note_trouble(what, remedy, utc_text(self._clock.wall()))

    def _tell_next(self, at: float) -> None:
        slower = self.state.stretch
        if slower is None or slower > 1:
            how = "stopped until next month" if slower is None else f"{slower:.1f} times slower"
            _log.warning("to stay within the month's data, rounds are %s", how)
        line = self.state.line
        waiting = "" if line in (None, "up") else f"waiting, the line is {line}; "
        self._notifier.status(f"{waiting}next round {utc_text(at)[:16]}Z")

    async def _settle_afterwards(self) -> None:
        if self._afterwards:
            _, late = await asyncio.wait(self._afterwards, timeout=1.0)
            for task in late:
                task.cancel()


def _first_cause(error: BaseException) -> BaseException:
    """Return the first single error of a group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(error: BaseException) -> str:
    """Return an error that was raised on purpose in its own words, another by type and place."""
    purposeful = type(error).__module__.split(".")[0] in {"sitewatch", "storage", "probes"}
    return str(error) if purposeful else f"unexpected: {place_of(error)}"
