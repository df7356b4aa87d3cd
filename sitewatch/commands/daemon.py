"""sitewatch daemon: measure unattended, at jittered times within waking hours, for months."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
from pathlib import Path

import click

from probes.clock import SystemClock
from probes.targets import TargetsError
from sitewatch.alerts import Alerts
from sitewatch.config import ConfigError, load_config
from sitewatch.consenting import require_consent, scope_of, state_of_consent
from sitewatch.console import Failed, told_in_one_line
from sitewatch.daemon import Daemon, Load
from sitewatch.daemon_lock import AlreadyRunningError, DaemonLock
from sitewatch.daemon_log import HiddenNames, set_up
from sitewatch.installation import Installation
from sitewatch.options import config_option, database_option
from sitewatch.pausing import is_paused
from sitewatch.retaining import QuietTime
from sitewatch.watchdog import Notifier
from sitewatch.watchlist import Watchlist, load_watchlist
from storage.store import Store, StoreError

_log = logging.getLogger("sitewatch.daemon")


@click.command("daemon", epilog="Example: sitewatch daemon --log-file ~/sitewatch.log")
@click.option("--consent", is_flag=True, help="I have read what measuring means, and agree.")
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Log to this file, rotated at 1 MB, instead of stderr.",
)
@click.option("--log-names", is_flag=True, help="Let the log name the sites that are watched.")
@config_option
@database_option
def command(
    consent: bool,
    log_file: Path | None,
    log_names: bool,
    config_path: Path | None,
    database: str | None,
) -> None:
    """Measure all targets by the schedule of the configuration until stopped.

    SIGHUP reloads configuration and targets; SIGTERM and Ctrl-C stop within 10 seconds and keep
    everything that was measured. Only one daemon works on a database.
    """
    installation = Installation.load(config_path, database)
    with told_in_one_line(TargetsError):
        watchlist = load_watchlist(installation.config)
    require_consent(installation, watchlist.targets, flag=consent)
    with told_in_one_line(AlreadyRunningError), DaemonLock(installation.database):
        try:
            hidden = set_up(log_file, os.environ, names=log_names)
        except OSError as error:
            raise Failed(f"{log_file}: cannot be written: {error.strerror}") from error
        hidden.hide(target.host for target in watchlist.targets)
        with installation.open_store() as store, told_in_one_line(StoreError):
            installation.refuse_other_kind(store)
            load = _loader(config_path, database, consent, hidden)
            interrupted = asyncio.run(_work(installation, watchlist, store, load))
    if interrupted:
        sys.exit(130)


def _loader(
    config_path: Path | None, database: str | None, consent: bool, hidden: HiddenNames
) -> Load:
    """Return what reads everything again, and refuses what nobody has consented to."""
    before = Installation.load(config_path, database)

    def load() -> tuple[Installation, Watchlist]:
        try:
            config = load_config(config_path, os.environ)
        except ConfigError as error:
            raise Failed(str(error)) from error
        installation = Installation(config, database or config.database)
        if installation.database != before.database:
            raise Failed("another database needs a restart")
        if config.vantage.simulated != before.config.vantage.simulated:
            raise Failed("vantage.simulated needs a restart")
        watchlist = load_watchlist(config)
        scope = scope_of(installation, watchlist.targets, None)
        if state_of_consent(installation, scope, flag=consent) != "given":
            raise Failed("it goes beyond what was consented to; run sitewatch init")
        hidden.hide(target.host for target in watchlist.targets)
        return installation, watchlist

    return load


async def _work(installation: Installation, watchlist: Watchlist, store: Store, load: Load) -> bool:
    """Run the daemon; return whether it was stopped by Ctrl-C."""
    chance, interrupted, clock = random.SystemRandom(), asyncio.Event(), SystemClock()
    daemon = Daemon(
        installation,
        watchlist,
        store,
        clock,
        load=load,
        draw=lambda span: chance.uniform(0.0, span),
        after_round=(Alerts(clock), QuietTime(clock)),
        paused=lambda: is_paused(installation.config),
        notifier=Notifier.of(os.environ),
    )
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        interrupted.set()
        daemon.stop()

    loop.add_signal_handler(signal.SIGTERM, daemon.stop)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    _log.info("watching %d targets", len(watchlist.targets))
    await daemon.run()
    _log.info("stopped; everything measured is kept")
    return interrupted.is_set()
