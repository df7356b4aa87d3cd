"""sitewatch explain: one verdict with its steps in time, its rules, and what else was ruled out."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from reports.added import table_of
from reports.alternatives import Alternative
from reports.cases import Case, completed
from reports.errors import ReportError
from reports.explaining import alternatives_of
from reports.moments import Moment, moments
from reports.verdicts import judge
from sitewatch.console import Failed, safe, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.judging import case_of_id
from sitewatch.options import config_option, database_option
from storage.records import Verdict, is_id
from storage.store import StoreError

_AXIS = 24  # columns of the time axis


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown of one verdict."""

    format: str = "sitewatch-explained/1"
    id: str
    url: str
    time: str
    simulated: bool
    verdict: Verdict
    steps: list[Moment]
    alternatives: list[Alternative]


@click.command("explain", epilog="Example: sitewatch explain sha256:5f2b…")
@click.argument("id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@config_option
@database_option
def command(id: str, as_json: bool, config_path: Path | None, database: str | None) -> None:
    """Show how the verdict of the measurement ID came about, judged by today's rules.

    ID is what `measure --json` and reports name; that of a follow-up shows what it follows.
    """
    wanted = id if id.startswith("sha256:") else f"sha256:{id}"
    if not is_id(wanted):
        raise click.BadParameter(
            f"{safe(id)}: not sha256: and 64 digits of 0-9 and a-f", param_hint="ID"
        )
    installation = Installation.load(config_path, database)
    with (
        told_in_one_line(StoreError, ReportError),
        installation.open_store(create=False) as store,
    ):
        case = case_of_id(store, wanted)
        if case is None:
            raise Failed(f"{installation.database}: holds no measurement {wanted}")
        table = table_of(store)
        case = completed(case, store, bodies=table.wants_bodies)
        explained = Explained(
            id=case.id,
            url=case.measurement.url,
            time=case.measurement.time,
            simulated=case.measurement.simulated,
            verdict=judge(case, table),
            steps=moments(case),
            alternatives=alternatives_of(case, table),
        )
    if as_json:
        click.echo(msgspec.json.encode(explained).decode())
    else:
        _show(explained, case)


def _show(explained: Explained, case: Case) -> None:
    verdict = explained.verdict
    how = ".".join(filter(None, [verdict.layer, verdict.technique]))
    sure = f"({verdict.certainty})" if verdict.certainty else ""
    simulated = "SIMULATED" if explained.simulated else ""
    head = [verdict.status, how, sure, f"by the rules {verdict.rules_version}", simulated]
    click.echo(safe(f"{explained.url}  {explained.time[:19]}Z"))
    click.echo(" ".join(filter(None, head)))
    click.echo("\nWhy:")
    for rule, reason in zip(verdict.rules, verdict.reasons, strict=True):
        click.echo(safe(f"  {rule}: {reason}"))
    click.echo(f"\nStep by step, in seconds ({len(case.witnesses)} other vantages' measurements):")
    whole = max((step.after_us + step.duration_us for step in explained.steps), default=1)
    for step in explained.steps:
        mark = "!" if step.failed else " "
        click.echo(
            f"{step.after_us / 1e6:9.3f} {_bar(step, whole)} {mark} {step.group:<9} "
            f"{safe(step.text)}"
        )
    click.echo("\nWhat else it could have been:")
    for other in explained.alternatives:
        click.echo(safe(f"  {other.question} {other.answer.capitalize()}: {other.because}"))


def _bar(step: Moment, whole: int) -> str:
    """Return where a step stands on the time axis, and how long it took."""
    first = min(max(step.after_us, 0) * _AXIS // max(whole, 1), _AXIS - 1)
    length = max(1, round(step.duration_us * _AXIS / max(whole, 1)))
    return ("·" * first + "█" * length)[:_AXIS].ljust(_AXIS, "·")
