"""sitewatch doctor: is this installation fit to measure, and safe to keep what it measures."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from probes.clock import Clock, SystemClock
from probes.line import Look, look_at_line
from probes.prober import Prober
from sitewatch.consenting import scope_of, state_of_consent
from sitewatch.console import safe
from sitewatch.doctor_line import line_findings, not_looked_at
from sitewatch.doctor_machine import machine_findings
from sitewatch.findings import Finding
from sitewatch.installation import Installation
from sitewatch.networks import open_table
from sitewatch.options import config_option, database_option
from sitewatch.pausing import is_paused
from sitewatch.probing import make_prober
from storage.records import Vantage

_UNHEALTHY = 3
_STYLES = {"good": "green", "notice": "yellow", "bad": "bold red", "unknown": "dim"}


@click.command("doctor", epilog="Example: sitewatch doctor --json")
@click.option("--consent", is_flag=True, help="I have read what measuring means, and agree.")
@click.option("--offline", is_flag=True, help="Do not look at the line; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@config_option
@database_option
def command(
    consent: bool, offline: bool, as_json: bool, config_path: Path | None, database: str | None
) -> None:
    """Check the line, the clock, the disk and this installation, and say what to do.

    The line is only looked at with consent, and not while probing is paused: the neutral sites and
    the resolvers are asked, no watched site is. Exit code 3: something is bad.
    """
    installation = Installation.load(config_path, database)
    clock = SystemClock()
    findings = [
        *machine_findings(installation.config, installation.database, clock),
        *_line(installation, clock, consent=consent, offline=offline),
    ]
    if as_json:
        document = {"format": "sitewatch-doctor/1", "findings": findings}
        click.echo(msgspec.json.encode(document).decode())
    else:
        _print(findings)
    if any(finding.state == "bad" for finding in findings):
        sys.exit(_UNHEALTHY)


def _line(
    installation: Installation, clock: Clock, *, consent: bool, offline: bool
) -> Sequence[Finding]:
    if offline:
        return [not_looked_at("not looked at, as asked for")]
    if is_paused(installation.config):
        return [not_looked_at("not looked at while probing is paused")]
    if state_of_consent(installation, scope_of(installation, [], None), flag=consent) != "given":
        return [not_looked_at("not looked at: that needs consent")]
    prober = make_prober(
        installation.settings(),
        clock,
        Vantage(id=""),  # nothing of this look is kept
        simulated=installation.config.vantage.simulated,
        networks=open_table(installation.config),
    )
    look = asyncio.run(_look(prober))
    return list(line_findings(look.line, look.steps))


async def _look(prober: Prober) -> Look:
    async with prober.connections():
        return await look_at_line(prober)


def _print(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("check", "state", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(
            Text(finding.check),
            Text(finding.state, style=_STYLES[finding.state]),
            Text(safe(finding.found)),
            Text(safe(finding.remedy)),
        )
    Console().print(table)
