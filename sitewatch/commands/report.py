"""sitewatch report: write the report of some days, with its evidence."""

from __future__ import annotations

from pathlib import Path

import click

from reports.catalogue import LANGUAGES
from reports.dossier import verifier_hash
from reports.errors import ReportError
from reports.report import write_report
from sitewatch import __version__
from sitewatch.console import safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.measured_days import measured_days
from sitewatch.options import config_option, country_option, database_option, target_option
from sitewatch.stamps import stamp_of
from storage.store import StoreError


@click.command(
    "report",
    epilog="Example: sitewatch report --from 2017-06-12 --to 2017-07-10 --country KZ --output june",
)
@click.option("--from", "first", metavar="DATE", help="First day (UTC).")
@click.option("--to", "last", metavar="DATE", help="Last day (UTC), included.")
@click.option(
    "--incident",
    metavar="ID",
    help="Report on this incident alone; without days, it is looked for in all of them.",
)
@country_option
@target_option
@click.option("--exact", is_flag=True, help="Exact times instead of times rounded to 10 minutes.")
@click.option("--dossier", is_flag=True, help="Also write dossier.zip, the evidence to hand out.")
@click.option(
    "--language",
    type=click.Choice(list(LANGUAGES)),
    default="en",
    show_default=True,
    help="Of the page and the Markdown; what nobody has reviewed is marked as a draft.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for report.html and the other files of the report.",
)
@config_option
@database_option
def command(
    first: str | None,
    last: str | None,
    incident: str | None,
    country: str | None,
    target: str | None,
    exact: bool,
    dossier: bool,
    language: str,
    output: Path,
    config_path: Path | None,
    database: str | None,
) -> None:
    """Write what the database says about some days: a page, Markdown, tables, data, a feed.

    docs/formats.md says what each file holds. All of them are written, or nothing is changed.
    """
    if incident is None:
        for name, day in (("--from", first), ("--to", last)):
            if day is None:
                raise click.UsageError(f"a report needs {name} DATE (or --incident ID)")
    installation = Installation.load(config_path, database)
    with (
        installation.open_store(create=False) as store,
        told_in_one_line(ReportError, StoreError),
    ):
        days = measured_days(store) if None in (first, last) else ("", "")
        summary = write_report(
            store,
            since=first or days[0],
            until=last or days[1],
            incident=incident,
            country=country,
            urls=None if target is None else [target],
            output=output,
            generated=stamp_of(store, exact=exact),
            tool=f"sitewatch {__version__}",
            exact=exact,
            with_dossier=dossier,
            language=language,
        )
    click.echo(safe(summary.headline))
    click.echo(str(summary.files[0]))
    if dossier:
        click.echo(str(summary.files[-1]))
        say(f"verify.py in it has the SHA-256 {verifier_hash()} (also in docs/formats.md)")
