"""sitewatch targets: look at the watched sites, check their file, add a Citizen Lab test list."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from probes.targets import CATEGORIES, COLUMNS, Target, TargetsError, load_targets
from sitewatch.config import Config, default_targets_path
from sitewatch.console import Failed, safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.options import config_option, idle_database_option
from sitewatch.test_lists import LICENCE, OLD_CODES, Converted, ListError, as_rows, convert


@click.group("targets", epilog="Example: sitewatch targets add test-lists/lists/kz.csv")
def command() -> None:
    """Look at the list of watched sites, check it, or add to it."""


def _codes(
    context: click.Context, parameter: click.Parameter, value: Sequence[str]
) -> frozenset[str]:
    """Read category codes, old ones too."""
    found = {OLD_CODES.get(code.upper(), code.upper()) for code in value}
    if unknown := sorted(found - CATEGORIES.keys()):
        raise click.BadParameter(f"unknown category {safe(unknown[0])!r}", context, parameter)
    return frozenset(found)


_category_option = click.option(
    "--category",
    "categories",
    metavar="CODE",
    multiple=True,
    callback=_codes,
    help="Only sites of this category (may be repeated; old codes are understood).",
)


@command.command("add", epilog="Example: sitewatch targets add kz.csv --category NEWS")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_category_option
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="TARGETS.csv",
    help="Targets file to add to, or to make, instead of the configured one.",
)
@config_option
@idle_database_option
def add(file: Path, categories: frozenset[str], to: Path | None, config_path: Path | None) -> None:
    """Add the rows of FILE, a Citizen Lab test list, to the targets file.

    Old category codes are replaced. Duplicates, and forms under which nothing can be reached, are
    left out and named.
    """
    config = Installation.load(config_path, None).config
    begin, path = _to_extend(config, to)
    with told_in_one_line(TargetsError):
        present = load_targets(begin) if begin else []
    with told_in_one_line(ListError):
        done = convert(
            file,
            categories=categories,
            known=[target.url for target in present],
            today=datetime.now(UTC).date().isoformat(),
        )
    if done.targets:
        _write(path, begin, done.targets)
    _tell(file, path, done, config)


@command.command("list", epilog="Example: sitewatch targets list --category NEWS")
@_category_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@config_option
@idle_database_option
def show(categories: frozenset[str], as_json: bool, config_path: Path | None) -> None:
    """List the watched sites with their categories, and which are skipped."""
    config = Installation.load(config_path, None).config
    targets = _load(config.targets_path())
    wanted = [t for t in targets if not categories or t.category in categories]
    skipped = set(config.targets.skip_categories)
    if as_json:
        rows = [
            {
                "url": t.url,
                "category": t.category,
                "skipped": t.category in skipped,
                "notes": t.notes,
            }
            for t in wanted
        ]
        click.echo(msgspec.json.encode({"format": "sitewatch-targets/1", "targets": rows}))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("site", "category", "", "notes"):
        table.add_column(heading, overflow="fold")
    for t in wanted:
        mark = "skipped" if t.category in skipped else ""
        table.add_row(Text(safe(t.url)), Text(t.category), Text(mark), Text(safe(t.notes)))
    Console().print(table)


@command.command("check", epilog="Example: sitewatch targets check my-targets.csv")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@config_option
@idle_database_option
def check(file: Path | None, config_path: Path | None) -> None:
    """Check a targets file, by default the configured one; name the first row that is wrong."""
    config = Installation.load(config_path, None).config
    path = file or config.targets_path()
    targets = _load(path)
    hosts = {target.host for target in targets}
    click.echo(
        f"{safe(str(path))}: {len(targets)} targets on {len(hosts)} hosts, "
        f"{_skipped(targets, config)} of them in categories that are skipped"
    )


def _load(path: Path) -> list[Target]:
    with told_in_one_line(TargetsError):
        return load_targets(path)


def _skipped(targets: Sequence[Target], config: Config) -> int:
    return sum(target.category in config.targets.skip_categories for target in targets)


def _to_extend(config: Config, to: Path | None) -> tuple[Path | None, Path]:
    """Return the file whose rows come first (None: there is none) and the file to write.

    The list that comes with an installed Sitewatch is never changed: it is copied beside the
    configuration, where it is then used.
    """
    if to is not None:
        return (to if to.exists() else None), to
    path = config.targets_path()
    own = default_targets_path()
    if path != own or own.parent.name != "data":  # in a checkout the list is the user's
        return (path if path.exists() else None), path
    if config.path is None:
        raise Failed("no configuration names a targets file; name one with --to TARGETS.csv")
    return own, config.folder / Path(config.targets.file).expanduser()


def _write(path: Path, begin: Path | None, targets: Sequence[Target]) -> None:
    """Write the rows of `begin` as they stand, then the new ones, all or nothing."""
    partial = path.with_name(path.name + ".partial")
    try:
        present = begin.read_bytes() if begin else (",".join(COLUMNS) + "\n").encode()
        gap = b"" if present.endswith(b"\n") else b"\n"
        with partial.open("wb") as file:
            file.write(present + gap + as_rows(targets).encode())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise Failed(f"{path}: cannot be written: {error.strerror}") from error


def _tell(file: Path, path: Path, done: Converted, config: Config) -> None:
    name = safe(str(file))
    for left in done.left_out:
        say(f"{name}, line {left.line}: {safe(left.url)[:200]} left out: {safe(left.reason)}")
    for code, count in sorted(done.old_codes.items()):
        say(f"{name}: {count} rows of the old category {code} are now {OLD_CODES[code]}")
    if done.redated:
        say(f"{name}: {done.redated} rows without a proper date got today's")
    others = f", {done.other_categories} of other categories" if done.other_categories else ""
    say(
        f"{safe(str(path))}: {len(done.targets)} targets added, {len(done.left_out)} rows left "
        f"out{others}"
    )
    if skipped := _skipped(done.targets, config):
        say(f"{skipped} of them are in categories that are skipped (targets.skip_categories)")
    say(LICENCE)
