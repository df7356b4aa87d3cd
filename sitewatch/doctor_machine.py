"""What can be said of this machine without sending anything: disk, permissions, clock, roots."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from probes.clock import Clock
from probes.instrument import features, roots_age_days
from sitewatch.alert_channels import channels_of
from sitewatch.config import Config
from sitewatch.config_checks import bytes_of
from sitewatch.disks import is_encrypted
from sitewatch.findings import Finding, bad, good, notice, unknown
from sitewatch.pausing import pause_of
from sitewatch.wiping import leavings
from storage.announcements import AnnouncementLog
from storage.store import Store, StoreError

_MB = 1_000_000
_LEAST_FREE = 200 * _MB
_LITTLE_FREE = 1000 * _MB
_OLD_ROOTS = 365  # days; older ones cap what unknown issuers can mean
_AGEING_ROOTS = 240
# No clock is right that stands before this was written: 1 November 2026.
_WRITTEN = 1_793_491_200.0

_FEATURES = {
    "tcp-info": "tells a swallowed request from a silent server",
    "icmp-errors": "shows which router refused a connection",
}


def machine_findings(config: Config, database: str, clock: Clock) -> Iterator[Finding]:
    """Yield what is found on this machine. Nothing is sent and nothing changed."""
    yield _system()
    yield _clock(clock)
    yield _roots(config, clock)
    yield from _features()
    yield _namespaces()
    yield from _database(config, database)
    folder = _existing_folder(Path(database)) if "://" not in database else None
    if folder is not None:
        yield _free_space(folder)
        yield _encryption(folder)
    yield _permissions(config, database)
    yield _pause(config)
    yield from _alerts(config, database)


def _system() -> Finding:
    found = f"{sys.platform}, Python {sys.version.split()[0]}"
    if sys.platform != "linux":
        remedy = "some facts of the network cannot be seen here; Linux shows all of them"
        return notice("system", found, remedy)
    return good("system", found)


def _clock(clock: Clock) -> Finding:
    if clock.wall() < _WRITTEN:
        return bad("clock", "it stands in the past", "set it, and let the system keep it by NTP")
    if Path("/run/systemd/timesync/synchronized").exists():
        return good("clock", "kept by the system over the network")
    return unknown("clock", "not known whether something keeps it", "let NTP keep it")


def _roots(config: Config, clock: Clock) -> Finding:
    age = roots_age_days(clock.wall(), config.settings().tls.ca_bundle)
    if age is None:
        return unknown("roots", "the age of the root certificates is not known")
    found = f"the root certificates are {age} days old"
    if config.tls.ca_bundle:
        update = "replace the file that tls.ca_bundle names"
    else:
        update = "update Sitewatch, or its package certifi"
    if age > _OLD_ROOTS:
        return bad("roots", found, f"{update}: new authorities look like interception")
    return notice("roots", found, update) if age > _AGEING_ROOTS else good("roots", found)


def _features() -> Iterator[Finding]:
    present = features()
    for name, use in _FEATURES.items():
        if name in present:
            yield good("kernel", f"{name}: {use}")
        else:
            yield notice("kernel", f"{name} is missing: it {use}", "a newer Linux kernel has it")


def _namespaces() -> Finding:
    """Try in a process of its own what the demo needs."""
    attempt = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000) != 0)"
    try:
        tried = subprocess.run(
            [sys.executable, "-I", "-S", "-c", attempt], capture_output=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return unknown("user namespaces", f"could not be tried: {type(error).__name__}")
    if tried.returncode == 0:
        return good("user namespaces", "the demo can run")
    return notice(
        "user namespaces", "not permitted: only the demo needs them", "nothing, or another machine"
    )


def _database(config: Config, database: str) -> Iterator[Finding]:
    if "://" not in database and not Path(database).exists():
        yield good("database", "there is none yet")
        return
    try:
        with Store(database, create=False, busy_seconds=5) as store:
            size, thinned = store.size(), store.thinned()
    except StoreError as error:
        yield bad("database", str(error), "see docs/reliability.md; keep a copy of the file")
        return
    limit = bytes_of(config.storage.max_size)
    found = f"{thinned.kept} records, {size.file / _MB:.1f} MB of {limit / _MB:.0f} MB"
    if size.file > limit:
        yield notice("database", found, "raise storage.max_size, or export and start a new one")
    else:
        yield good("database", found)


def _free_space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{free / _MB:.0f} MB free where the database is"
    if free < _LEAST_FREE:
        return bad("free space", found, "make room: on a full disk nothing more is kept")
    if free < _LITTLE_FREE:
        return notice("free space", found, "make room, or lower storage.max_size")
    return good("free space", found)


def _encryption(folder: Path) -> Finding:
    encrypted = is_encrypted(folder)
    if encrypted is None:
        return unknown("disk encryption", "not known", "see that the disk is encrypted")
    if encrypted:
        return good("disk encryption", "the database lies on an encrypted disk, or in memory")
    return notice(
        "disk encryption",
        "the database lies on a disk that is not encrypted",
        "whoever takes the machine can read it; put it on an encrypted disk",
    )


def _permissions(config: Config, database: str) -> Finding:
    open_to_others = []
    for leaving in leavings(config, database):
        mode = stat.S_IMODE(leaving.path.stat().st_mode)
        # The feed is there to be read, and the list of sites may be.
        if mode & 0o077 and leaving.what not in ("feed of alerts", "list of watched sites"):
            open_to_others.append(leaving.path)
    if open_to_others:
        return bad(
            "permissions",
            f"others on this machine may open {', '.join(map(str, open_to_others))}",
            "chmod 600 " + " ".join(map(str, open_to_others)),
        )
    folder = _existing_folder(Path(database)) if "://" not in database else None
    if folder is not None and Path(database).exists() and os.stat(folder).st_mode & 0o077:
        return notice("permissions", f"others may look into {folder}", f"chmod 700 {folder}")
    return good("permissions", "nothing of Sitewatch's is open to others")


def _pause(config: Config) -> Finding:
    paused = pause_of(config)
    if paused is None:
        return good("pause", "probing is not paused")
    return notice("pause", "probing is paused", "sitewatch resume")


def _alerts(config: Config, database: str) -> Iterator[Finding]:
    """Tell of alerts that nobody takes, where any are set up."""
    channels = channels_of(config)
    if not channels or ("://" not in database and not Path(database).exists()):
        return
    try:
        with Store(database, create=False, busy_seconds=5) as store:
            queue = AnnouncementLog(store).queue(channels)
    except StoreError:
        return  # said of the database already
    if queue.failure is None:
        yield good("alerts", f"by {', '.join(channels)}; {queue.waiting + queue.held} on their way")
    else:
        found = f"{queue.waiting} not taken: {queue.failure}"
        yield notice("alerts", found, "check the section alerts; they are tried again")


def _existing_folder(database: Path) -> Path:
    """Return the folder of the database, or of it the part that exists."""
    return next(folder for folder in database.absolute().parents if folder.exists())
