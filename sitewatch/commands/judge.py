"""sitewatch judge: judge what the database holds by the rules of this version."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import SpooledTemporaryFile

import click
import msgspec

from reports.added import table_of
from reports.errors import ReportError
from reports.rules import RULES_VERSION
from reports.verdicts import version_with
from reports.wording import counted
from sitewatch.console import safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.options import config_option, database_option
from sitewatch.rejudging import Changed, rejudge
from storage.records import Verdict
from storage.store import StoreError

_IN_MEMORY = 8_000_000  # bytes of what is told; the rest waits on the disk
_ERRORS = (StoreError, ReportError)


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
    judged = left = 0
    version = RULES_VERSION
    # All may be judged differently, and be millions: said only when all of it is done.
    with SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8") as lines:
        with installation.open_store(create=False) as store, told_in_one_line(*_ERRORS):
            version = version_with(table_of(store))
            for site in rejudge(store, everything=everything):
                judged, left = judged + site.judged, left + site.left
                lines.writelines(map(_json_line if as_json else _line, site.changed))
        lines.seek(0)
        if as_json:
            _tell_document(version, judged, left, lines)
        else:
            _tell(version, judged, left, lines)


def _tell(version: str, judged: int, left: int, lines: Iterable[str]) -> None:
    differently = 0
    for line in lines:
        differently += 1
        click.echo(line, nl=False)
    measurements = counted(judged, "measurement")
    say(f"{measurements} judged by the rules {version}, {differently:,} differently")
    if left:
        say(
            f"{left} kept the verdict they had: their content, or what they were judged with, "
            "was thinned"
        )


def _line(change: Changed) -> str:
    said = f"{_words(change.before)} -> {_words(change.after)}"
    return f"{change.time[:19]}Z  {safe(change.url)}  {said}\n"


def _words(verdict: Verdict | None) -> str:
    if verdict is None:
        return "not judged"
    how = ".".join(filter(None, [verdict.layer, verdict.technique]))
    return " ".join(filter(None, [verdict.status, how, verdict.certainty]))


def _json_line(change: Changed) -> str:
    return msgspec.json.encode(change).decode() + "\n"


def _tell_document(version: str, judged: int, left: int, lines: Iterable[str]) -> None:
    """Print one JSON document; each line is one of its changes."""
    head = {"format": "sitewatch-judged/1", "rules_version": version}
    counts = {"judged": judged, "left": left, "changed": []}
    begun = msgspec.json.encode(head | counts).decode().removesuffix("]}")
    click.echo(begun, nl=False)
    for number, line in enumerate(lines):
        click.echo(("," if number else "") + line.rstrip("\n"), nl=False)
    click.echo("]}")
