"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from probes.targets import TargetError, normal_form
from sitewatch.console import safe

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """Add --config FILE."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Configuration to use instead of the usual sitewatch.toml.",
    )(command)


def database_option(command: Command) -> Command:
    """Add --database PATH-OR-URL."""
    return click.option(
        "--database",
        metavar="PATH-OR-URL",
        help="Database to use instead of the configured one.",
    )(command)


def idle_option(name: str, metavar: str, why: str) -> Callable[[Command], Command]:
    """Add an option that every command takes, to one in which it changes nothing; `why` says so."""
    return click.option(name, metavar=metavar, expose_value=False, help=why)


def idle_database_option(command: Command) -> Command:
    """Add --database PATH-OR-URL to a command that needs none."""
    why = "Taken by every command; plays no part in this one."
    return idle_option("--database", "PATH-OR-URL", why)(command)


def identity_option(command: Command) -> Command:
    """Add --identity FILE, for encrypted bundles."""
    return click.option(
        "--identity",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="File with the age identity that an encrypted bundle was made for.",
    )(command)


def country_option(command: Command) -> Command:
    """Add --country CC, given on as two capital letters."""
    return click.option(
        "--country",
        metavar="CC",
        callback=_country,
        help="Only networks of this country (two letters).",
    )(command)


def target_option(command: Command) -> Command:
    """Add --target URL, given on in normal form."""
    return click.option(
        "--target",
        metavar="URL",
        callback=_target,
        help="Conclude about this target only.",
    )(command)


def normal_url(url: str, hint: str) -> str:
    """Return a URL of the command line in normal form. Raises click.BadParameter."""
    try:
        return normal_form(url)
    except TargetError as error:
        raise click.BadParameter(f"{safe(url)}: {error}", param_hint=hint) from error


def _country(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    if not (len(value) == 2 and value.isascii() and value.isalpha()):
        raise click.BadParameter(f"{safe(value)}: not a country's two letters")
    return value.upper()


def _target(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    return None if value is None else normal_url(value, "--target")
