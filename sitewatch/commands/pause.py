"""sitewatch pause: stop all probing until `sitewatch resume`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from probes.clock import SystemClock
from sitewatch.config import ConfigError, unread_config
from sitewatch.console import say, told_in_one_line
from sitewatch.options import config_option, idle_option
from sitewatch.pausing import PauseError, pause


@click.command("pause", epilog="Example: sitewatch pause")
@config_option
@idle_option(
    "--database", "PATH-OR-URL", "Taken by every command; a pause holds for every database."
)
def command(config_path: Path | None) -> None:
    """Stop all probing with this configuration until `sitewatch resume`.

    Whatever database it goes to: also a daemon that was started with --database.
    A round under way stops within seconds and keeps what it has. Nothing else changes: what is
    stored can still be read, judged and reported.
    """
    with told_in_one_line(PauseError, ConfigError):
        made = pause(unread_config(config_path, os.environ), SystemClock())
    since = f" since {made.since[:19]}Z" if made.since else ""
    say(f"Probing is paused{since}. `sitewatch resume` ends the pause.")
