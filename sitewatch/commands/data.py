"""sitewatch data: tables that come from elsewhere, brought up to date."""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.error
import urllib.request
from datetime import date
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import click

from reports.added import add_table
from reports.errors import ReportError
from reports.wording import counted
from sitewatch.consent import ConsentRecord, consented
from sitewatch.consenting import marker_of
from sitewatch.console import Failed, safe, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.networks import table_path
from sitewatch.options import config_option, database_option
from storage.networks import NetworksError, NetworksTable, build

_LARGEST_DOWNLOAD = 200 * 1024 * 1024  # packed; the real table has ten megabytes
_PATIENCE = 60.0  # seconds without a byte
_PIECE = 1024 * 1024


@click.group("data", epilog="Example: sitewatch data update-networks ip2asn-combined.tsv.gz")
def command() -> None:
    """Bring tables that come from elsewhere up to date."""


@command.command(
    "update-networks",
    epilog="Example: sitewatch data update-networks --consent "
    "https://iptoasn.com/data/ip2asn-combined.tsv.gz",
)
@click.argument("source", metavar="FILE-OR-URL")
@click.option("--consent", is_flag=True, help="Agree to fetching the URL from this computer.")
@config_option
@database_option
def update_networks(
    source: str, consent: bool, config_path: Path | None, database: str | None
) -> None:
    """Build the table of networks by number out of the TSV of iptoasn.com (plain or gzip).

    The table names the networks of vantages, resolvers and routers, without asking anybody.
    """
    installation = Installation.load(config_path, database)
    target = table_path(installation.config)
    with told_in_one_line(NetworksError):
        if "://" in source:
            _require_consent(installation, source, consent)
            table = _from_url(source, target)
        else:
            table = build(Path(source), target)
    say(f"{safe(str(target))}: networks as of {table.date}")


def _require_consent(installation: Installation, url: str, flag: bool) -> None:
    """Fetching shows this computer's address to the URL's host: only with consent."""
    earlier = ConsentRecord.load(marker_of(installation.config))
    if earlier is None and consented(flag, os.environ, interactive=False) != "given":
        raise Failed(
            f"fetching the table shows your address to {urlsplit(url).hostname}; "
            "to agree use --consent, or name a file that you fetched yourself"
        )


def _from_url(url: str, target: Path) -> NetworksTable:
    """Fetch the TSV to a file of its own, and build the table from it."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise NetworksError(f"{url}: not a URL that starts with https:// or http://")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fetched = Path(folder) / "source"
        try:
            day = _fetch(url, fetched)
        except urllib.error.HTTPError as error:
            error.close()
            raise NetworksError(f"{url}: cannot be fetched: status {error.code}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NetworksError(f"{url}: cannot be fetched: {error}") from error
        return build(fetched, target, day, label=url)


def _fetch(url: str, target: Path) -> date | None:
    """Write what the URL gives to `target`; return the day its server says it is from."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy unasked
    with opener.open(url, timeout=_PATIENCE) as reply, target.open("wb") as file:
        size = 0
        while piece := reply.read(_PIECE):
            size += len(piece)
            if size > _LARGEST_DOWNLOAD:
                raise ValueError(f"larger than {_LARGEST_DOWNLOAD} bytes")
            file.write(piece)
        modified = reply.headers.get("Last-Modified")
    try:
        return parsedate_to_datetime(modified or "").date()
    except ValueError:
        return None  # the file's own time is taken then


@command.command("add-fingerprints", epilog="Example: sitewatch data add-fingerprints fp.csv")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@config_option
@database_option
def add_fingerprints(file: Path, config_path: Path | None, database: str | None) -> None:
    """Have verdicts know the block pages and addresses of FILE.

    FILE is a table in the columns of ooni/blocking-fingerprints. It is copied beside the
    database; one of the same name is replaced, and its licence is yours to keep. Run `sitewatch
    judge` afterwards to judge older measurements by it.
    """
    installation = Installation.load(config_path, database)
    with told_in_one_line(ReportError):
        rows = add_table(file, installation.database)
    say(f"{safe(file.name)}: {counted(rows, 'fingerprint')} added to {safe(installation.database)}")
