"""The daemon as a process: its lock, signals, log and signs of life, with real ones of each."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.network import World
from lab.scenario import load_scenario
from sitewatch.daemon_lock import AlreadyRunningError, DaemonLock, beside, running
from sitewatch.daemon_log import place_of, set_up
from sitewatch.watchdog import Notifier
from storage.store import Store

DAEMON = [sys.executable, "-m", "sitewatch", "daemon"]


def wait_until(told: Callable[[], bool], what: str) -> None:
    for _ in range(900):
        if told():
            return
        time.sleep(0.1)
    pytest.fail(f"never came: {what}")


# --- one daemon for one database ---------------------------------------------------------------


def test_a_database_has_one_daemon_at_a_time(tmp_path: Path) -> None:
    database = str(tmp_path / "new" / "s.db")
    assert running(database) is None
    with DaemonLock(database):
        assert running(database) == os.getpid()
        with (
            pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"),
            DaemonLock(database),
        ):
            pass
        assert running(database) == os.getpid()
        with DaemonLock(str(tmp_path / "other.db")):
            pass
    assert running(database) is None
    assert beside(database, ".lock").stat().st_mode & 0o777 == 0o600


def test_a_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    database = str(tmp_path / "s.db")
    code = (
        "import sys, time; from sitewatch.daemon_lock import DaemonLock\n"
        "with DaemonLock(sys.argv[1]): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, database], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert running(database) == holder.pid
        holder.kill()
        holder.wait()
    assert running(database) is None
    with DaemonLock(database):
        pass


def test_a_database_on_a_server_is_locked_in_the_data_folder(tmp_path: Path) -> None:
    with DaemonLock("postgresql://example/db"):
        assert running("postgresql://example/db") == os.getpid()
    assert tmp_path in beside("postgresql://example/db", ".lock").parents


# --- the log -----------------------------------------------------------------------------------


@pytest.fixture
def loggers() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("sitewatch")
    before = (root.handlers[:], root.level, ours.level)
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize("names", [False, True])
def test_the_log_names_sites_only_when_asked(tmp_path: Path, names: bool) -> None:
    file = tmp_path / "logs" / "daemon.log"
    hidden = set_up(file, {}, names=names)
    hidden.hide(["watched.example"])
    log = logging.getLogger("sitewatch.daemon")
    log.info("asked WATCHED.example for %s", "https://other.example/secret?x=1")
    try:
        raise ValueError("watched.example")
    except ValueError as error:
        log.exception("failed at %s", place_of(error))
    logging.getLogger("some.library").warning("cannot reach\nwatched.example")
    text = file.read_text()
    assert ("WATCHED.example" in text) is names
    assert ("other.example" in text) is names
    assert text.count("watched.example") == (1 if names else 0)
    assert "ValueError at test_daemon_process.py" in text
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(line[:2] == "20" for line in text.splitlines() if not names)


@pytest.mark.usefixtures("loggers")
def test_the_log_stays_small(tmp_path: Path) -> None:
    set_up(tmp_path / "daemon.log", {}, names=False)
    log = logging.getLogger("sitewatch.daemon")
    for number in range(20_000):
        log.info("line %d %s", number, "x" * 300)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    assert sum(file.stat().st_size for file in files) < 4_100_000
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


@pytest.mark.usefixtures("loggers")
def test_the_journal_gets_a_level_and_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(None, {"JOURNAL_STREAM": "8:1"}, names=False)
    logging.getLogger("sitewatch.daemon").warning("the line is down")
    assert capsys.readouterr().err == "<4>the line is down\n"


# --- systemd -----------------------------------------------------------------------------------


def test_systemd_is_told_over_its_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        notifier = Notifier.of({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.ready()
        notifier.alive()
        notifier.status("next round\nat 8")
        notifier.reloading()
        notifier.stopping()
        told = [systemd.recv(200).decode() for _ in range(5)]
    assert told[:3] == ["READY=1", "WATCHDOG=1", "STATUS=next round at 8"]
    assert told[3].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert told[4] == "STOPPING=1"


def test_an_abstract_socket_works_and_a_missing_one_disturbs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"sitewatch-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}")
        Notifier.of({"NOTIFY_SOCKET": f"@{name}"}).alive()
        assert systemd.recv(200) == b"WATCHDOG=1"
    Notifier.of({"NOTIFY_SOCKET": str(tmp_path / "none")}).alive()
    assert "could not be told" in caplog.text
    Notifier.of({}).alive()
    Notifier.of({"NOTIFY_SOCKET": str(tmp_path / "none"), "WATCHDOG_PID": "1"}).alive()
    assert len(caplog.records) == 1


# --- the whole of it ---------------------------------------------------------------------------


def test_without_consent_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "sitewatch.toml").write_text("")
    environment = {**os.environ, "SITEWATCH_CONFIG": str(tmp_path / "sitewatch.toml")}
    result = subprocess.run(
        DAEMON, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    assert result.returncode == 1
    assert b"needs your consent" in result.stderr
    assert not (tmp_path / "sitewatch.db").exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "installation"
    folder.mkdir()
    return folder


def start(world: World, folder: Path) -> Any:
    """Start a daemon in the lab that begins a round at once, at whatever hour the test runs."""
    client = world.clients[0]
    shutil.copy(world.config_path(client).parent / "targets.csv", folder / "targets.csv")
    toml = world.config_path(client).read_text() + "[schedule]\nwaking_hours = '00:00-24:00'\n"
    (folder / "sitewatch.toml").write_text(toml)
    argv = [*DAEMON, "--config", str(folder / "sitewatch.toml"), "--log-file", str(folder / "log")]
    environment = {**os.environ, "SITEWATCH_CONSENT": "yes"}
    return world.popen(client, argv, env=environment, stderr=subprocess.PIPE)


@pytest.mark.lab
@pytest.mark.xdist_group("daemon")
def test_in_the_lab_it_measures_reloads_refuses_a_second_and_stops_with_all_kept(
    folder: Path,
) -> None:
    scenario = load_scenario("tls-drop")  # its rounds take long: time to stop in the middle
    database = folder / "sitewatch.db"

    def measured() -> int:
        if not database.exists():
            return 0
        with Store(database, create=False) as store:
            return len(list(store.rounds()))

    with World(scenario, seed=3) as world:
        daemon = start(world, folder)
        wait_until(lambda: "watching" in _text(folder / "log"), "the daemon's start")
        second = start(world, folder)
        _, errors = second.communicate(timeout=60)
        assert second.returncode == 1
        assert b"already works on" in errors
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: "reloaded" in _text(folder / "log"), "the reload")
        wait_until(lambda: measured() == 1, "the first round")
        time.sleep(2.0)  # into the middle of the first visit: its connection has been made
        daemon.send_signal(signal.SIGTERM)
        _, errors = daemon.communicate(timeout=10)  # what is promised
    assert daemon.returncode == 0, errors
    log = _text(folder / "log")
    assert "stopped; everything measured is kept" in log
    assert not [url for url in scenario.targets if url.split("/")[2] in log]
    with Store(database, create=False) as store:
        assert store.check() == []
        kept = [stored.record for stored in store.measurements()]
    assert kept
    assert running(str(database)) is None


@pytest.mark.lab
@pytest.mark.xdist_group("daemon")
def test_killed_in_the_middle_of_a_round_it_loses_nothing_kept_and_starts_no_storm(
    folder: Path,
) -> None:
    with World(load_scenario("tls-drop"), seed=3) as world:
        daemon = start(world, folder)
        state = folder / "sitewatch.db.state"
        wait_until(lambda: '"last":{"all"' in _text(state), "the first round")
        daemon.kill()
        daemon.communicate(timeout=30)
        before = state.read_bytes()
        again = start(world, folder)
        wait_until(lambda: state.read_bytes() != before, "the next start")
        again.send_signal(signal.SIGINT)
        _, errors = again.communicate(timeout=30)
    assert again.returncode == 130, errors
    with Store(folder / "sitewatch.db", create=False) as store:
        assert store.check() == []
        assert len(list(store.rounds())) <= 1


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""
