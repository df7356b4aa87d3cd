"""How this installation is: rounds, verdicts, episodes, data, and what is wrong and what to do."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from reports.analysis import analyse
from reports.history import History
from reports.readings import Reading
from sitewatch.config_checks import bytes_of, seconds_of
from sitewatch.daemon_lock import running
from sitewatch.daemon_plan import MEGABYTE
from sitewatch.daemon_state import DaemonState, Trouble, load_state
from sitewatch.installation import Installation
from sitewatch.pausing import is_paused
from sitewatch.schedule import DAY
from sitewatch.usage import first_day_of_month
from sitewatch.watchlist import Watchlist
from storage.records import LineState, utc_seconds, utc_text
from storage.store import Store

_LOOK_BACK = 14 * DAY  # for verdicts and ongoing episodes
_RECENT = 2 * DAY  # troubles older than this are history
_LEAST_FREE = 300 * MEGABYTE
# Two slots may lie a night apart, and a laptop sleeps at the weekend.
_LONGEST_SILENCE = 2.5 * DAY


class OngoingEpisode(msgspec.Struct, frozen=True):
    """A target that is blocked now, by what is known."""

    url: str
    network: str | None
    since_earliest: str | None
    since_latest: str
    certainty: str


class Problem(msgspec.Struct, frozen=True):
    """Something that needs attention, and what to do."""

    what: str
    remedy: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All that `sitewatch status` shows. Times are UTC text, sizes bytes; healthy: no problems."""

    format: str = "sitewatch-status/1"
    generated: str
    healthy: bool
    problems: list[Problem]
    simulated: bool | None
    daemon: int | None  # process id, 0 if unknown; null: none runs
    paused: bool
    last_round: str | None
    next_round: str | None
    line: LineState | None
    line_since: str | None
    stretch: float | None
    targets: int
    watched: int
    verdicts: dict[str, int]  # the latest of each target, by status
    episodes: list[OngoingEpisode]
    troubles: list[Trouble]
    database: str
    database_bytes: int
    database_limit: int
    month_bytes: int
    month_budget: int


def status_of(
    installation: Installation, watchlist: Watchlist, store: Store, now: float, *, consent: bool
) -> Status:
    """Return how this installation is at `now` (epoch seconds)."""
    config, database = installation.config, installation.database
    state = load_state(database) or DaemonState()
    _count_today(state, store, now)
    readings, episodes = _seen(store, now)
    month = state.usage.month(now).bytes
    pid = running(database)
    problems = [
        *_daemon_problems(installation, state, pid, now),
        *_budget_problems(installation, state, month),
        *_storage_problems(installation),
        *([] if consent else [_NO_CONSENT]),
        *(
            Problem(trouble.what, trouble.remedy)
            for trouble in state.troubles
            if now - utc_seconds(trouble.last) < _RECENT
        ),
    ]
    return Status(
        generated=utc_text(now),
        healthy=not problems,
        problems=problems,
        simulated=store.simulated(),
        daemon=pid,
        paused=is_paused(config),
        last_round=_last_round(store, state, now),
        next_round=min(state.next.values(), default=None) if pid is not None else None,
        line=state.line,
        line_since=state.line_since or None,
        stretch=state.stretch,
        targets=len(watchlist.targets),
        watched=len(watchlist.watched),
        verdicts=dict(Counter(_latest(readings, set(watchlist.urls)).values())),
        episodes=episodes,
        troubles=[t for t in state.troubles if now - utc_seconds(t.last) < _RECENT],
        database=database,
        database_bytes=_size(database),
        database_limit=bytes_of(config.storage.max_size),
        month_bytes=month,
        month_budget=config.limits.month_megabytes * MEGABYTE,
    )


_NO_CONSENT = Problem(
    "what would be measured is more than was consented to, so that nothing would be",
    "run sitewatch init",
)


