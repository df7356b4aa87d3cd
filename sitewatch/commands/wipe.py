"""sitewatch wipe: remove everything that Sitewatch keeps on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import platformdirs

from sitewatch.config import ConfigError, load_config, unread_config
from sitewatch.console import Failed, safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.options import config_option, database_option
from sitewatch.service import ServiceError, installed
from sitewatch.service import remove as remove_service
from sitewatch.wiping import REMAINS, Leaving, daemon_at_work, leavings, remote_database, remove


@click.command("wipe", epilog="Example: sitewatch wipe --yes")
@click.option("--yes", is_flag=True, help="Do not ask; remove everything at once.")
@config_option
@database_option
def command(yes: bool, config_path: Path | None, database: str | None) -> None:
    """Remove database, keys, configuration, consent, watched list, log and service.

    Shows what will go, asks once, and says what no program can remove. There is no way back.
    A configuration that cannot be read does not keep anything; --database then names the records.
    """
    installation = _installation(config_path, database)
    found = leavings(installation.config, installation.database)
    services = installed(installation)
    if not found and not services:
        say("There is nothing of Sitewatch's here.")
    else:
        say("This will be removed and cannot be brought back:")
        for leaving in found:
            say(f"  {safe(str(leaving.path))}  ({leaving.what})")
        for service in services:
            say(f"  {safe(str(service.file))}  (service)")
    if remote_database(installation.database):
        say("The database is on a server and stays there; remove it there.")
    if (found or services) and not yes:
        _confirm()
    _remove_services(installation)
    _remove(installation.database, found)
    say(REMAINS)


def _installation(path: Path | None, database: str | None) -> Installation:
    """Return what is to be wiped, which a broken configuration must not prevent."""
    try:
        config = load_config(path, os.environ)
    except ConfigError as error:
        if database is None:
            usual = safe(str(platformdirs.user_data_path("sitewatch") / "sitewatch.db"))
            raise Failed(
                f"{error}; to wipe all the same say where the database is, usually "
                f"--database {usual}"
            ) from error
        with told_in_one_line(ConfigError):
            config = unread_config(path, os.environ)
    return Installation(config, database or config.database)


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise Failed("there is no terminal to ask at; to remove all of it use --yes")
    say('Type "wipe" and press Enter to remove all of it; anything else stops here:')
    if sys.stdin.readline().strip().lower() != "wipe":
        raise Failed("nothing was removed")


def _remove_services(installation: Installation) -> None:
    """Stop the daemon that a service keeps running, and take the service away."""
    with told_in_one_line(ServiceError):
        for service in installed(installation):
            remove_service(service)
            say(f"Removed the service {safe(service.name)}.")


def _remove(database: str, found: Sequence[Leaving]) -> None:
    if daemon_at_work(database):
        raise Failed("a daemon is at work on this database; stop it first, nothing was removed")
    stayed = remove(found)
    if stayed:
        for line in stayed:
            say(f"  {safe(line)}")
        raise Failed(f"{len(stayed)} files could not be removed, the rest is gone")
    if found:
        say(f"Removed {len(found)} files.")
