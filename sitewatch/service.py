"""The daemon as a service of the user: its systemd unit, and the cron way where there is none."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import platformdirs

from sitewatch.daemon_lock import beside
from sitewatch.installation import Installation

# A plain word: the name shows in lists of services, and need not say what this is.
DEFAULT_NAME = "line-monitor"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
# Seconds; systemd itself gives up a start after 90 and then says so.
_PATIENCE = 120.0
# systemd ignores keys that begin with X-; by this one a unit is found again.
_MARK = "X-Configuration="
_WANTED_BY = "default.target"

_UNIT = """\
[Unit]
Description={description}
{mark}{configuration}
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Environment=PYTHONUNBUFFERED=1
Restart=on-failure
RestartSec=300
TimeoutStopSec=20
WatchdogSec=300
UMask=0077

# It shall not get in anybody's way.
Nice=10
IOSchedulingClass=idle
MemoryMax=400M
CPUQuota=50%
TasksMax=256

# It needs the network, its own folders, and nothing else. What drops capabilities, such as
# PrivateDevices, is missing: a user's systemd has none to drop, and would not start it.
NoNewPrivileges=yes
{walls}RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy={wanted_by}
"""
# A view of the machine of its own. A user's systemd can give it only together with PrivateUsers,
# and only where the kernel lets users make namespaces.
_WALLS = """\
PrivateUsers=yes
ProtectSystem=strict
ReadWritePaths={folders}
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
"""


class ServiceError(Exception):
    """The service cannot be installed, removed or asked about; the message is one line."""


@dataclass(frozen=True)
class Service:
    """A unit file of this installation."""

    name: str
    file: Path
    walled: bool = field(default=True, compare=False)  # does it see only what it needs


def unit_folder() -> Path:
    """Return where units of the user lie."""
    return platformdirs.user_config_path("systemd") / "user"


def program() -> list[str]:
    """Return how the daemon's program is started: by an absolute path."""
    beside_python = Path(sys.executable).parent / "sitewatch"
    if beside_python.is_file():
        return [str(beside_python)]
    return [sys.executable, "-m", "sitewatch"]


def unit_of(installation: Installation, name: str, *, walled: bool = True) -> str:
    """Return the text of the unit file. Raises ServiceError for an impossible name."""
    if not _NAME.fullmatch(name):
        raise ServiceError(f"not a service's name of small letters, digits and hyphens: {name!r}")
    return _UNIT.format(
        description=name.replace("-", " ").capitalize(),
        mark=_MARK,
        wanted_by=_WANTED_BY,
        configuration=_configuration(installation),
        command=" ".join(map(_quoted, _daemon_command(installation))),
        walls=_walls(installation) if walled else "",
    )


def writable_folders(installation: Installation) -> list[str]:
    """Return the folders that the daemon writes to: its database's, and its configuration's."""
    config = installation.config
    folders = {beside(installation.database, "").parent.absolute(), Path(config.folder).absolute()}
    if config.alerts.atom:
        folders.add((config.folder / Path(config.alerts.atom).expanduser()).parent.absolute())
    return sorted(map(str, folders))


def cron_lines(installation: Installation) -> str:
    """Return lines for crontab that keep a daemon running; a second one ends at once by itself."""
    log = beside(installation.database, ".log")
    daemon = shlex.join([*_daemon_command(installation), "--log-file", str(log)])
    # A per cent sign means a line end to cron.
    started = f"{daemon} >/dev/null 2>&1".replace("%", "\\%")
    return f"@reboot {started}\n*/15 * * * * {started}\n"


def installed(installation: Installation) -> list[Service]:
    """Return the units that were installed for this configuration, whatever their names."""
    wanted = f"{_MARK}{_configuration(installation)}"
    folder = unit_folder()
    found = []
    for file in sorted(folder.glob("*.service")) if folder.is_dir() else []:
        try:
            lines = file.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue  # not readable for us, so not of our making
        if wanted in lines:
            found.append(Service(file.stem, file))
    return found


