"""The doctor: what it finds of line, clock, disk and installation, and when that is unhealthy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from lab.network import World
from lab.scenario import load_scenario
from probes.clock import SystemClock
from sitewatch.alerts import Alerts as Teller
from sitewatch.cli import group
from sitewatch.config import Config
from sitewatch.disks import is_encrypted
from sitewatch.doctor_line import line_findings
from sitewatch.doctor_machine import machine_findings
from sitewatch.findings import Finding
from sitewatch.pausing import pause
from sitewatch.sections import Alerts
from storage.records import Line
from storage.store import Store
from tests import cases
from tests.test_alerts import opening


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["doctor", *arguments])


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


class At(SystemClock):
    """A clock that stands still."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wall(self) -> float:
        return self._seconds


@pytest.fixture
def installed(config_folder: Path) -> Config:
    """An installation with a database and a configuration, both private."""
    file = config_folder / "sitewatch.toml"
    file.write_text("")
    file.chmod(0o600)
    config_folder.chmod(0o700)
    config = Config(path=file)
    with Store(config.database) as store:
        store.own_vantage(country="KZ", asn=64500, network=None)
    return config


def found(config: Config, clock: SystemClock | None = None) -> dict[str, Finding]:
    return by_check(list(machine_findings(config, config.database, clock or SystemClock())))


# --- this machine --------------------------------------------------------------------------------


def test_a_sound_installation_has_nothing_bad(installed: Config) -> None:
    findings = found(installed)
    assert {one.check for one in findings.values() if one.state == "bad"} == set()
    assert findings["permissions"].state == "good"
    assert findings["database"].found.startswith("0 records")
    assert findings["roots"].state == "good"


@pytest.mark.parametrize("name", ["sitewatch.toml", "sitewatch.db", "sitewatch.db.keys"])
def test_a_file_open_to_others_is_bad_and_the_remedy_names_it(installed: Config, name: str) -> None:
    (installed.folder / name).chmod(0o640)
    finding = found(installed)["permissions"]
    assert finding.state == "bad"
    assert finding.remedy == f"chmod 600 {installed.folder / name}"
    result = run("--offline", "--config", str(installed.path))
    assert result.exit_code == 3


def test_a_folder_open_to_others_is_worth_knowing(installed: Config) -> None:
    installed.folder.chmod(0o755)
    finding = found(installed)["permissions"]
    assert (finding.state, finding.remedy) == ("notice", f"chmod 700 {installed.folder}")


@pytest.mark.parametrize(
    ("years", "check", "state"),
    [(-2, "clock", "bad"), (0, "roots", "good"), (0.8, "roots", "notice"), (3, "roots", "bad")],
)
def test_clock_and_age_of_the_roots_are_told(
    installed: Config, years: float, check: str, state: str
) -> None:
    clock = At(SystemClock().wall() + years * 365 * 86400)
    assert found(installed, clock)[check].state == state


def test_a_damaged_database_is_bad(installed: Config) -> None:
    Path(installed.database).write_bytes(b"not a database at all, just text" * 99)
    assert found(installed)["database"].state == "bad"


def test_a_pause_is_told_and_the_line_is_not_looked_at(installed: Config) -> None:
    pause(installed, SystemClock())
    result = run("--consent", "--json", "--config", str(installed.path))
    findings = {one["check"]: one for one in json.loads(result.stdout)["findings"]}
    assert findings["pause"]["remedy"] == "sitewatch resume"
    assert (findings["line"]["state"], result.exit_code) == ("unknown", 0)


async def test_alerts_that_nobody_takes_are_told(installed: Config) -> None:
    assert "alerts" not in found(installed)
    config = msgspec.structs.replace(installed, alerts=Alerts(webhook="http://127.0.0.1:1/"))
    assert found(config)["alerts"].state == "good"
    clock = At(1_497_916_800.0 + 7200)
    with Store(config.database) as store:
        opening(store)
        await Teller(clock).once(store, config)
    finding = found(config)["alerts"]
    assert (finding.state, finding.found) == ("notice", "1 not taken: connection_refused")


def test_without_consent_nothing_is_sent_and_that_is_said(installed: Config) -> None:
    result = run("--json", "--config", str(installed.path))
    (line,) = [one for one in json.loads(result.stdout)["findings"] if one["check"] == "line"]
    assert line["found"] == "not looked at: that needs consent"


# --- disks ---------------------------------------------------------------------------------------

MOUNTS = """\
22 1 259:2 / / rw,relatime - ext4 /dev/nvme0n1p2 rw
23 22 253:1 / /home rw,relatime - ext4 /dev/mapper/home rw
24 22 0:40 / /mnt/my\\040stick rw - btrfs /dev/mapper/stick rw
25 22 0:30 / /tmp rw - tmpfs tmpfs rw
26 22 0:50 / /net rw - nfs4 server:/x rw
27 23 259:3 / /home/plain rw - ext4 /dev/nvme0n1p3 rw
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A /sys with a plain disk, one under LVM in LUKS, and a btrfs on a LUKS device."""
    sys = tmp_path / "sys"
    for name in ("259:2", "259:3", "253:1/dm", "253:1/slaves/dm-0/dm"):
        (sys / "dev/block" / name).mkdir(parents=True)
    (sys / "dev/block/253:1/dm/uuid").write_text("LVM-abc\n")
    (sys / "dev/block/253:1/slaves/dm-0/dm/uuid").write_text("CRYPT-LUKS2-abc-home\n")
    (sys / "class/block/stick/dm").mkdir(parents=True)
    (sys / "class/block/stick/dm/uuid").write_text("CRYPT-LUKS1-def-stick\n")
    (tmp_path / "mountinfo").write_text(MOUNTS)
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/var/lib", False),
        ("/home/aigul/.local", True),
        ("/home/plain/x", False),
        ("/mnt/my stick/x", True),
        ("/tmp/x", True),
        ("/net/x", None),
    ],
)
def test_encryption_is_read_from_the_devices_below_a_folder(
    machine: Path, folder: str, expected: bool | None
) -> None:
    assert is_encrypted(Path(folder), machine / "mountinfo", machine / "sys") is expected


