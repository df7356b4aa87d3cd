"""Make the prober of an installation out of its configuration."""

from __future__ import annotations

from probes.certificates import CertificateJudge, RootsError
from probes.clock import Clock
from probes.prober import Prober
from probes.settings import Settings
from sitewatch import __version__
from sitewatch.console import told_in_one_line
from storage.records import Vantage


def make_prober(settings: Settings, clock: Clock, vantage: Vantage, *, simulated: bool) -> Prober:
    """Return a prober; roots that cannot be read are a one-line error."""
    with told_in_one_line(RootsError):
        judge = CertificateJudge(settings.tls.ca_bundle)
    return Prober(
        settings=settings,
        clock=clock,
        judge=judge,
        vantage=vantage,
        simulated=simulated,
        tool=f"sitewatch {__version__}",
    )
