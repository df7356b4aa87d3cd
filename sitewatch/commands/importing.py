"""sitewatch import: merge other volunteers' databases into this one."""

from __future__ import annotations

from pathlib import Path

import click

from sitewatch.console import Failed, safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.options import config_option, database_option
from storage.store import StoreError


@click.command("import", epilog="Example: sitewatch import aigul.db timur.db")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@config_option
@database_option
def command(files: tuple[Path, ...], config_path: Path | None, database: str | None) -> None:
    """Merge Sitewatch databases into this one; what is already known is not added twice.

    Each record is checked against its hash and signature first. Records that fail stay out and are
    named, and the exit code is then 1.
    """
    refused = 0
    installation = Installation.load(config_path, database)
    with installation.open_store() as store:
        for file in files:
            with told_in_one_line(StoreError):
                done = store.import_database(file)
            say(
                f"{safe(str(file))}: {done.records_new} records added, {done.records_known} known "
                f"already, {done.blobs_new} blobs added, {len(done.refused)} refused"
            )
            for reason in done.refused:
                say(f"  {safe(reason)}")
            refused += len(done.refused)
    if refused:
        raise Failed(f"{refused} records or blobs did not pass their checks and stayed out")
