"""Pausing stops all probing at once; wiping removes everything that is ours and nothing else."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lab.network import World
from lab.scenario import load_scenario
from probes.clock import SystemClock
from sitewatch.cli import group
from sitewatch.config import Config, load_config
from sitewatch.daemon_lock import DaemonLock
from sitewatch.installation import Installation
from sitewatch.pausing import is_paused, marker_of, pause, resume
from sitewatch.service import unit_folder, unit_of
from storage.store import Store

MEASURE = [sys.executable, "-m", "sitewatch", "measure"]


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(group, list(arguments), input=input)


@pytest.fixture
def config(config_folder: Path) -> Path:
    """A configuration whose database lies beside it."""
    file = config_folder / "sitewatch.toml"
    file.write_text('[storage]\ndatabase = "kept/x.db"\n[alerts]\natom = "feed.xml"\n')
    return file


# --- pausing -----------------------------------------------------------------------------------


def test_measuring_is_refused_while_paused_and_works_again_after(config: Path) -> None:
    assert run("pause", "--config", str(config)).exit_code == 0
    refused = run("measure", "--consent", "--config", str(config), "https://a.example/")
    assert refused.exit_code == 1
    (line,) = refused.output.splitlines()
    assert "probing is paused since 20" in line
    assert "sitewatch resume" in line
    assert not (config.parent / "kept").exists()
    over = run("resume", "--config", str(config))
    assert (over.exit_code, "is over" in over.output) == (0, True)
    assert not is_paused(Config(path=config))


def test_a_pause_holds_whatever_the_database(config: Path) -> None:
    here = ["--config", str(config)]
    assert run("pause", *here, "--database", "a.db").exit_code == 0
    for database in ("a.db", "b.db"):
        words = ["measure", "--consent", *here, "--database", database, "https://a.example/"]
        assert "probing is paused" in run(*words).output
    assert run("resume", *here, "--database", "b.db").exit_code == 0
    assert not is_paused(Config(path=config))


def test_pausing_twice_keeps_the_first_time_and_resuming_twice_is_no_error(config: Path) -> None:
    here = Config(path=config)
    first = pause(here, SystemClock())
    assert pause(here, SystemClock()) == first
    assert resume(here) == first
    assert resume(here) is None
    assert "was not paused" in run("resume", "--config", str(config)).output


def test_the_marker_is_for_its_owner_alone(config: Path) -> None:
    here = Config(path=config)
    pause(here, SystemClock())
    assert stat.S_IMODE(marker_of(here).stat().st_mode) == 0o600
    assert json.loads(marker_of(here).read_text())["since"].endswith("Z")


@pytest.mark.parametrize("content", ["", "no JSON", '{"since": 3}'])
def test_a_marker_that_cannot_be_read_pauses_too(config: Path, content: str) -> None:
    here = Config(path=config)
    marker_of(here).write_text(content)
    assert is_paused(here)
    assert run("measure", "--consent", "--config", str(config), "https://a.example/").exit_code == 1
    assert run("resume", "--config", str(config)).exit_code == 0
    assert not is_paused(here)


def test_a_broken_configuration_keeps_nobody_from_pausing(config: Path) -> None:
    config.write_text("[broken")
    assert run("pause", "--config", str(config)).exit_code == 0
    assert is_paused(Config(path=config))
    assert run("resume", "--config", str(config)).exit_code == 0
    assert not is_paused(Config(path=config))


def test_pausing_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "sitewatch.toml"
    result = run("pause", "--config", str(missing))
    assert result.exit_code == 1
    assert result.stderr == f"sitewatch: {missing}: no such file; sitewatch init writes one\n"
    assert not missing.parent.exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run("pause", "--config", str(tmp_path / "file" / "sitewatch.toml"))
    assert refused.exit_code == 1
    assert len(refused.output.splitlines()) == 1


@pytest.mark.lab
def test_a_round_under_way_stops_when_a_pause_is_set_and_keeps_what_it_has(tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    scenario = load_scenario("tls-drop")
    with World(scenario, seed=3) as world:
        client = world.clients[0]
        process = world.popen(
            client,
            [*MEASURE, "--json", "--database", str(database), *scenario.targets],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        wait_for_a_record(database)
        pausing = [sys.executable, "-m", "sitewatch", "pause"]
        assert world.popen(client, pausing, stderr=subprocess.DEVNULL).wait() == 0
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1, errors
        assert "stopped by a pause; everything measured is kept" in errors.decode()
    with Store(database) as store:
        assert store.check() == []
        assert list(store.rounds())


def wait_for_a_record(database: Path) -> None:
    """Return once the round is under way: its record is on the disk."""
    clock = SystemClock()
    patience = clock.monotonic() + 60
    while clock.monotonic() < patience:
        if database.exists():
            with Store(database) as store:
                if list(store.rounds()):
                    return
    raise AssertionError("no round began")


# --- wiping ------------------------------------------------------------------------------------


def fill(config: Path) -> list[Path]:
    """Make everything an installation leaves; return the files."""
    folder = config.parent
    with Store(folder / "kept" / "x.db") as store:
        store.own_vantage(country="KZ", asn=64500, network=None)
    named = ("kept/x.db.log", "kept/x.db.log.1", "kept/x.db-wal", "feed.xml", "targets.csv")
    half_written = ("sitewatch.tomlab12_x3z", "sitewatch-consent.json0123abcd")
    for name in named + half_written:
        (folder / name).touch()
    (folder / "sitewatch-consent.json").write_text("{}")
    pause(Config(path=config), SystemClock())
    return [path for path in folder.rglob("*") if path.is_file()]


def test_wiping_removes_all_that_is_ours_and_nothing_else(config: Path, tmp_path: Path) -> None:
    ours = fill(config)
    strangers = [config.parent / "kept" / "xx.db", config.parent / "letter.txt"]
    for stranger in strangers:
        stranger.write_text("mine")
    done = run("wipe", "--yes", "--config", str(config))
    assert done.exit_code == 0, done.output
    assert [path for path in ours if path.exists()] == []
    assert all(stranger.read_text() == "mine" for stranger in strangers)
    assert all(str(path) in done.output for path in ours)
    for remains in ("Flash storage", "journal", "Backups"):
        assert remains in done.output


def test_a_broken_configuration_keeps_nobody_from_wiping(config: Path) -> None:
    ours = fill(config)
    feed = config.parent / "feed.xml"  # nobody can know of it any more
    config.write_text("[broken")
    refused = run("wipe", "--yes", "--config", str(config))
    assert refused.exit_code == 1
    assert "line 1: not TOML" in refused.output
    assert "--database" in refused.output
    assert all(path.exists() for path in ours)
    database = str(config.parent / "kept" / "x.db")
    done = run("wipe", "--yes", "--config", str(config), "--database", database)
    assert done.exit_code == 0, done.output
    assert [path for path in ours if path.exists()] == [feed]


def test_without_a_terminal_or_the_flag_nothing_is_removed(config: Path) -> None:
    ours = fill(config)
    refused = run("wipe", "--config", str(config), input="wipe\n")
    assert refused.exit_code == 1
    assert "--yes" in refused.output
    assert all(path.exists() for path in ours)


@pytest.mark.parametrize(("answer", "removed"), [("wipe", True), ("yes", False), ("", False)])
def test_the_one_confirmation_is_the_word_itself(config: Path, answer: str, removed: bool) -> None:
    ours = fill(config)
    code = run_on_a_terminal(
        [sys.executable, "-m", "sitewatch", "wipe", "--config", str(config)], answer
    )
    assert code == (0 if removed else 1)
    assert [path.exists() for path in ours] == [not removed] * len(ours)


def run_on_a_terminal(argv: list[str], answer: str) -> int:
    """Run a program on a terminal of its own and type one line; return its exit code."""
    ours, theirs = os.openpty()
    try:
        process = subprocess.Popen(
            argv, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.write(ours, f"{answer}\n".encode())
        return process.wait(60)
    finally:
        os.close(ours)
        os.close(theirs)


def test_nothing_is_wiped_under_a_daemon_at_work(config: Path) -> None:
    ours = fill(config)
    with DaemonLock(str(config.parent / "kept" / "x.db")):
        refused = run("wipe", "--yes", "--config", str(config))
    assert refused.exit_code == 1
    assert "a daemon is at work" in refused.output
    assert all(path.exists() for path in ours)


def test_a_list_of_sites_that_lies_elsewhere_is_left_alone(config: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "shared-list.csv"
    elsewhere.write_text("")
    config.write_text(f'[targets]\nfile = "{elsewhere}"\n')
    assert run("wipe", "--yes", "--config", str(config)).exit_code == 0
    assert elsewhere.exists()
    assert not config.exists()


def test_a_database_on_a_server_is_said_to_stay(config: Path) -> None:
    done = run("wipe", "--yes", "--config", str(config), "--database", "postgresql://h/x")
    assert done.exit_code == 0
    assert "is on a server and stays there" in done.output


def test_wiping_where_nothing_is_says_so(tmp_path: Path) -> None:
    done = run("wipe", "--yes", "--database", str(tmp_path / "none" / "x.db"))
    assert (done.exit_code, done.output.splitlines()[0]) == (
        0,
        "There is nothing of Sitewatch's here.",
    )


def test_ctrl_c_at_the_question_removes_nothing(config: Path) -> None:
    ours = fill(config)
    first, theirs = os.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "sitewatch", "wipe", "--config", str(config)],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        while 'Type "wipe"' not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
    finally:
        os.close(first)
        os.close(theirs)
    assert all(path.exists() for path in ours)


def test_the_service_is_stopped_and_removed_with_the_rest(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = fill(config)
    installation = Installation(load_config(config, {}), str(config.parent / "kept" / "x.db"))
    unit = unit_folder() / "notes-sync.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(unit_of(installation, "notes-sync"))
    stranger = unit.with_name("other.service")
    stranger.write_text("[Service]\n")
    monkeypatch.setenv("PATH", str(tmp_path))  # no systemctl here
    done = run("wipe", "--yes", "--config", str(config))
    assert done.exit_code == 0, done.output
    assert f"{unit}  (service)" in done.output
    assert not unit.exists()
    assert stranger.exists()
    assert not any(path.exists() for path in ours)
