"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

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
