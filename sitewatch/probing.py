"""Make the prober of an installation out of its configuration."""

from __future__ import annotations

from probes.certificates import CertificateJudge, RootsError
from probes.clock import Clock
from probes.prober import Prober
from probes.settings import Settings
from sitewatch import __version__
from sitewatch.console import told_in_one_line
from sitewatch.networks import Identify
from storage.networks import NetworksTable
from storage.records import Vantage


def make_prober(
    settings: Settings,
    clock: Clock,
    vantage: Vantage,
    *,
    simulated: bool,
    networks: NetworksTable | None = None,
    identify: Identify | None = None,
) -> Prober:
    """Return a prober; roots that cannot be read are a one-line error.

    With `identify` the vantage is only the one until the line's network is known.
    """
    with told_in_one_line(RootsError):
        judge = CertificateJudge(settings.tls.ca_bundle)
    return Prober(
        settings=settings,
        clock=clock,
        judge=judge,
        vantage=vantage,
        simulated=simulated,
        tool=f"sitewatch {__version__}",
        networks=networks,
        identify=identify,
    )
