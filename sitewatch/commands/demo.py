"""sitewatch demo: June 2017 in Kazakhstan, played in the lab and reported on."""

from __future__ import annotations

import shutil
import tempfile
from datetime import date, datetime, timedelta
from importlib import resources
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lab.network import LabUnavailable, check_available
from lab.scenario import Scenario, load_scenario
from reports.report import write_report
from sitewatch import __version__
from sitewatch.annotation_rows import annotations_from_csv
from sitewatch.console import Failed, told_in_one_line
from sitewatch.history import round_times, spans
from sitewatch.options import idle_option
from sitewatch.playing import History, Kept, play_history
from sitewatch.stamps import stamp_of
from storage.store import Store, StoreError

SCENARIO = "kazakhstan-2017"
FIRST, LAST = date(2017, 6, 12), date(2017, 7, 10)
_SPAN_ROUNDS = 4
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command("demo", epilog="Example: sitewatch demo --output demo-report --seed 7")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-report"),
    show_default=True,
    metavar="DIR",
    help="Folder for the report and sitewatch.db.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws addresses and hops.")
@click.option(
    "--from", "first", type=_DAY, default=str(FIRST), show_default=True, help="First day."
)
@click.option("--to", "last", type=_DAY, default=str(LAST), show_default=True, help="Last day.")
@idle_option("--config", "FILE", "Taken by every command; the demo reads none.")
@idle_option(
    "--database", "PATH-OR-URL", "Taken by every command; the demo's own is DIR/sitewatch.db."
)
def command(output: Path, seed: int, first: datetime, last: datetime) -> None:
    """Play June 2017 in a simulated Kazakhstan with the real prober, and write the report.

    Needs no root, no internet and no consent: nothing leaves this machine.
    """
    if last < first:
        raise click.BadParameter("the last day is before the first", param_hint="--to")
    with told_in_one_line(LabUnavailable):
        check_available()
    _refuse_foreign(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".demo-", dir=output) as folder:
            headline = _play(Path(folder), seed, first.date(), last.date())
            _move(Path(folder) / "report", output)
    except OSError as error:
        raise Failed(f"{error.filename or output}: {error.strerror}") from error
    click.echo(headline)
    click.echo(str(output / "report.html"))


def _refuse_foreign(output: Path) -> None:
    """Never replace a database that the demonstration did not make."""
    database = output / "sitewatch.db"
    if database.exists():
        with told_in_one_line(StoreError), Store(database, create=False) as store:
            if store.simulated() is False:
                raise Failed(f"{database} holds real records and is not replaced")


def _play(folder: Path, seed: int, first: date, last: date) -> str:
    """Play and report into `folder`/report; return the headline."""
    scenario = load_scenario(SCENARIO)
    times = round_times(first, last, _dense_days(scenario))
    (folder / "report").mkdir()
    with told_in_one_line(StoreError), Store(folder / "report" / "sitewatch.db") as store:
        vantages = {
            network.name: store.own_vantage(
                country=scenario.country, asn=network.asn, network=network.title
            )
            for network in scenario.networks
        }
        history = History(scenario, seed, vantages, list(spans(times, _SPAN_ROUNDS)))
        for kept in _played(history, folder, len(times)):
            store.add(kept.record, kept.blobs).result()
        _annotate(store)
        summary = write_report(
            store,
            since=str(first),
            until=str(last),
            country=None,
            urls=None,
            output=folder / "report",
            generated=stamp_of(store, exact=True),
            tool=f"sitewatch {__version__}",
            exact=True,
        )
    return summary.headline


def _annotate(store: Store) -> None:
    """Add what is said in the play, invented like its networks, with invented sources."""
    said = resources.files("lab") / "scenarios" / f"{SCENARIO}.annotations.csv"
    with resources.as_file(said) as path:
        store.annotate(annotations_from_csv(path))


def _played(history: History, folder: Path, rounds: int) -> list[Kept]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task("playing rounds", total=rounds)
        return play_history(history, folder, lambda: progress.advance(task))


def _dense_days(scenario: Scenario) -> list[date]:
    """Return the days watched every two hours: when a block begins, the next, when it ends."""
    days: list[date] = []
    for censor in scenario.censors:
        if censor.since is not None:
            days += [censor.since.date(), censor.since.date() + timedelta(days=1)]
        if censor.until is not None:
            days.append(censor.until.date())
    return days


def _move(source: Path, output: Path) -> None:
    """Put the finished files in place of earlier ones, the database with its side files last."""
    for stale in output.glob("sitewatch.db*"):
        stale.unlink()
    for file in sorted(source.iterdir()):
        shutil.move(file, output / file.name)
