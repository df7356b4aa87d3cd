"""How a round is shown while it runs: as a table for people, or as JSON Lines for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from probes.measure import Measured
from sitewatch.console import safe, say
from sitewatch.json_lines import measurement_line
from storage.records import LineState, Measurement, Round, Verdict

_LINE_SENTENCES: dict[LineState, str] = {
    "up": "the line works",
    "down": "This line has no internet connection at the moment: no neutral site answered",
    "captive": "Something on this network, most likely a login page, answers for every site",
    "foreign-cut": "Domestic sites work, but no neutral site abroad answered",
    "whitelisted": "Only a few of the neutral sites answered",
}
_STYLES = {
    "accessible": "green",
    "blocked": "bold red",
    "down": "yellow",
    "restricted": "yellow",
}


class Output(Protocol):
    """Is told what happens in a round; a context manager around it."""

    def __enter__(self) -> Output: ...

    def __exit__(self, *_: object) -> None: ...

    def line(self, record: Round) -> None:
        """The line was looked at and the round is kept."""

    def measured(self, measured: Measured, verdict: Verdict) -> None:
        """A target and its follow-ups are kept and judged."""

    def offline(self, record: Round, derived: Sequence[tuple[Measurement, Verdict]]) -> None:
        """The line was not up, so no target was measured; `derived` is what follows from that."""


def offline_sentence(record: Round, left_out: int) -> str:
    """Return what a person is told when the line was not up, or no more in mid-round."""
    what = "nothing was" if record.targets else f"the last {left_out} sites were not"
    return (
        f"{_LINE_SENTENCES[record.line.state]}; {what} measured and the round is stored as "
        "offline. To see Sitewatch at work without internet: make demo (or `sitewatch demo`)."
    )


class JsonOutput:
    """One JSON document a line on stdout: each target with its verdict, then its follow-ups."""

    def __enter__(self) -> JsonOutput:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def line(self, record: Round) -> None:
        return

    def measured(self, measured: Measured, verdict: Verdict) -> None:
        click.echo(measurement_line(measured.id, measured.measurement, verdict))
        for id, follow_up in measured.follow_ups:
            click.echo(measurement_line(id, follow_up, None))

    def offline(self, record: Round, derived: Sequence[tuple[Measurement, Verdict]]) -> None:
        for measurement, verdict in derived:
            click.echo(measurement_line(None, measurement, verdict))
        say(offline_sentence(record, len(derived)))


class TableOutput:
    """Progress on stderr, then a table on stdout with what is not accessible first."""

    def __init__(self, targets: int) -> None:
        self._screen = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._screen,
            transient=True,
        )
        self._task = self._progress.add_task("looking at the line", total=targets)
        self._rows: list[tuple[str, Verdict]] = []

    def __enter__(self) -> TableOutput:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        if self._rows:
            self._print()

    def line(self, record: Round) -> None:
        self._progress.update(self._task, description="measuring")

    def measured(self, measured: Measured, verdict: Verdict) -> None:
        self._rows.append((measured.measurement.url, verdict))
        self._progress.advance(self._task)

    def offline(self, record: Round, derived: Sequence[tuple[Measurement, Verdict]]) -> None:
        self._progress.stop()
        say(offline_sentence(record, len(derived)))

    def _print(self) -> None:
        table = Table(box=None, pad_edge=False)
        for heading in ("site", "verdict", "how", "certainty", "why"):
            table.add_column(heading, overflow="fold")
        for url, verdict in sorted(self._rows, key=_interesting_first):
            how = ".".join(filter(None, [verdict.layer, verdict.technique]))
            table.add_row(
                Text(safe(url)),
                Text(verdict.status, style=_STYLES.get(verdict.status, "")),
                Text(how),
                Text(verdict.certainty or ""),
                Text(safe(verdict.reasons[0]) if verdict.reasons else ""),
            )
        Console().print(table)
        versions = sorted({verdict.rules_version for _, verdict in self._rows})
        say(f"Judged by the rules {', '.join(versions)}.")


def _interesting_first(row: tuple[str, Verdict]) -> tuple[bool, bool, str]:
    url, verdict = row
    return (verdict.status == "accessible", verdict.status != "blocked", url)