def has_systemd() -> bool:
    """Tell whether this user's own systemd answers."""
    if shutil.which("systemctl") is None:
        return False
    return _systemctl("show-environment").returncode == 0


def install(installation: Installation, name: str) -> Service:
    """Write the unit, enable it and start it. Raises ServiceError, and then nothing is left.

    Where it does not start within walls it is started without them.
    """
    service = Service(name, unit_folder() / f"{name}.service")
    text = unit_of(installation, name)
    if service.file.exists() and service not in installed(installation):
        raise ServiceError(f"{service.file}: another service of that name exists; choose another")
    for folder in writable_folders(installation):
        _make_folder(Path(folder))
    if _start(service, text).returncode == 0:
        return service
    started = _start(service, unit_of(installation, name, walled=False))
    if started.returncode == 0:
        return replace(service, walled=False)
    raise ServiceError(f"the service does not start: {_words(started)}")


def remove(service: Service) -> None:
    """Stop the service and take its unit away. Raises ServiceError."""
    if has_systemd():
        _systemctl("disable", "--now", f"{service.name}.service")
    # What enables it goes with `disable`, which cannot be had where systemd does not answer.
    enabling = service.file.parent / f"{_WANTED_BY}.wants" / service.file.name
    for file in (enabling, service.file):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise ServiceError(f"{file}: cannot be removed: {error.strerror}") from error
    if has_systemd():
        _systemctl("daemon-reload")


def state_of(service: Service) -> str:
    """Return systemd's word for the service: active, inactive, failed…"""
    return _systemctl("is-active", f"{service.name}.service").stdout.strip() or "unknown"


def lingers() -> bool:
    """Tell whether this user's services run without a login."""
    user = os.environ.get("USER", "")
    return bool(user) and Path("/var/lib/systemd/linger", user).exists()


# --- parts -------------------------------------------------------------------------------------


def _start(service: Service, text: str) -> subprocess.CompletedProcess[str]:
    """Write the unit and start it; where that fails, take it away again."""
    _write(service.file, text)
    _require(_systemctl("daemon-reload"))
    started = _systemctl("enable", "--now", f"{service.name}.service")
    if started.returncode:
        remove(service)
    return started


def _walls(installation: Installation) -> str:
    return _WALLS.format(folders=" ".join(map(_quoted_path, writable_folders(installation))))


def _configuration(installation: Installation) -> str:
    path = installation.config.path
    return str(path.absolute()) if path else "default"


def _daemon_command(installation: Installation) -> list[str]:
    command = [*program(), "daemon"]
    if installation.config.path is not None:
        command += ["--config", str(installation.config.path.absolute())]
    if installation.database != installation.config.database:
        named = installation.database
        command += ["--database", named if "://" in named else str(Path(named).absolute())]
    return command


def _quoted(argument: str) -> str:
    """Quote one argument as systemd reads it: per cent and dollar signs stand for themselves."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + escaped.replace("$", "$$") + '"'


def _quoted_path(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(f"{folder}: cannot be made: {error.strerror}") from error


def _write(file: Path, text: str) -> None:
    _make_folder(file.parent)
    partial = file.with_suffix(".partial")
    try:
        partial.write_text(text, "utf-8")
        partial.chmod(0o600)
        partial.replace(file)
    except OSError as error:
        raise ServiceError(f"{file}: cannot be written: {error.strerror}") from error


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemctl", "--user", "--no-pager", *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        late = f"systemctl {arguments[0]} did not end within {_PATIENCE:g} seconds"
        return subprocess.CompletedProcess(command, 124, "", late)


def _require(result: subprocess.CompletedProcess[str]) -> None:
    if result.returncode:
        raise ServiceError(f"systemd refused: {_words(result)}")


def _words(result: subprocess.CompletedProcess[str]) -> str:
    return " ".join(result.stderr.split()) or f"exit code {result.returncode}"
