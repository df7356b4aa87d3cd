"""sitewatch verify: say what of a database or a bundle is intact, thinned, missing or broken."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from sitewatch.console import Failed, safe, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.options import config_option, database_option, identity_option
from storage.exchange import bundle_opener
from storage.files import kind_of_file
from storage.findings import Chain, Findings
from storage.roots import Root, root_in
from storage.store import StoreError
from storage.verification import verify_bundle, verify_database

UNHEALTHY = 3
_MOST_LINES = 50

_PROVES = """\
A signature proves that a record is unchanged since whoever holds the key signed it, and that
nothing was put into the chain before it or taken out since. It does not prove when that was (for
that, have a root timestamped: sitewatch export --root), who holds the key, or that what was
recorded is true."""
_DERIVED = """\
The records are derived: rounded and shortened so that they can be published. Their signatures
prove that they are unchanged since the holder of the key exported them, not that a vantage
measured them; each names its original, which only an exact bundle can show."""


@click.command("verify", epilog="Example: sitewatch verify november.bundle")
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(path_type=Path))
@click.option(
    "--root",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also hold it against what `sitewatch export --root` printed earlier.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@identity_option
@config_option
@database_option
def command(
    file: Path | None,
    root: Path | None,
    as_json: bool,
    identity: Path | None,
    config_path: Path | None,
    database: str | None,
) -> None:
    """Verify a database or a bundle, by default the configured database; FILE is only read.

    The exit code is 3 when anything is missing or broken. What was thinned or withheld, and is said
    to be, is neither.
    """
    if file is None:
        file = Path(Installation.load(config_path, database).database)
    with told_in_one_line(StoreError):
        findings = _verified(file, root_in(root) if root else None, identity)
    if as_json:
        document = {**msgspec.to_builtins(findings), "healthy": findings.healthy}
        click.echo(msgspec.json.encode(document).decode())
    else:
        _print(findings)
    if not findings.healthy:
        click.get_current_context().exit(UNHEALTHY)


def _verified(file: Path, root: Root | None, identity: Path | None) -> Findings:
    kind = kind_of_file(file)
    if kind == "database":
        return verify_database(file, root)
    if kind == "other":
        raise Failed(f"{file}: neither a Sitewatch database nor a bundle")
    opener = bundle_opener(file, kind, identity)
    return verify_bundle(file, opener, encrypted=kind == "encrypted", root=root)


def _print(findings: Findings) -> None:
    simulated = " of simulated data" if findings.simulated else ""
    encrypted = "encrypted " if findings.encrypted else ""
    click.echo(f"{safe(findings.file)}: {encrypted}{findings.kind}{simulated}")
    for chain in findings.chains:
        _print_chain(chain)
    for publisher in findings.publishers:
        click.echo(f"vantage {safe(publisher.vantage)}: {publisher.derived} derived records")
        click.echo(f"  signed by the export key {safe(publisher.key)}")
    if findings.blobs or findings.blobs_missing:
        click.echo(f"blobs: {findings.blobs} intact, {findings.blobs_missing} named but not kept")
    if findings.sealed_by:
        click.echo(f"sealed by {safe(findings.sealed_by)}")
    for title, lines in (("missing", findings.missing), ("broken", findings.broken)):
        for line in lines[:_MOST_LINES]:
            click.echo(f"{title}: {safe(line)}")
        if len(lines) > _MOST_LINES:
            click.echo(f"{title}: and {len(lines) - _MOST_LINES} more (--json has all)")
    if not findings.complete:
        click.echo("What follows after that could not be read; only what is named above was.")
    click.echo("Intact." if findings.healthy else "NOT intact.")
    click.echo(_DERIVED if findings.kind == "public bundle" else _PROVES)


def _print_chain(chain: Chain) -> None:
    states = ("intact", "withheld", "thinned", "missing", "broken")
    counts = [f"{getattr(chain, state)} {state}" for state in states if getattr(chain, state)]
    click.echo(
        f"vantage {safe(chain.vantage)}: places {chain.first} to {chain.last}: {', '.join(counts)}"
    )
    for use in chain.keys:
        click.echo(
            f"  key {safe(use.key)} signed {use.places}, "
            f"of {safe(use.first_time[:10])} to {safe(use.last_time[:10])}"
        )
    if chain.anchored_by == "exporter":
        click.echo("  its anchor is signed by whoever exported it, not by the vantage itself")
