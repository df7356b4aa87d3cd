"""sitewatch resume: end the pause that `sitewatch pause` began."""

from __future__ import annotations

from pathlib import Path

import click

from sitewatch.console import say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.options import config_option
from sitewatch.pausing import PauseError, resume


@click.command("resume", epilog="Example: sitewatch resume")
@config_option
def command(config_path: Path | None) -> None:
    """End the pause: the daemon goes on at its next time, and `sitewatch measure` works again."""
    installation = Installation.load(config_path, None)
    with told_in_one_line(PauseError):
        earlier = resume(installation.config)
    if earlier is None:
        say("Probing was not paused.")
    else:
        since = f" since {earlier.since[:19]}Z" if earlier.since else ""
        say(f"The pause{since} is over.")
