"""sitewatch locate: walk to a site and say at which hop it is cut off, or answered for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from probes.clock import SystemClock
from probes.followups import follow_up, walk_anyway
from probes.measure import Measured
from probes.prober import Prober
from probes.rounds import DailyBudget, run_round
from reports.locating import Located, located
from sitewatch.commands.measure import prober_of, unlisted
from sitewatch.consenting import require_consent
from sitewatch.console import Failed, safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.judging import judge_and_keep
from sitewatch.options import config_option, database_option, normal_url
from sitewatch.output import offline_sentence
from sitewatch.pausing import refuse_while_paused, run_unless_paused
from sitewatch.rounds import budget_so_far, keeper
from storage.records import Measurement, Walk
from storage.store import Store, StoreError


@click.command("locate", epilog="Example: sitewatch locate https://foreignpolicy.com/")
@click.argument("url", metavar="URL")
@click.option("--consent", is_flag=True, help="I have read what measuring means, and agree.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--tier",
    type=click.Choice(["probing", "conspicuous"]),
    help="Conspicuous walks repeat the name, for kernels that cannot do without.",
)
@config_option
@database_option
def command(
    url: str,
    consent: bool,
    as_json: bool,
    tier: str | None,
    config_path: Path | None,
    database: str | None,
) -> None:
    """Measure URL, then walk towards it with rising times to live.

    The site's name is shown once more; at most one such walk a day is made for a site.
    """
    installation = Installation.load(config_path, database)
    refuse_while_paused(installation.config)
    wanted = normal_url(url, "URL")
    manner = tier or ("conspicuous" if installation.settings().tier == "conspicuous" else "probing")
    require_consent(installation, [unlisted(wanted)], flag=consent, tier=manner)
    with installation.open_store() as store, told_in_one_line(StoreError):
        installation.refuse_other_kind(store)
        prober = prober_of(installation, store, manner)
        found: list[Measurement] = []
        run_unless_paused(installation.config, SystemClock(), _walk(prober, store, wanted, found))
    _show(wanted, found, as_json=as_json)


async def _walk(prober: Prober, store: Store, url: str, found: list[Measurement]) -> None:
    """Measure, and walk where the measurement has not done so; keep and judge all of it."""
    budget, keep, measured = budget_so_far(prober, store), keeper(store), list[Measured]()
    done = await run_round(prober, [url], keep, budget, lambda _: None, measured.append)
    if not measured:
        say(offline_sentence(done.round, len(done.unmeasured)))
        return
    [result] = measured
    follow_ups = list(result.follow_ups)
    if not any(_walks(record) for _, record in follow_ups):
        follow_ups += await _further(prober, result, budget, store)
    judge_and_keep(store, Measured(result.id, result.measurement, tuple(follow_ups)))
    found += [record for _, record in follow_ups if _walks(record)]


async def _further(
    prober: Prober, result: Measured, budget: DailyBudget, store: Store
) -> list[tuple[str, Measurement]]:
    experiment = walk_anyway(prober, result.measurement)
    if experiment is None:
        raise Failed("no address of the site was found to walk to")
    async with prober.slots.taken():
        kept = await follow_up(
            prober, result.measurement, result.id, experiment, keeper(store), budget
        )
    if kept is None:
        raise Failed("today's walk to this site was made already; another would stand out")
    return [kept]


def _walks(record: Measurement) -> list[Walk]:
    return [step for step in record.steps if isinstance(step, Walk)]


def _show(url: str, records: Sequence[Measurement], *, as_json: bool) -> None:
    walks = [walk for record in records for walk in _walks(record)]
    result = located(walks)
    if as_json:
        document = {"url": url, "located": result, "walks": walks}
        click.echo(msgspec.json.encode(document).decode())
        return
    for walk in walks:
        click.echo(_line(walk))
    say("")
    click.echo(safe((result or Located(address="", name=None, what="unknown")).sentence))


def _line(walk: Walk) -> str:
    """Return one walk as a line: what carried it, where to, and what each hop answered."""
    name = f" with the name {walk.name}" if walk.name else ""
    ends = (
        f"{walk.answer} at hop {walk.answered_at}"
        if walk.answered_at
        else f"silence from hop {walk.silent_from}"
        if walk.silent_from
        else walk.failure or "no end"
    )
    hops = [f"{hop.ttl}:{f'AS{hop.asn}' if hop.asn else hop.answer}" for hop in walk.hops]
    return safe(f"{walk.method:<11} {walk.address}{name}: {ends}  [{' '.join(hops)}]")
