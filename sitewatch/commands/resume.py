"""sitewatch resume: end the pause that `sitewatch pause` began."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sitewatch.config import ConfigError, unread_config
from sitewatch.console import say, told_in_one_line
from sitewatch.options import config_option, idle_option
from sitewatch.pausing import PauseError, resume


@click.command("resume", epilog="Example: sitewatch resume")
@config_option
@idle_option(
    "--database", "PATH-OR-URL", "Taken by every command; a pause ends for every database."
)
def command(config_path: Path | None) -> None:
    """End the pause: the daemon goes on at its next time, and `sitewatch measure` works again."""
    with told_in_one_line(PauseError, ConfigError):
        earlier = resume(unread_config(config_path, os.environ))
    if earlier is None:
        say("Probing was not paused.")
    else:
        since = f" since {earlier.since[:19]}Z" if earlier.since else ""
        say(f"The pause{since} is over.")
