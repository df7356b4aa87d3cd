"""sitewatch episodes: the spans in which sites were blocked, from the database or from a CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.analysis import analyse
from reports.csv_readings import readings_from_csv
from reports.episodes import Episode, find_episodes
from reports.errors import ReportError
from reports.incidents import Outage, outages_of
from reports.lines import line_spans, marks_from
from reports.tables import document
from reports.text import plain
from sitewatch.console import say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.measured_days import measured_days
from sitewatch.options import config_option, country_option, database_option, target_option
from sitewatch.stamps import stamp, stamp_of
from storage.records import utc_text
from storage.store import StoreError


@click.command("episodes", epilog="Example: sitewatch episodes --from-verdicts readings.csv --json")
@click.option(
    "--from-verdicts",
    "csv",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Read verdicts from a CSV (time,url,country,asn,status,layer,technique) instead.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--exact", is_flag=True, help="Exact times instead of times rounded to 10 minutes.")
@country_option
@target_option
@config_option
@database_option
def command(
    csv: Path | None,
    as_json: bool,
    exact: bool,
    country: str | None,
    target: str | None,
    config_path: Path | None,
    database: str | None,
) -> None:
    """List the episodes: which target was blocked on which network, from when to when, how."""
    simulated: bool | None = None
    rules: Sequence[str] = ()
    outages: Sequence[Outage] = ()
    if csv is not None:
        with told_in_one_line(ReportError):
            readings = readings_from_csv(csv)
        # All readings are handed in: what else failed at the time tells noise from blocking.
        found = find_episodes(readings, urls=None if target is None else [target])
        episodes = [episode for episode in found if country in {None, episode.country}]
        outages = [
            outage
            for outage in outages_of(line_spans(marks_from(readings)))
            if country in {None, outage.country}
        ]
        generated = stamp(max((one.seconds for one in readings), default=None), exact=exact)
    else:
        installation = Installation.load(config_path, database)
        with (
            installation.open_store(create=False) as store,
            told_in_one_line(ReportError, StoreError),
        ):
            first, last = measured_days(store)
            analysis = analyse(
                store,
                since=first,
                until=last,
                country=country,
                urls=None if target is None else [target],
                exact=exact,
            )
            generated = stamp_of(store, exact=exact)
        episodes, outages = list(analysis.episodes), analysis.outages
        simulated, rules = analysis.simulated, analysis.rules
    if as_json:
        text = document(episodes, outages, generated=generated, simulated=simulated, rules=rules)
        click.echo(text, nl=False)
    else:
        _print(episodes)
        if rules:
            say(f"Judged by the rules {', '.join(rules)}.")


def _print(episodes: Sequence[Episode]) -> None:
    if not episodes:
        click.echo("No episodes.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("site", "network", "began between", "ended between", "failed", "how", "status"):
        table.add_column(heading, overflow="fold")
    for episode in episodes:
        table.add_row(
            *(
                Text(plain(cell))
                for cell in (
                    episode.url,
                    " ".join(filter(None, [episode.country, _network(episode)])),
                    f"{_time(episode.onset_earliest)} – {_time(episode.onset_latest)}",
                    f"{_time(episode.end_earliest)} – {_time(episode.end_latest)}"
                    if episode.end_latest is not None
                    else "not ended",
                    f"{episode.failing} of {episode.measurements}",
                    ", ".join(episode.techniques),
                    f"{episode.status}, {episode.certainty}",
                )
            )
        )
    Console().print(table)


def _network(episode: Episode) -> str:
    number = None if episode.asn is None else f"AS{episode.asn}"
    return " ".join(filter(None, [number, episode.network])) or "unknown network"


def _time(seconds: float | None) -> str:
    return "?" if seconds is None else utc_text(seconds)[:16].replace("T", " ") + "Z"
