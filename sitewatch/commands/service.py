"""sitewatch service: run the daemon as a service of the user, under a name of one's choice."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from probes.targets import TargetsError
from sitewatch.consent import ConsentRecord
from sitewatch.consenting import marker_of, scope_of
from sitewatch.console import Failed, safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.options import config_option, database_option
from sitewatch.service import (
    DEFAULT_NAME,
    ServiceError,
    cron_lines,
    has_systemd,
    install,
    installed,
    lingers,
    remove,
    state_of,
    unit_of,
)
from sitewatch.watchlist import load_watchlist

_LINGERING = """\
It runs as long as you are logged in. So that it also runs when nobody is, and after the machine
has started, let your services linger (this needs an administrator on some systems):
  loginctl enable-linger\
"""
_NO_WALLS = """\
This kernel lets users make no namespaces, so it sees the whole machine as you do, instead of a
read-only one with its own folders.\
"""
_NO_SYSTEMD = """\
There is no systemd of yours here, so nothing was installed. With cron, run `crontab -e` and add
these lines; a daemon that is at work already keeps a second one from starting:
"""


@click.group("service", epilog="Example: sitewatch service install --name line-monitor")
def command() -> None:
    """Install, remove or look at the service that keeps the daemon running."""


@command.command("install", epilog="Example: sitewatch service install --name line-monitor")
@click.option(
    "--name",
    default=DEFAULT_NAME,
    show_default=True,
    help="What the service is called in lists that others may see.",
)
@click.option("--show", is_flag=True, help="Only print the unit file.")
@config_option
@database_option
def install_command(name: str, show: bool, config_path: Path | None, database: str | None) -> None:
    """Start the daemon now and whenever you log in."""
    installation = Installation.load(config_path, database)
    if show:
        with told_in_one_line(ServiceError):
            click.echo(unit_of(installation, name), nl=False)
        return
    _require_consent(installation)
    if not has_systemd():
        say(_NO_SYSTEMD)
        click.echo(cron_lines(installation), nl=False)
        raise Failed("no service was installed")
    with told_in_one_line(ServiceError):
        for other in installed(installation):
            remove(other)
        service = install(installation, name)
    say(f"The service {service.name} is at work; `sitewatch status` says how it is.")
    if not service.walled:
        say(_NO_WALLS)
    if not lingers():
        say(_LINGERING)


@command.command("remove", epilog="Example: sitewatch service remove")
@config_option
@database_option
def remove_command(config_path: Path | None, database: str | None) -> None:
    """Stop the daemon and take the service away; records and configuration stay."""
    installation = Installation.load(config_path, database)
    found = installed(installation)
    with told_in_one_line(ServiceError):
        for service in found:
            remove(service)
            say(f"Removed: {safe(str(service.file))}")
    if not found:
        say("There is no service for this configuration.")


@command.command("status", epilog="Example: sitewatch service status")
@config_option
@database_option
def status_command(config_path: Path | None, database: str | None) -> None:
    """Say whether the service is at work; the exit code is 3 when it is not."""
    installation = Installation.load(config_path, database)
    found = installed(installation)
    states = [state_of(service) if has_systemd() else "no systemd" for service in found]
    for service, state in zip(found, states, strict=True):
        click.echo(
            f"{service.name}: {state}{'' if lingers() else ', only while you are logged in'}"
        )
    if not found:
        click.echo("not installed")
    if states != ["active"]:
        sys.exit(3)


def _require_consent(installation: Installation) -> None:
    """Refuse to install what would end at once for want of consent."""
    with told_in_one_line(TargetsError):
        targets = load_watchlist(installation.config).targets
    record = ConsentRecord.load(marker_of(installation.config))
    if record is None or not record.covers(scope_of(installation, targets, None)):
        raise Failed("there is no consent to what would be measured; run sitewatch init first")
