"""sitewatch service: its unit, installing it through systemctl, and the cron way without it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sitewatch.cli import group
from sitewatch.config import load_config
from sitewatch.installation import Installation
from sitewatch.service import ServiceError, cron_lines, unit_folder, unit_of

# Stands in for systemd's program: notes what it is asked for, and can be told to refuse or to start
# nothing that has the word `refused` in its unit.
SYSTEMCTL = """#!/bin/sh
echo "$@" >> {log}
case "$*" in *enable*) if grep -q "^{refused}" {units}/*.service; then exit 1; fi;; esac
case "$*" in *is-active*) echo active;; *{refused}*) echo "no such thing" >&2; exit 1;; esac
"""


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    folder = tmp_path / "a folder with 100%"
    assert run("init", "--config", str(folder / "sitewatch.toml"), "--consent").exit_code == 0
    config = load_config(folder / "sitewatch.toml", {})
    return Installation(config, config.database)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, arguments)


def service(installation: Installation, *arguments: str) -> Result:
    return run("service", *arguments, "--config", str(installation.config.path))


def provide_systemctl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str = "nothing"
) -> Path:
    """Put a systemctl on the path; return the file in which it notes what it is asked."""
    programs, log = tmp_path / "programs", tmp_path / "asked"
    programs.mkdir(exist_ok=True)
    (programs / "systemctl").write_text(
        SYSTEMCTL.format(log=log, refused=refused, units=unit_folder())
    )
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return log


def without_systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


# --- the unit ----------------------------------------------------------------------------------


def test_the_unit_is_hardened_limited_watched_and_says_nothing(installation: Installation) -> None:
    unit = unit_of(installation, "line-monitor")
    lines = set(unit.splitlines())
    assert {
        "Type=notify",
        "Description=Line monitor",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "PrivateTmp=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "UMask=0077",
    } <= lines
    assert "WatchdogSec=" in unit
    assert "MemoryMax=" in unit
    assert "CPUQuota=" in unit
    folder = str(installation.config.folder)
    assert f'ReadWritePaths="{folder.replace("%", "%%")}"' in lines
    assert f'"--config" "{folder.replace("%", "%%")}/sitewatch.toml"' in unit


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is missing")
def test_systemd_understands_every_line_of_the_unit(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "line-monitor.service"
    file.write_text(unit_of(installation, "line-monitor"))
    result = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", str(file)],
        env={"XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    about_ours = [line for line in result.stderr.splitlines() if file.name in line]
    assert not about_ours, result.stderr


@pytest.mark.parametrize("name", ["", "Two Words", "../evil", "a.service", "-x", "a" * 42])
def test_an_impossible_name_is_refused(installation: Installation, name: str) -> None:
    with pytest.raises(ServiceError, match="not a service's name"):
        unit_of(installation, name)


def test_the_unit_can_be_looked_at_first(installation: Installation) -> None:
    result = service(installation, "install", "--show", "--name", "clock-helper")
    assert result.exit_code == 0
    assert result.stdout == unit_of(installation, "clock-helper")
    assert not unit_folder().exists()


# --- installing --------------------------------------------------------------------------------


def test_it_is_installed_found_again_and_removed(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = provide_systemctl(tmp_path, monkeypatch)
    result = service(installation, "install", "--name", "clock-helper")
    assert result.exit_code == 0, result.output
    assert "enable-linger" in result.stderr
    file = unit_folder() / "clock-helper.service"
    assert file.read_text() == unit_of(installation, "clock-helper")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "--user --no-pager enable --now clock-helper.service" in asked.read_text()
    seen = service(installation, "status")
    assert seen.exit_code == 0
    assert seen.stdout.startswith("clock-helper: active")
    gone = service(installation, "remove")
    assert gone.exit_code == 0
    assert not file.exists()
    assert "disable --now clock-helper.service" in asked.read_text()
    assert service(installation, "status").exit_code == 3


def test_another_name_takes_the_place_of_the_first(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide_systemctl(tmp_path, monkeypatch)
    for name in ("first", "second", "second"):
        assert service(installation, "install", "--name", name).exit_code == 0
    assert [file.name for file in unit_folder().iterdir()] == ["second.service"]


def test_a_service_of_others_is_never_touched(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide_systemctl(tmp_path, monkeypatch)
    unit_folder().mkdir(parents=True)
    (unit_folder() / "theirs.service").write_text("[Service]\nExecStart=/bin/true\n")
    result = service(installation, "install", "--name", "theirs")
    assert result.exit_code == 1
    assert "choose another" in result.stderr
    assert service(installation, "remove").exit_code == 0
    assert (unit_folder() / "theirs.service").read_text().startswith("[Service]")


def test_a_service_that_does_not_start_is_taken_away(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide_systemctl(tmp_path, monkeypatch, refused="enable")
    result = service(installation, "install")
    assert result.exit_code == 1
    assert "does not start: no such thing" in result.stderr
    assert list(unit_folder().iterdir()) == []


def test_a_systemd_that_does_not_answer_is_one_line_and_nothing_stays(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide_systemctl(tmp_path, monkeypatch)
    systemctl = tmp_path / "programs" / "systemctl"
    systemctl.write_text('#!/bin/sh\ncase "$*" in *enable*) exec sleep 60;; esac\n')
    monkeypatch.setattr("sitewatch.service._PATIENCE", 0.5)
    result = service(installation, "install")
    assert result.exit_code == 1
    assert result.stderr.endswith("systemctl enable did not end within 0.5 seconds\n")
    assert list(unit_folder().iterdir()) == []


def test_what_enables_it_goes_even_where_systemd_is_gone(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide_systemctl(tmp_path, monkeypatch)
    assert service(installation, "install").exit_code == 0
    wants = unit_folder() / "default.target.wants"
    wants.mkdir()
    (wants / "line-monitor.service").symlink_to(unit_folder() / "line-monitor.service")
    without_systemctl(tmp_path, monkeypatch)
    assert service(installation, "remove").exit_code == 0
    assert [*unit_folder().iterdir(), *wants.iterdir()] == [wants]


def test_where_users_can_make_no_namespaces_it_starts_without_walls_and_says_so(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide_systemctl(tmp_path, monkeypatch, refused="PrivateUsers=yes")
    result = service(installation, "install")
    assert result.exit_code == 0, result.output
    assert "sees the whole machine" in result.stderr
    (file,) = unit_folder().glob("*.service")
    assert file.read_text() == unit_of(installation, file.stem, walled=False)
    assert "NoNewPrivileges=yes" in file.read_text()
    assert "ProtectSystem" not in file.read_text()


def test_nothing_in_the_unit_needs_rights_that_a_users_systemd_has_not(
    installation: Installation,
) -> None:
    """Met with systemd 252: these fail with status 218/CAPABILITIES in a service of a user."""
    unit = unit_of(installation, "line-monitor")
    for key in ("PrivateDevices", "ProtectKernelModules", "ProtectKernelLogs", "ProtectClock"):
        assert f"\n{key}=" not in unit
    assert "PrivateUsers=yes" in unit  # without it the read-only view is silently left out


def test_without_systemd_it_prints_the_cron_way(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_systemctl(tmp_path, monkeypatch)
    result = service(installation, "install")
    assert result.exit_code == 1
    assert "crontab -e" in result.stderr
    assert result.stdout == cron_lines(installation)
    reboot, often = result.stdout.splitlines()
    assert reboot.startswith("@reboot ")
    assert often.startswith("*/15 * * * * ")
    assert "100\\%" in often
    assert not unit_folder().exists()
    assert service(installation, "status").exit_code == 3


def test_without_consent_nothing_is_installed(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide_systemctl(tmp_path, monkeypatch)
    monkeypatch.setenv("SITEWATCH_CONSENT", "yes")  # the service would not have it
    (Path(installation.config.folder) / "sitewatch-consent.json").unlink()
    result = service(installation, "install")
    assert result.exit_code == 1
    assert "sitewatch init" in result.stderr
    assert not unit_folder().exists()


def test_wiping_takes_the_service_away_too(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = provide_systemctl(tmp_path, monkeypatch)
    assert service(installation, "install").exit_code == 0
    result = run("wipe", "--yes", "--config", str(installation.config.path))
    assert result.exit_code == 0, result.output
    assert list(unit_folder().iterdir()) == []
    assert "disable --now line-monitor.service" in asked.read_text()
    assert list(Path(installation.config.folder).iterdir()) == []
