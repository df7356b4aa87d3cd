"""Keep the database within its bounds: what may go, what is cited and stays, in which order."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import timedelta

import msgspec

from probes.clock import Clock
from probes.rounds import RoundDone
from reports.cases import WITNESS_SECONDS
from reports.kept import kept_readings
from reports.readings import Reading
from sitewatch.config import Config
from sitewatch.config_checks import bytes_of
from sitewatch.installation import Installation
from sitewatch.rejudging import rejudge
from sitewatch.schedule import WakingHours, zone_of
from storage.records import utc_text
from storage.retention import THINNABLE, Page
from storage.store import Store

_log = logging.getLogger(__name__)

# Younger records are never touched: what they mean may not have settled yet.
SETTLED = timedelta(days=7)
# So many open measurements on either side of one that alleges or suspects interference stay.
_BESIDE = 3
# Thinning for size goes on until so much of the limit is in use, so that it is seldom needed.
_GOAL = 0.9


class Retained(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: blobs dropped, records made stubs, bytes of the file before and after.

    `over` is by how many bytes the file is still larger than the limit; 0 if it is not.
    """

    blobs: int
    records: int
    bytes_before: int
    bytes_after: int
    over: int


class QuietTime:
    """Keeps the database within its bounds once the waking hours are over; called after rounds.

    A call made while another one waits or works returns at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()

    async def __call__(self, store: Store, installation: Installation, done: RoundDone) -> None:
        """Wait for the quiet time, or not if the limit is passed already, and retain."""
        if self._turn.locked():
            return
        async with self._turn:
            config = installation.config
            if store.size().used <= bytes_of(config.storage.max_size):
                now = self._clock.wall()
                await self._clock.sleep(quiet_from(config, now) - now)
            stop = threading.Event()
            try:
                kept = await asyncio.to_thread(retain, store, config, self._clock, stop.is_set)
            except asyncio.CancelledError:
                stop.set()  # the thread cannot be cancelled, but ends at its next step
                raise
            _tell(kept, config)


def quiet_from(config: Config, now: float) -> float:
    """Return when the hours in which no round starts begin, or `now` while they last."""
    waking = WakingHours.parse(config.schedule.waking_hours)
    sleeping = WakingHours(waking.end, waking.start, 1 - waking.days)
    return sleeping.awake_from(now, zone_of(config.schedule.time_zone))


def _tell(kept: Retained, config: Config) -> None:
    if kept.blobs or kept.records:
        _log.info("thinned %d records and %d blobs", kept.records, kept.blobs)
    if kept.over:
        _log.warning(
            "the database is %.1f MB over storage.max_size (%s): what is left is evidence or "
            "younger than a week",
            kept.over / 1e6,
            config.storage.max_size,
        )


def retain(
    store: Store,
    config: Config,
    clock: Clock,
    stopping: Callable[[], bool] = lambda: False,
) -> Retained:
    """Thin old records as the configuration says, then make the file small enough.

    Blocks for as long as it takes, so it belongs into the quiet time and off the event loop; each
    step is a short transaction between which rounds can write. It ends early once `stopping` says
    so, with everything in order.
    """
    limit = bytes_of(config.storage.max_size)
    before = store.size()
    now = clock.wall()
    days = config.storage.accessible_days
    blobs = records = 0
    if days or before.used > limit:
        for _ in rejudge(store, everything=False):  # what loses its content has its verdict first
            if stopping():
                break
        else:
            cited = cited_ids(store)
            if days:
                records += _thin_by_age(store, cited, now, days, stopping)
            if store.size().used > limit:
                goal = int(limit * _GOAL)
                blobs, more = _thin_by_size(store, cited, now, goal, stopping)
                records += more
    size = store.size()
    large = size.file > limit or size.file - size.used > size.file // 4
    if large and not stopping():
        store.vacuum(stopping)
    after = store.size().file
    return Retained(
        blobs=blobs,
        records=records,
        bytes_before=before.file,
        bytes_after=after,
        over=max(0, after - limit),
    )


def cited_ids(store: Store) -> set[str]:
    """Return the measurements that must stay whole whatever their verdict.

    Whatever episodes are found in the data, they are made of measurements that allege or suspect
    interference, which are never thinned, and bounded by open ones beside them. So the open ones
    on either side stay, of the same vantage and of the same network; with them whatever was seen
    of the site within the time of witnesses; and the last open measurement of each site and
    vantage, which will bound an episode that opens later.
    """
    cited: set[str] = set()
    for url in store.urls():
        readings = kept_readings(store.judged(urls=[url]))
        cited |= _beside_allegations(readings, lambda reading: reading.vantage)
        cited |= _beside_allegations(readings, lambda reading: reading.network_key)
        cited |= _near_allegations(readings)
        cited |= _last_open(readings)
    return cited


def _beside_allegations(
    readings: Iterable[Reading], series_of: Callable[[Reading], Hashable]
) -> set[str]:
    """Return the last open readings before, and the first after, each one that is not settled."""
    series: dict[Hashable, list[Reading]] = defaultdict(list)
    for reading in readings:
        series[series_of(reading)].append(reading)
    beside: set[str] = set()
    for own in series.values():
        own.sort(key=lambda reading: (reading.seconds, reading.id))
        for ordered in (own, own[::-1]):
            before: deque[str] = deque(maxlen=_BESIDE)
            for reading in ordered:
                if reading.is_open:
                    before.append(reading.id)
                elif reading.status not in THINNABLE:
                    beside.update(before)
    return beside


def _near_allegations(readings: Sequence[Reading]) -> set[str]:
    times = sorted(r.seconds for r in readings if r.status not in THINNABLE)
    near: set[str] = set()
    position = 0
    for reading in sorted(readings, key=lambda reading: reading.seconds):
        while position < len(times) and times[position] < reading.seconds - WITNESS_SECONDS:
            position += 1
        if position < len(times) and times[position] <= reading.seconds + WITNESS_SECONDS:
            near.add(reading.id)
    return near


def _last_open(readings: Iterable[Reading]) -> set[str]:
    last: dict[str, Reading] = {}
    for reading in readings:
        known = last.get(reading.vantage)
        if reading.is_open and (known is None or reading.seconds >= known.seconds):
            last[reading.vantage] = reading
    return {reading.id for reading in last.values()}


def _thin_by_age(
    store: Store, cited: set[str], now: float, days: int, stopping: Callable[[], bool]
) -> int:
    oldest_kept = now - max(timedelta(days=days), SETTLED).total_seconds()

    def step(after: int) -> Page:
        return store.drop_records(
            after=after,
            before=utc_text(oldest_kept),
            cited=cited,
            statuses=["accessible"],
            now=now,
        )

    return _until_done(step, stopping)


def _thin_by_size(
    store: Store, cited: set[str], now: float, goal: int, stopping: Callable[[], bool]
) -> tuple[int, int]:
    """Drop blobs, first come first gone, then whole records, until `goal` bytes are used."""
    before = utc_text(now - SETTLED.total_seconds())

    def small_enough() -> bool:
        return stopping() or store.size().used <= goal

    blobs = _until_done(
        lambda after: store.drop_blobs(after=after, before=before, cited=cited), small_enough
    )
    records = _until_done(
        lambda after: store.drop_records(
            after=after, before=before, cited=cited, statuses=THINNABLE, now=now
        ),
        small_enough,
    )
    return blobs, records


def _until_done(step: Callable[[int], Page], enough: Callable[[], bool]) -> int:
    """Take step after step until there is no more or it is enough; return what was dropped."""
    dropped, after = 0, 0
    while not enough():
        page = step(after)
        dropped += page.dropped
        if page.last is None:
            break
        after = page.last
    return dropped
