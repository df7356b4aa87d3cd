"""sitewatch init: choose what is measured and how, see what it means, and consent."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from probes.clock import SystemClock
from probes.targets import TargetsError
from sitewatch.config import Config, ConfigError, load_config, parse_config
from sitewatch.consent import QUESTION, ConsentError, ConsentRecord, ask
from sitewatch.consent_words import consent_text
from sitewatch.consenting import marker_of, scope_of
from sitewatch.console import Failed, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.language import LANGUAGES, Language, preferred
from sitewatch.options import config_option
from sitewatch.preview import preview_of
from sitewatch.setup_choices import (
    ChoiceError,
    Choices,
    category_counts,
    configuration_of,
    configuration_path,
    switched,
    write_configuration,
)
from sitewatch.setup_questions import Interview, preview_text
from sitewatch.watchlist import load_watchlist

_NEXT = "Next: sitewatch service install, or sitewatch daemon, or sitewatch measure"


@click.command("init", epilog="Example: sitewatch init --consent --country KZ --with-helpers")
@click.option("--consent", is_flag=True, help="I have read what measuring means, and agree.")
@click.option("--language", type=click.Choice(list(LANGUAGES)), help="Language of the questions.")
@click.option("--country", metavar="CC", help="The country this installation is in, like KZ.")
@click.option(
    "--category",
    "categories",
    multiple=True,
    metavar="+CODE|-CODE",
    help="Watch or skip a kind of sites; may be given several times.",
)
@click.option(
    "--tier",
    type=click.Choice(["browser-like", "probing", "conspicuous"]),
    default="probing",
    show_default=True,
    help="How conspicuous measurements may be.",
)
@click.option("--with-helpers", is_flag=True, help="Ask OONI's public helpers.")
@click.option("--waking-hours", default="08:00-23:00", show_default=True, help="When to measure.")
@click.option("--every", default="4h", show_default=True, help="Time between rounds.")
@click.option(
    "--month-megabytes", type=int, default=1000, show_default=True, help="Data to use in a month."
)
@config_option
@click.option(
    "--database",
    metavar="PATH-OR-URL",
    help="Database that the new configuration names, instead of the usual one.",
)
def command(
    consent: bool,
    language: str | None,
    country: str | None,
    categories: tuple[str, ...],
    tier: str,
    with_helpers: bool,
    waking_hours: str,
    every: str,
    month_megabytes: int,
    config_path: Path | None,
    database: str | None,
) -> None:
    """Set this installation up. Nothing is sent, and nothing is written before you consent.

    Where there is a configuration already it stays as it is, and you are asked to consent to what
    it means now. Without a terminal the options count, and --consent is needed.
    """
    words = Language(language or preferred(os.environ))
    path = configuration_path(config_path, os.environ.get("SITEWATCH_CONFIG"))
    # Paths of the command line are seen from here, those in the file from the file's folder.
    wanted = database if database is None or "://" in database else str(Path(database).absolute())
    if path.is_file():
        with told_in_one_line(ConfigError):
            config = load_config(path, {})
        if wanted not in (None, config.database):
            raise Failed(f"{path}: key storage.database names another one; change it there")
        _remember(_agreed(config, words, consent), config)
        say(f"{path} stays as it is.")
        say(_NEXT)
        return
    with told_in_one_line(ChoiceError):
        proposed = msgspec.convert(
            {
                "country": country,
                "skip": switched(Choices().skip, categories),
                "tier": tier,
                "helpers": with_helpers,
                "waking_hours": waking_hours,
                "every": every,
                "month_megabytes": month_megabytes,
            },
            Choices,
        )
    choices = proposed if consent or not _interactive() else _interview(words, proposed, path)
    text = configuration_of(choices, path.parent, wanted)
    with told_in_one_line(ConfigError):
        config = parse_config(text.encode(), path)
    agreed = _agreed(config, words, consent)
    try:
        write_configuration(path, text)
    except OSError as error:
        raise Failed(f"{path}: cannot be written: {error.strerror}") from error
    _remember(agreed, config)
    say(f"Written: {path}")
    say(_NEXT)


def _interactive() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _interview(words: Language, proposed: Choices, path: Path) -> Choices:
    with told_in_one_line(TargetsError):
        counts = category_counts(path.parent)
    try:
        return Interview(words, sys.stdin, sys.stderr).ask(proposed, counts)
    except EOFError as error:
        raise Failed("no answer, so nothing was written") from error


def _agreed(config: Config, words: Language, flag: bool) -> ConsentRecord:
    """Show what the configuration means and return a yes to that. Raises Failed without one."""
    installation = Installation(config, config.database)
    with told_in_one_line(TargetsError):
        watchlist = load_watchlist(config)
    scope = scope_of(installation, watchlist.targets, None)
    preview = preview_of(config, watchlist, SystemClock().wall())
    text = consent_text(scope, config.database, marker_of(config), words, preview)
    text = f"{text}\n{preview_text(preview, words)}\n"
    if flag or os.environ.get("SITEWATCH_CONSENT") == "yes":
        say(text)
    elif not _interactive():
        say(text)
        raise Failed("there is no terminal to ask at; to agree to the text above use --consent")
    elif not ask(text, sys.stdin, sys.stderr, words.show(QUESTION)):
        raise Failed("no consent, so nothing was written")
    return ConsentRecord.of(scope)


def _remember(agreed: ConsentRecord, config: Config) -> None:
    with told_in_one_line(ConsentError):
        agreed.save(marker_of(config))
