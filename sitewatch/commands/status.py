"""sitewatch status: is everything well, what was seen lately, what is wrong and what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from probes.clock import SystemClock
from probes.targets import TargetsError
from sitewatch.consenting import scope_of, state_of_consent
from sitewatch.console import safe, told_in_one_line
from sitewatch.daemon_plan import MEGABYTE
from sitewatch.installation import Installation
from sitewatch.options import config_option, database_option
from sitewatch.status import OngoingEpisode, Status, status_of
from sitewatch.watchlist import load_watchlist
from storage.store import StoreError


@click.command("status", epilog="Example: sitewatch status --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@config_option
@database_option
def command(as_json: bool, config_path: Path | None, database: str | None) -> None:
    """Say how this installation is; the exit code is 3 when something needs attention."""
    installation = Installation.load(config_path, database)
    with told_in_one_line(TargetsError):
        watchlist = load_watchlist(installation.config)
    scope = scope_of(installation, watchlist.targets, None)
    consent = state_of_consent(installation, scope) == "given"
    with installation.open_store(create=False) as store, told_in_one_line(StoreError):
        status = status_of(installation, watchlist, store, SystemClock().wall(), consent=consent)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(status), indent=2))
    else:
        click.echo("\n".join(lines_of(status)))
    if not status.healthy:
        sys.exit(3)


def lines_of(status: Status) -> list[str]:
    """Return what a person reads."""
    verdicts = ", ".join(f"{count} {word}" for word, count in sorted(status.verdicts.items()))
    lines = [
        "SIMULATED: nothing here was measured on a real line" if status.simulated else "",
        f"daemon      {_daemon(status)}",
        f"last round  {_moment(status.last_round)}",
        f"next round  {_moment(status.next_round)}",
        f"line        {status.line or 'not looked at yet'}{_since(status.line_since)}",
        f"targets     {status.targets}, {status.watched} of them more often",
        f"verdicts    {verdicts or 'none yet'}",
        f"database    {safe(status.database)}, {_mb(status.database_bytes)} of "
        f"{_mb(status.database_limit)}",
        f"this month  about {_mb(status.month_bytes)} of {_mb(status.month_budget)}{_slow(status)}",
    ]
    for episode in status.episodes:
        network = f" on {safe(episode.network)}" if episode.network else ""
        lines.append(
            f"blocked     {safe(episode.url)}{network}, {_began(episode)} ({episode.certainty})"
        )
    for problem in status.problems:
        lines.append(f"attention   {safe(problem.what)}: {safe(problem.remedy)}")
    if status.healthy:
        lines.append("All is well.")
    return [line for line in lines if line]


def _began(episode: OngoingEpisode) -> str:
    latest = _moment(episode.since_latest)
    if episode.since_earliest is None:
        return f"since {latest} at the latest"
    return f"begun between {_moment(episode.since_earliest)} and {latest}"


def _daemon(status: Status) -> str:
    if status.daemon is None:
        return "not running"
    state = "paused" if status.paused else "at work"
    return f"{state} (process {status.daemon})" if status.daemon else state


def _moment(text: str | None) -> str:
    return f"{text[:10]} {text[11:16]} UTC" if text else "none"


def _since(text: str | None) -> str:
    return f" since {_moment(text)}" if text else ""


def _slow(status: Status) -> str:
    if status.stretch is None or status.stretch <= 1:
        return ""
    return f", rounds are {status.stretch:.1f} times slower for it"


def _mb(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MB" if size < 1000 * MEGABYTE else f"{size / 1e9:.1f} GB"