def _count_today(state: DaemonState, store: Store, now: float) -> None:
    """Bring the data used up to date: what was measured by hand, or since the state was saved."""
    state.usage.recount(store, state.vantages, state.saved[:10] or first_day_of_month(now), now)


def _seen(store: Store, now: float) -> tuple[History, list[OngoingEpisode]]:
    analysis = analyse(
        store, since=utc_text(now - _LOOK_BACK)[:10], until=utc_text(now)[:10], exact=True
    )
    episodes = [
        OngoingEpisode(
            url=episode.url,
            network=episode.network,
            since_earliest=None
            if episode.onset_earliest is None
            else utc_text(episode.onset_earliest),
            since_latest=utc_text(episode.onset_latest),
            certainty=episode.certainty,
        )
        for episode in analysis.episodes
        if episode.status == "ongoing"
    ]
    return analysis.readings, episodes


def _latest(readings: Iterable[Reading], urls: set[str]) -> dict[str, str]:
    """Return the status of each target's latest reading."""
    latest: dict[str, Reading] = {}
    for reading in readings:
        before = latest.get(reading.url)
        if reading.url in urls and (before is None or reading.seconds >= before.seconds):
            latest[reading.url] = reading
    return {url: reading.status for url, reading in latest.items()}


def _last_round(store: Store, state: DaemonState, now: float) -> str | None:
    rounds = store.rounds(since=utc_text(now - _LOOK_BACK))
    times = [stored.record.time for stored in rounds if stored.record.line.state == "up"]
    return max([*times, *filter(None, [state.last_success])], default=None)


def _daemon_problems(
    installation: Installation, state: DaemonState, pid: int | None, now: float
) -> list[Problem]:
    if is_paused(installation.config):
        return []  # as the volunteer wishes
    if pid is None:
        return [
            Problem(
                "no daemon works on this database",
                "start it with sitewatch service install, or sitewatch daemon",
            )
        ]
    problems = []
    if state.line not in (None, "up"):
        problems.append(
            Problem(
                f"the line is {state.line} since {state.line_since[:16]}Z",
                "check the connection; measuring goes on by itself when it is back",
            )
        )
    silence = max(_LONGEST_SILENCE, 2.5 * seconds_of(installation.config.schedule.every))
    since = state.last_success or state.started
    if since and now - utc_seconds(since) > silence * (state.stretch or 1.0):
        problems.append(
            Problem(
                f"no round since {since[:16]}Z",
                "let the machine run in the waking hours, or look into the daemon's log",
            )
        )
    return problems


def _budget_problems(installation: Installation, state: DaemonState, month: int) -> list[Problem]:
    budget = installation.config.limits.month_megabytes * MEGABYTE
    if state.stretch is None or month > budget:
        return [
            Problem(
                "the month's data are used up, so that no more rounds are made",
                "raise limits.month_megabytes, or wait for the next month",
            )
        ]
    if state.stretch > 2:
        return [
            Problem(
                f"rounds are {state.stretch:.1f} times slower, for the month's data to last",
                "raise limits.month_megabytes, watch fewer targets or measure less often",
            )
        ]
    return []


def _storage_problems(installation: Installation) -> list[Problem]:
    database, limit = installation.database, bytes_of(installation.config.storage.max_size)
    if "://" in database:
        return []
    problems = []
    free = shutil.disk_usage(Path(database).parent).free
    if free < _LEAST_FREE:
        problems.append(
            Problem(f"only {free // MEGABYTE} MB are free on the disk", "make room on the disk")
        )
    if _size(database) > limit:
        problems.append(
            Problem(
                "the database is larger than storage.max_size",
                "raise it; what is left are records that a report may need",
            )
        )
    return problems


def _size(database: str) -> int:
    """Return the bytes of the database with its log; 0 for one that is no file."""
    files = [Path(database), Path(f"{database}-wal")]
    return sum(file.stat().st_size for file in files if file.is_file())
