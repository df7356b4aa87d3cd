"""The ways out: a program of the volunteer's, a web address, a feed. Each delivers one message."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from probes.certificates import CertificateJudge, RootsError
from probes.clock import Clock
from probes.posting import post
from reports import atom
from sitewatch.config import Config
from storage.announcements import Message

Channel: TypeAlias = Literal["command", "webhook", "atom"]

_COMMAND_SECONDS = 60.0
FEED_LENGTH = 100  # messages in the feed; older ones fall out


def channels_of(config: Config) -> list[Channel]:
    """Return the channels that the configuration sets up; none is the default."""
    alerts = config.alerts
    written: list[tuple[Channel, str]] = [
        ("command", alerts.command),
        ("webhook", alerts.webhook),
        ("atom", alerts.atom),
    ]
    return [channel for channel, value in written if value]


def feed_path(config: Config) -> Path:
    """Return where the feed is written: relative paths start from the configuration's folder."""
    return Path(config.folder) / Path(config.alerts.atom).expanduser()


async def run_command(command: str, message: Message) -> str | None:
    """Run the program with the message as JSON on its input; return None if it exits with 0.

    The text alone is in SITEWATCH_ALERT. After a minute the program and all it started are ended.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | {"SITEWATCH_ALERT": _document(message)["text"]},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"cannot be run: {getattr(error, 'strerror', None) or error}"
    try:
        async with asyncio.timeout(_COMMAND_SECONDS):
            await process.communicate(message.body.encode())
    except TimeoutError:
        return f"took longer than {_COMMAND_SECONDS:.0f} seconds"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return None if process.returncode == 0 else f"ended with {process.returncode}"


async def call_webhook(config: Config, clock: Clock, message: Message) -> str | None:
    """Post the message as JSON; return None if it was taken."""
    settings = config.settings()
    try:
        judge = CertificateJudge(settings.tls.ca_bundle)
    except RootsError as error:
        return str(error)
    return await post(
        config.alerts.webhook,
        message.body.encode(),
        kind="application/json",
        clock=clock,
        limits=settings.limits,
        judge=judge,
    )


def write_feed(path: Path, messages: Sequence[Message]) -> str | None:
    """Write the feed anew in one move; return None, or why it could not be written.

    `messages` stand with the newest first. A new file is for its owner alone; one that exists
    keeps its mode, so that a web server may be let in.
    """
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "wb") as file:
            file.write(feed(messages).encode())
            os.fchmod(file.fileno(), mode)
        Path(temporary).replace(path)
    except OSError as error:
        return f"{path}: cannot be written: {error.strerror}"
    return None


def feed(messages: Sequence[Message]) -> str:
    """Return the messages, the newest first, as an Atom feed (RFC 4287)."""
    return atom.feed(
        [_entry(message) for message in messages], id="urn:sitewatch:alerts", title="Sitewatch"
    )


def _entry(message: Message) -> atom.Entry:
    text = _document(message)["text"]
    return atom.Entry(id=f"urn:{message.id}", title=text, updated=message.made, paragraphs=[text])


def _document(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(message.body)
    return document
