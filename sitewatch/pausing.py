"""Pausing: a marker beside the configuration that stops all probing until it is taken away."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from probes.clock import Clock
from sitewatch.config import Config
from sitewatch.console import Failed
from storage.records import utc_text

FILE_NAME = "sitewatch-paused.json"

# How often a round under way looks for the marker, in seconds.
_LOOK_EVERY = 1.0


class PauseError(Exception):
    """The marker cannot be written or removed; the message is one line naming the file."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """What the marker says: since when (UTC text). Empty where the file does not say."""

    since: str = ""


def marker_of(config: Config) -> Path:
    """Return where the marker of this configuration stands."""
    return Path(config.folder) / FILE_NAME


def is_paused(config: Config) -> bool:
    """Tell whether probing is paused: nothing may be sent while it is."""
    return pause_of(config) is not None


def pause_of(config: Config) -> Pause | None:
    """Return the pause, None where there is none.

    A marker that cannot be read pauses too: in doubt nothing is sent.
    """
    try:
        data = marker_of(config).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return Pause()
    try:
        return msgspec.json.decode(data, type=Pause)
    except msgspec.DecodeError:
        return Pause()


def pause(config: Config, clock: Clock) -> Pause:
    """Set the marker and return what it says; a pause already set goes on. Raises PauseError."""
    earlier = pause_of(config)
    if earlier is not None:
        return earlier
    marker, made = marker_of(config), Pause(since=utc_text(clock.wall()))
    try:
        marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes the file 0600; the rename keeps a half-written one from standing there.
        handle, temporary = tempfile.mkstemp(dir=marker.parent, prefix=marker.name)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(made))
        Path(temporary).replace(marker)
    except OSError as error:
        raise PauseError(f"{marker}: cannot be written: {error.strerror}") from error
    return made


def resume(config: Config) -> Pause | None:
    """Take the marker away and return what it said, None if there was none. Raises PauseError."""
    earlier = pause_of(config)
    try:
        marker_of(config).unlink(missing_ok=True)
    except OSError as error:
        raise PauseError(f"{marker_of(config)}: cannot be removed: {error.strerror}") from error
    return earlier


async def until_paused(config: Config, clock: Clock) -> None:
    """Return once probing is paused; to be waited for beside a round, which then has to stop."""
    while not is_paused(config):
        await clock.sleep(_LOOK_EVERY)


def refuse_while_paused(config: Config) -> None:
    """Raise Failed, before anything is sent, while probing is paused."""
    paused = pause_of(config)
    if paused is not None:
        since = f" since {paused.since[:19]}Z" if paused.since else ""
        raise Failed(f"probing is paused{since}, so nothing was sent; `sitewatch resume` ends it")


def run_unless_paused(config: Config, clock: Clock, work: Coroutine[Any, Any, object]) -> None:
    """Run `work`, a round that keeps what it has when it is cancelled, until a pause is set.

    Raises Failed when it was stopped by a pause, KeyboardInterrupt when by Ctrl-C.
    """
    try:
        asyncio.run(_until_done_or_paused(config, clock, work))
    except KeyboardInterrupt:
        if is_paused(config):
            raise Failed("stopped by a pause; everything measured is kept") from None
        raise


async def _until_done_or_paused(
    config: Config, clock: Clock, work: Coroutine[Any, Any, object]
) -> None:
    task = asyncio.create_task(work)
    watching = asyncio.create_task(until_paused(config, clock))
    try:
        await asyncio.wait({task, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        await task
    finally:
        watching.cancel()
        if task.done() and not task.cancelled():
            task.exception()  # Ctrl-C leaves the loop past whoever waits for it
