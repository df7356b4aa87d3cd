"""sitewatch judge: judge what the database holds by the rules of this version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from reports.errors import ReportError
from reports.rules import RULES_VERSION
from sitewatch.console import safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.options import config_option, database_option
from sitewatch.rejudging import Changed, Rejudged, rejudge
from storage.records import Verdict
from storage.store import StoreError


@click.command("judge", epilog="Example: sitewatch judge --all --json")
@click.option("--all", "everything", is_flag=True, help="Also what these rules judged already.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@config_option
@database_option
def command(
    everything: bool, as_json: bool, config_path: Path | None, database: str | None
) -> None:
    """Judge the measurements in the database and print what is judged differently now.

    Without --all only what these rules have not judged yet, or what later data cast new light on.
    A measurement whose content retention has dropped keeps the verdict it had.
    """
    installation = Installation.load(config_path, database)
    with installation.open_store(create=False) as store, told_in_one_line(StoreError, ReportError):
        done = list(rejudge(store, everything=everything))
    changed = [change for site in done for change in site.changed]
    if as_json:
        click.echo(_document(done, changed))
        return
    for change in changed:
        click.echo(
            f"{change.time[:19]}Z  {safe(change.url)}  {_words(change.before)} -> "
            f"{_words(change.after)}"
        )
    judged, left = sum(site.judged for site in done), sum(site.left for site in done)
    say(f"{judged} measurements judged by the rules {RULES_VERSION}, {len(changed)} differently")
    if left:
        say(
            f"{left} kept the verdict they had: their content, or what they were judged with, "
            "was thinned"
        )


def _words(verdict: Verdict | None) -> str:
    if verdict is None:
        return "not judged"
    how = ".".join(filter(None, [verdict.layer, verdict.technique]))
    return " ".join(filter(None, [verdict.status, how, verdict.certainty]))


def _document(done: Sequence[Rejudged], changed: Sequence[Changed]) -> str:
    document = {
        "format": "sitewatch-judged/1",
        "rules_version": RULES_VERSION,
        "judged": sum(site.judged for site in done),
        "left": sum(site.left for site in done),
        "changed": changed,
    }
    return msgspec.json.encode(document).decode()
