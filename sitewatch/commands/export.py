"""sitewatch export: write what the database holds to a file that can be handed on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
import msgspec

from sitewatch import __version__
from sitewatch.console import Failed, safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.options import config_option, country_option, database_option
from sitewatch.rejudging import rejudge
from sitewatch.verdict_table import verdict_table
from storage.bundle_frames import Writable
from storage.exchange import export_bundle, export_lines, export_ooni, root_of_store
from storage.files import written_whole
from storage.store import Store, StoreError
from storage.wanted import Exported, Wanted


class _Order(msgspec.Struct, frozen=True):
    """What one call asks for. `out` is a path, or the stream that stdout is."""

    out: Path | Writable
    wanted: Wanted
    exact: bool
    recipients: tuple[str, ...]


@click.command(
    "export", epilog="Example: sitewatch export --exact --since 2026-11-01 november.bundle"
)
@click.argument("file", required=False, metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format",
    type=click.Choice(["bundle", "json", "csv", "ooni"]),
    default="bundle",
    show_default=True,
    help="A bundle to verify and merge, records as JSON Lines, verdicts as CSV, or OONI's format.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--exact",
    is_flag=True,
    help="The originals with exact times, not records derived for the public.",
)
@click.option("--since", metavar="DATE", help="First day (UTC).")
@click.option("--until", metavar="DATE", help="Last day (UTC), included.")
@country_option
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="age1…",
    help="Encrypt the bundle to this age recipient; may be given more than once.",
)
@click.option("--root", is_flag=True, help="Print the hash over all chains, and export nothing.")
@config_option
@database_option
def command(
    file: Path | None,
    format: str,
    as_json: bool,
    exact: bool,
    since: str | None,
    until: str | None,
    country: str | None,
    recipients: tuple[str, ...],
    root: bool,
    config_path: Path | None,
    database: str | None,
) -> None:
    """Write what the database holds to a new FILE, or to stdout when it is `-`.

    Without --exact what is written can be published: times are rounded outward to ten minutes, and
    what could show a watcher of the line who measured is left out. A bundle with --exact holds the
    signed originals; it is what `sitewatch import` merges, and is for people you trust.
    """
    format = "json" if as_json else format
    if recipients and format != "bundle":
        raise click.UsageError("--recipient is for bundles only")
    if root != (file is None):
        raise click.UsageError("name one FILE to write, or --root")
    if format == "bundle" and str(file) == "-" and sys.stdout.isatty():
        raise click.UsageError("a bundle is no text for a terminal; redirect stdout or name a FILE")
    wanted = Wanted(since=_day(since, 0), until=_day(until, 1), country=country)
    installation = Installation.load(config_path, database)
    with installation.open_store(create=False) as store, told_in_one_line(StoreError):
        if file is None:
            click.echo(msgspec.json.encode(root_of_store(store)).decode())
            return
        order = _Order(_output(file), wanted, exact, recipients)
        done = _WRITERS[format](store, order)
    _tell(file, done)


def _bundle(store: Store, order: _Order) -> Exported:
    return export_bundle(
        store,
        order.out,
        order.wanted,
        exact=order.exact,
        tool=f"sitewatch {__version__}",
        recipients=order.recipients,
    )


def _lines(store: Store, order: _Order) -> Exported:
    _judge(store)
    return export_lines(store, order.out, order.wanted, exact=order.exact)


def _table(store: Store, order: _Order) -> Exported:
    _judge(store)
    judged = list(
        store.judged(
            since=order.wanted.since, until=order.wanted.until, country=order.wanted.country
        )
    )
    if not judged:
        raise StoreError(f"{store.name}: no record is wanted; nothing was written")
    text = verdict_table(judged, exact=order.exact)
    out = order.out
    with written_whole(out) if isinstance(out, Path) else nullcontext(out) as sink:
        sink.write(text.encode())
    return Exported(records=len(judged))


def _ooni(store: Store, order: _Order) -> Exported:
    _judge(store)
    return export_ooni(store, order.out, order.wanted, exact=order.exact)


# A further format is one function and one line here, and its name in --format.
_WRITERS: dict[str, Callable[[Store, _Order], Exported]] = {
    "bundle": _bundle,
    "json": _lines,
    "csv": _table,
    "ooni": _ooni,
}


def _judge(store: Store) -> None:
    """Judge what was imported and never looked at, so that every verdict is there."""
    for _ in rejudge(store, everything=False):
        pass


def _output(file: Path) -> Path | Writable:
    return sys.stdout.buffer if str(file) == "-" else file


def _day(text: str | None, days: int) -> str | None:
    """Return the beginning of the UTC day that lies `days` after a day of the command line."""
    if text is None:
        return None
    try:
        day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        return (day + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError) as error:
        raise click.UsageError(f"{safe(text)!a} is no day; write it like 2017-06-19") from error


def _tell(file: Path, done: Exported) -> None:
    parts = [f"{done.records} records", f"{done.blobs} blobs"]
    if done.withheld:
        parts.append(f"{done.withheld} withheld, of which only the envelope is in it")
    if done.thinned:
        parts.append(f"{done.thinned} whose content is no longer here")
    name = "stdout" if str(file) == "-" else safe(str(file))
    say(f"{name}: {', '.join(parts)}")
    for line in done.left_out:
        say(f"  left out: {safe(line)}")
    if done.left_out:
        raise Failed(
            f"{len(done.left_out)} things in the database did not verify and were left out"
        )