def test_without_a_table_of_mounts_it_is_not_known(tmp_path: Path) -> None:
    assert is_encrypted(tmp_path, tmp_path / "none", tmp_path) is None


# --- the line ------------------------------------------------------------------------------------


def looked(line: Line, steps: list[Any] | None = None) -> dict[str, Finding]:
    return by_check(list(line_findings(line, steps or [])))


@pytest.mark.parametrize(
    ("line", "check", "state"),
    [
        (Line(state="up"), "line", "good"),
        (Line(state="down"), "line", "bad"),
        (Line(state="captive"), "line", "bad"),
        (Line(state="foreign-cut"), "line", "bad"),
        (Line(state="whitelisted"), "line", "bad"),
        (Line(state="up", clock_offset_us=900_000), "clock offset", "good"),
        (Line(state="up", clock_offset_us=-20_000_000), "clock offset", "notice"),
        (Line(state="up", clock_offset_us=3_600_000_000), "clock offset", "bad"),
        (Line(state="up"), "clock offset", "unknown"),
        (Line(state="up", diverted=True), "port 53", "notice"),
        (Line(state="up", diverted=False), "port 53", "good"),
        (Line(state="up", intercepted=True), "interception", "bad"),
        (Line(state="up", intercepted=False), "interception", "good"),
        (Line(state="up", tunnelled=True), "tunnel", "notice"),
        (Line(state="up", ipv4=True), "addresses", "good"),
        (Line(state="up"), "addresses", "unknown"),
    ],
)
def test_what_the_line_shows_is_told_with_what_to_do(line: Line, check: str, state: str) -> None:
    finding = looked(line)[check]
    assert finding.state == state
    assert bool(finding.remedy) == (state in ("bad", "notice"))


@pytest.mark.parametrize(
    ("status", "remedy"), [(402, "top it up"), (511, "log in"), (302, "log in")]
)
def test_a_portal_is_told_with_its_status(status: int, remedy: str) -> None:
    finding = looked(Line(state="captive", portal_status=status))["line"]
    assert str(status) in finding.found
    assert remedy in finding.remedy


# A value of each fact that is not the usual one.
ODD: dict[str, Any] = {
    "state": "captive",
    "clock_offset_us": 7_000_000,
    "ipv4": False,
    "ipv6": False,
    "resolver_asn": 64496,
    "portal_status": 511,
}


@pytest.mark.parametrize("field", Line.__struct_fields__)
def test_every_fact_of_the_line_is_told(field: str) -> None:
    steps = [*cases.connection(tls="ssl_unknown_authority", valid=False), cases.lookup()]
    usual = Line(state="captive" if field == "portal_status" else "up", ipv4=True, ipv6=True)
    odd = msgspec.structs.replace(usual, **{field: ODD.get(field, True)})
    assert looked(odd, steps) != looked(usual, steps)


def test_families_are_told_apart() -> None:
    line = Line(state="up", ipv4=False, ipv6=True, nat64=True)
    told = looked(line)["addresses"].found
    assert told == "IPv6 works, IPv4 does not, IPv4 hosts are reached through NAT64"


def test_the_direction_of_a_wrong_clock_is_right() -> None:
    behind = looked(Line(state="up", clock_offset_us=7_000_000))["clock offset"]
    assert behind.found == "the clock is 7.0 s behind"


def test_a_silent_resolver_is_bad_and_its_failure_named() -> None:
    steps = [cases.lookup((), failure="dns_server_failure")]
    assert "dns_server_failure" in looked(Line(state="up"), steps)["resolver"].found
    assert looked(Line(state="up"), [cases.lookup()])["resolver"].state == "good"


def test_a_resolver_of_another_network_is_noticed() -> None:
    chosen = looked(Line(state="up", resolver_elsewhere=True), [cases.lookup()])["resolver"]
    assert (chosen.state, bool(chosen.remedy)) == ("notice", True)
    own = looked(Line(state="up", resolver_elsewhere=False), [cases.lookup()])["resolver"]
    assert own.state == "good"


def test_who_reads_along_is_named() -> None:
    steps = cases.connection(
        tls="ssl_unknown_authority",
        certificates=cases.chain("a.example", issuer="CN=Scanner"),
        valid=False,
    )
    finding = looked(Line(state="up", intercepted=True), steps)["interception"]
    assert "CN=Scanner" in finding.found


@pytest.mark.lab
@pytest.mark.parametrize(("scenario", "code"), [("plain", 0), ("offline", 3)])
def test_in_the_lab_the_line_is_looked_at_for_real(
    tmp_path: Path, scenario: str, code: int
) -> None:
    argv = [sys.executable, "-m", "sitewatch", "doctor", "--json", "--database", "x.db"]
    with World(load_scenario(scenario), seed=3) as world:
        client = world.clients[0]
        world.config_path(client).chmod(0o600)
        process = world.popen(client, argv, stdout=subprocess.PIPE, cwd=tmp_path)
        output, _ = process.communicate(timeout=120)
    findings = {one["check"]: one for one in json.loads(output)["findings"]}
    line = "good" if code == 0 else "bad"
    assert findings["line"]["state"] == line
    if code == 0:
        assert findings["resolver"]["state"] == "good"
        assert findings["interception"]["state"] == "good"
        assert findings["clock offset"]["state"] == "good"
    assert process.returncode == code, findings
    assert os.listdir(tmp_path) == []  # nothing of it is kept
