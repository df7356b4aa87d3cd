"""sitewatch annotate: add context with its source to what was measured, list it, remove it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.errors import ReportError
from reports.wording import counted
from sitewatch.annotation_rows import annotations_from_csv
from sitewatch.console import safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.options import config_option, database_option, normal_url
from storage.annotations import Annotation, AnnotationError, require_sound
from storage.store import StoreError


@click.command(
    "annotate",
    epilog='Example: sitewatch annotate --date 2017-06-20 --text "Minister denies blocking" '
    "--source https://news.example/minister",
)
@click.option("--date", metavar="DATE", help="The day (UTC), for instance 2017-06-20.")
@click.option("--time", metavar="HH:MM", help="The time (UTC), if it is known.")
@click.option("--text", metavar="TEXT", help="What was said or happened, in one sentence.")
@click.option("--source", metavar="URL", help="Where that is written.")
@click.option("--country", metavar="CC", help="Only for reports on this country (two letters).")
@click.option("--target", metavar="URL", help="Only for reports on this target.")
@click.option(
    "--csv",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Add every row: date,text,source and, if wanted, time,country,target.",
)
@click.option("--list", "listing", is_flag=True, help="List the annotations instead.")
@click.option("--remove", metavar="ID", help="Remove the annotation whose id begins so instead.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print one JSON document.")
@config_option
@database_option
def command(
    csv: Path | None,
    listing: bool,
    remove: str | None,
    as_json: bool,
    config_path: Path | None,
    database: str | None,
    **fields: str | None,
) -> None:
    """Add an annotation: context that reports tell with its source, never as evidence.

    Annotations are not signed and not exported; `sitewatch import` takes those of a database over.
    """
    _require_one_task(csv, listing, remove, as_json, fields)
    given = None if csv or listing or remove is not None else _given(fields)
    installation = Installation.load(config_path, database)
    with told_in_one_line(ReportError):
        wanted = annotations_from_csv(csv) if csv else [given] if given else []
    with installation.open_store(create=False) as store, told_in_one_line(StoreError):
        if listing:
            _show(store.annotations(), as_json=as_json)
        elif remove is not None:
            id, annotation = store.remove_annotation(remove)
            say(f"removed {id[:19]}: {annotation.date} {safe(annotation.text)}")
        else:
            new = store.annotate(wanted)
            say(f"{counted(new, 'annotation')} added, {len(wanted) - new} known already")


def _require_one_task(
    csv: Path | None,
    listing: bool,
    remove: str | None,
    as_json: bool,
    fields: dict[str, str | None],
) -> None:
    given = any(value is not None for value in fields.values())
    if sum([given, csv is not None, listing, remove is not None]) > 1:
        raise click.UsageError("one annotation, --csv, --list or --remove: each goes by itself")
    if as_json and not listing:
        raise click.UsageError("--json goes with --list")
    if csv is None and not listing and remove is None:
        for name in ("date", "text", "source"):
            if fields[name] is None:
                raise click.UsageError(f"an annotation needs --{name}")


def _given(fields: dict[str, str | None]) -> Annotation:
    target, country = fields["target"], fields["country"]
    annotation = Annotation(
        date=fields["date"] or "",
        time=fields["time"],
        text=fields["text"] or "",
        source=fields["source"] or "",
        country=None if country is None else country.upper(),
        target=None if target is None else normal_url(target, "--target"),
    )
    try:
        require_sound(annotation)
    except AnnotationError as error:
        raise click.BadParameter(error.problem, param_hint=f"--{error.field}") from error
    return annotation


def _show(kept: Sequence[tuple[str, Annotation]], *, as_json: bool) -> None:
    if as_json:
        rows = [{"id": id, **msgspec.structs.asdict(annotation)} for id, annotation in kept]
        click.echo(msgspec.json.encode({"format": "sitewatch-annotations/1", "annotations": rows}))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "when (UTC)", "about", "what", "source"):
        table.add_column(heading, overflow="fold")
    for id, annotation in kept:
        about = " ".join(filter(None, [annotation.country, annotation.target])) or "all"
        when = " ".join(filter(None, [annotation.date, annotation.time]))
        cells = (id[7:19], when, about, annotation.text, annotation.source)
        table.add_row(*(Text(safe(cell)) for cell in cells))
    Console().print(table)
