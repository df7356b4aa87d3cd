"""Alerts: after each round find out what changed, note it, and tell it until it was heard.

A change is noted in the database before anything is sent, and a message is claimed before each
try; so a crash or a second process repeats nothing but, at worst, the one delivery that was cut
off before its success could be kept. Its id is then the same. Nothing here holds up a round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from probes.clock import Clock
from probes.rounds import RoundDone
from reports.added import table_of
from reports.episodes import find_episodes
from reports.lines import round_marks
from reports.stored_history import read_history
from reports.verdicts import version_with
from sitewatch.alert_changes import Change, Kind, changes, subjects_of
from sitewatch.alert_channels import (
    FEED_LENGTH,
    Channel,
    call_webhook,
    channels_of,
    feed_path,
    run_command,
    write_feed,
)
from sitewatch.alert_messages import body_of, id_of
from sitewatch.config import Config
from sitewatch.console import safe, say
from sitewatch.installation import Installation
from sitewatch.pausing import is_paused
from sitewatch.schedule import WakingHours, zone_of
from storage.announcements import Announcement, AnnouncementLog, Message, Queue
from storage.columns import rounds_in
from storage.records import utc_seconds, utc_text
from storage.store import Store

_log = logging.getLogger(__name__)

DAY = 86400.0
LOOK_BACK = 90 * DAY  # older episodes are settled and no news
_FRESH = 2 * DAY  # what ended longer ago is noted but told to nobody
_GOES_ON: frozenset[Kind] = frozenset({"opened", "confirmed", "reopened"})
_MOST_IN_A_MESSAGE = 500

# Seconds until the next try after the first, second … one; then every six hours.
_RETRIES = (60.0, 120.0, 300.0, 900.0, 3600.0, 10800.0)
_LAST_RETRY = 21600.0
# A claim outlives the longest try.
_CLAIM = 180.0


class Alerts:
    """Tells changes of one database; to be called after each round.

    A call returns when all is told, or when nothing more can be done before the next round; calls
    that overlap share the work.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()

    async def __call__(self, store: Store, installation: Installation, done: RoundDone) -> None:
        """Note what changed and deliver; go on trying until it is heard or this is cancelled."""
        config = installation.config
        if not channels_of(config):
            return
        await asyncio.to_thread(note_changes, store, config, self._clock.wall())
        if self._turn.locked():
            return  # the call that holds it delivers what was noted just now
        async with self._turn:
            while (due := await self._deliver(store, config)) is not None:
                await self._clock.sleep(max(1.0, due - self._clock.wall()))

    async def once(self, store: Store, config: Config) -> Queue:
        """Note what changed, try once what is due, and return what is still to be told."""
        channels = channels_of(config)
        if channels:
            await asyncio.to_thread(note_changes, store, config, self._clock.wall())
            await self._deliver(store, config)
        return AnnouncementLog(store).queue(channels)

    async def _deliver(self, store: Store, config: Config) -> float | None:
        """Deliver what is due; return when there is more to do, None if there is nothing more.

        While probing is paused nothing is sent at all: what waits is told after the next round.
        """
        if is_paused(config):
            return None
        log, channels = AnnouncementLog(store), channels_of(config)
        quiet_until = _quiet_until(config, self._clock.wall())
        if quiet_until is None:
            for channel in channels:
                await asyncio.to_thread(_compose, store, log, channel, self._clock.wall())
            now = utc_text(self._clock.wall())
            for message in await asyncio.to_thread(log.due, channels, now):
                await self._try(log, config, message)
        queue = await asyncio.to_thread(log.queue, channels)
        if not queue.waiting and not queue.held:
            return None
        if quiet_until is not None:
            return quiet_until
        return None if queue.next_due is None else utc_seconds(queue.next_due)

    async def _try(self, log: AnnouncementLog, config: Config, message: Message) -> None:
        if not await asyncio.to_thread(log.claim, message, utc_text(self._clock.wall() + _CLAIM)):
            return
        failure = await self._send(log, config, message)
        now = self._clock.wall()
        if failure is None:
            await asyncio.to_thread(log.delivered, message, utc_text(now))
        else:
            wait = _RETRIES[message.tries] if message.tries < len(_RETRIES) else _LAST_RETRY
            await asyncio.to_thread(log.failed, message, failure, utc_text(now + wait))
            _log.warning(
                "an alert by %s was not taken (%s); trying again", message.channel, failure
            )

    async def _send(self, log: AnnouncementLog, config: Config, message: Message) -> str | None:
        match message.channel:
            case "command":
                return await run_command(config.alerts.command, message)
            case "webhook":
                return await call_webhook(config, self._clock, message)
            case _:
                latest = await asyncio.to_thread(log.latest, "atom", FEED_LENGTH)
                return await asyncio.to_thread(write_feed, feed_path(config), latest)


def tell_what_changed(store: Store, config: Config, clock: Clock) -> None:
    """Tell once what changed, where a channel is set up; what was not taken waits for next time."""
    if not channels_of(config):
        return
    queue = asyncio.run(Alerts(clock).once(store, config))
    if queue.failure is not None:
        say(f"An alert was not taken and is kept for later: {safe(queue.failure)}")


def note_changes(store: Store, config: Config, now: float) -> int:
    """Judge what is not yet judged, find what changed, and note it; return how many changes.

    `now` is in seconds. Meant for a thread: it reads what three months came to.
    """
    since = now - LOOK_BACK
    readings = read_history(store, since=since, until=now + DAY)  # clocks may run ahead
    marks = round_marks(rounds_in(store, since=utc_text(since)))
    log = AnnouncementLog(store)
    found = changes(find_episodes(readings, marks), subjects_of(log.noted()), since=since)
    noticed = utc_text(now)
    channels = channels_of(config)
    return log.note(
        [
            (_announcement(change, noticed), channels if _is_news(change, now) else ())
            for change in found
        ]
    )


def _announcement(change: Change, noticed: str) -> Announcement:
    return Announcement(
        subject=change.subject,
        turn=change.turn,
        kind=change.kind,
        noticed=noticed,
        episode=change.text(),
    )


def _is_news(change: Change, now: float) -> bool:
    going_on = change.kind in _GOES_ON and not change.said.ended
    corrects = change.kind in ("corrected", "withdrawn")
    return going_on or corrects or now - change.moment <= _FRESH


def _compose(store: Store, log: AnnouncementLog, channel: Channel, now: float) -> None:
    """Put what a channel is to tell into one message: much at once becomes a digest."""
    held: Sequence[Announcement] = log.held(channel)
    while held:
        part, held = held[:_MOST_IN_A_MESSAGE], held[_MOST_IN_A_MESSAGE:]
        told = [Change.of(one) for one in part]
        rules = version_with(table_of(store))
        body = body_of(told, channel, rules=rules, simulated=bool(store.simulated()))
        made = utc_text(now)
        message = Message(id=id_of(told, channel), channel=channel, body=body, made=made, due=made)
        log.put(message, [one.number for one in part])


def _quiet_until(config: Config, now: float) -> float | None:
    """Return when the quiet hours that hold now are over, None outside of them."""
    if not config.alerts.quiet_hours:
        return None
    zone = zone_of(config.schedule.time_zone)
    quiet = WakingHours.parse(config.alerts.quiet_hours)
    if not quiet.is_awake(now, zone):
        return None
    waking = WakingHours(quiet.end, quiet.start, 1 - quiet.days)
    return waking.awake_from(now, zone)
