"""sitewatch measure: one round now, kept in the database, with a verdict for each target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from probes.clock import SystemClock
from probes.prober import Prober
from probes.targets import (
    CATEGORIES,
    Target,
    TargetsError,
    host_of,
    load_targets,
)
from sitewatch.alerts import tell_what_changed
from sitewatch.consenting import require_consent
from sitewatch.console import Failed, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.networks import identifier, open_table
from sitewatch.options import config_option, database_option, normal_url
from sitewatch.output import JsonOutput, Output, TableOutput
from sitewatch.pausing import refuse_while_paused, run_unless_paused
from sitewatch.probing import make_prober
from sitewatch.rounds import measure_round
from storage.store import Store, StoreError


@click.command(
    "measure",
    epilog="Example: sitewatch measure --consent --json https://foreignpolicy.com/",
)
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option("--consent", is_flag=True, help="I have read what measuring means, and agree.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines instead of a table.")
@click.option(
    "--tier",
    type=click.Choice(["browser-like", "probing", "conspicuous"]),
    help="How conspicuous the measurement may be.",
)
@config_option
@database_option
def command(
    urls: tuple[str, ...],
    consent: bool,
    as_json: bool,
    tier: str | None,
    config_path: Path | None,
    database: str | None,
) -> None:
    """Measure the URLs, or else the targets file, once and now."""
    installation = Installation.load(config_path, database)
    refuse_while_paused(installation.config)
    targets = _targets(installation, urls)
    require_consent(installation, targets, flag=consent, tier=tier)
    output: Output = JsonOutput() if as_json else TableOutput(len(targets))
    with installation.open_store() as store, told_in_one_line(StoreError):
        installation.refuse_other_kind(store)
        prober = prober_of(installation, store, tier)
        urls_wanted = [target.url for target in targets]
        run_unless_paused(
            installation.config, prober.clock, measure_round(prober, store, urls_wanted, output)
        )
        tell_what_changed(store, installation.config, prober.clock)


def _targets(installation: Installation, urls: Sequence[str]) -> list[Target]:
    config = installation.config
    if urls:
        return [unlisted(url) for url in dict.fromkeys(normal_url(url, "URL") for url in urls)]
    with told_in_one_line(TargetsError):
        targets = load_targets(config.targets_path(), skip=config.targets.skip_categories)
    if not targets:
        raise Failed(f"{config.targets_path()}: every target's category is skipped")
    return targets


def unlisted(url: str) -> Target:
    """Return a target for a URL that stands in no list."""
    return Target(
        url=url,
        host=host_of(url),
        category="MISC",
        description=CATEGORIES["MISC"],
        date_added="",
        source="",
        notes="",
    )


def prober_of(installation: Installation, store: Store, tier: str | None) -> Prober:
    """Return this installation's prober; its vantage is known for good once a line was seen."""
    config = installation.config
    table = open_table(config)
    identify = identifier(config, store, table)
    return make_prober(
        installation.settings(tier),
        SystemClock(),
        identify(None),
        simulated=config.vantage.simulated,
        networks=table,
        identify=identify,
    )
