"""sitewatch import: merge databases and bundles of others, and OONI's files, into this one."""

from __future__ import annotations

from pathlib import Path

import click

from reports.wording import counted
from sitewatch.console import Failed, safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.ooni_files import import_ooni, is_ooni_file, tell_ooni
from sitewatch.options import config_option, database_option, identity_option
from storage.exchange import import_file
from storage.files import kind_of_file
from storage.store import StoreError


@click.command("import", epilog="Example: sitewatch import aigul.db timur.bundle")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@identity_option
@config_option
@database_option
def command(
    files: tuple[Path, ...], identity: Path | None, config_path: Path | None, database: str | None
) -> None:
    """Merge databases, exact bundles and OONI's files into this one; nothing is added twice.

    What a file is, its content says, not its name. Each record is checked against its hash and
    signature first. Of a database single records that fail stay out and are named, and the exit
    code is then 1; of a bundle in which anything is wrong nothing enters. Of OONI's measurements
    (JSON Lines, also packed) those of web_connectivity enter, signed by this installation.
    """
    refused = 0
    installation = Installation.load(config_path, database)
    with installation.open_store() as store:
        for file in files:
            with told_in_one_line(StoreError):
                kind = kind_of_file(file)
                if kind == "other" and is_ooni_file(file):
                    tell_ooni(file, import_ooni(store, file))
                    continue
                done = import_file(store, file, kind, identity)
            say(
                f"{safe(str(file))}: {done.records_new} records added, {done.records_known} known "
                f"already, {done.blobs_new} blobs added, {len(done.refused)} refused"
            )
            if done.annotations_new:
                say(f"  {counted(done.annotations_new, 'annotation')} added")
            for reason in done.refused:
                say(f"  {safe(reason)}")
            refused += len(done.refused)
    if refused:
        raise Failed(f"{refused} records or blobs did not pass their checks and stayed out")
