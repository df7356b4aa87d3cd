"""sitewatch helper: say to others what a URL looks like from here, as OONI's test helpers do."""

from __future__ import annotations

from pathlib import Path

import click

from probes.certificates import CertificateJudge, RootsError
from probes.clock import SystemClock
from probes.helper_destinations import Destinations, machine_addresses
from probes.helper_limits import HelperLimits
from probes.helper_look import Lookout
from sitewatch import __version__
from sitewatch.console import Failed, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.networks import open_table
from sitewatch.options import config_option, database_option

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _address(context: click.Context, option: click.Parameter, value: object) -> object:
    from probes.addresses import is_address

    for each in value if isinstance(value, tuple) else (value,):
        if each is not None and not is_address(str(each)):
            raise click.BadParameter(f"{each}: not an address")
    return value


@click.command("helper", epilog="Example: sitewatch helper --address 0.0.0.0 --port 8443")
@click.option("--address", default="127.0.0.1", callback=_address, help="Where to listen.")
@click.option("--port", default=8080, type=click.IntRange(1, 65535), help="Where to listen.")
@click.option("--certificate", type=_FILE, metavar="FILE", help="Chain in PEM, to speak TLS.")
@click.option("--key", type=_FILE, metavar="FILE", help="Its private key in PEM.")
@click.option("--proxy", callback=_address, metavar="ADDRESS", help="Proxy in front of it.")
@click.option(
    "--own",
    multiple=True,
    callback=_address,
    metavar="ADDRESS",
    help="Further address by which others reach this machine, behind a NAT; may be repeated.",
)
@click.option("--ca-bundle", type=_FILE, metavar="FILE", help="Roots to judge sites by.")
@click.option(
    "--per-minute",
    default=HelperLimits.per_minute,
    show_default=True,
    type=click.IntRange(min=1),
    help="Questions that one asker may put.",
)
@config_option
@database_option
def command(
    address: str,
    port: int,
    certificate: Path | None,
    key: Path | None,
    proxy: str | None,
    own: tuple[str, ...],
    ca_bundle: Path | None,
    per_minute: int,
    config_path: Path | None,
    database: str | None,
) -> None:
    """Serve the test-helper protocol until Ctrl-C. Nothing about who asks is kept.

    Run it where nothing is blocked; docs/helper.md says how. It connects to the public sites that
    it is asked about, and to nothing in private networks. It needs the extra `server`.
    """
    if (certificate is None) is not (key is None):
        raise click.UsageError("--certificate and --key belong together")
    installation = Installation.load(config_path, database)
    roots = str(ca_bundle) if ca_bundle else installation.settings().tls.ca_bundle
    with told_in_one_line(RootsError):
        judge = CertificateJudge(roots)
    lookout = Lookout(
        clock=SystemClock(),
        judge=judge,
        limits=HelperLimits(per_minute=per_minute),
        destinations=Destinations({*machine_addresses(), *own}),
        tool=f"sitewatch {__version__}",
        networks=open_table(installation.config),
    )
    _serve(lookout, address, port, certificate, key, proxy)


def _serve(
    lookout: Lookout,
    address: str,
    port: int,
    certificate: Path | None,
    key: Path | None,
    proxy: str | None,
) -> None:
    try:
        from probes.helper_server import HelperServer
        from sitewatch.serving import serve
    except ImportError:
        raise Failed("a helper needs the extra: pip install 'sitewatch[server]'") from None

    def started() -> None:
        say(f"The helper listens at {address} port {port}; Ctrl-C ends it.")

    try:
        serve(HelperServer(lookout), address, port, certificate, key, proxy, started)
    except OSError as error:
        raise Failed(f"the helper cannot serve at {address} port {port}: {error}") from error
