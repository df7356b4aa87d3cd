"""sitewatch status: what it shows of a history, and when it calls for attention."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from click.testing import CliRunner, Result

from probes.clock import SystemClock
from sitewatch.cli import group
from sitewatch.commands.status import lines_of
from sitewatch.config import load_config
from sitewatch.consent import ConsentRecord
from sitewatch.consenting import marker_of, scope_of
from sitewatch.daemon_lock import DaemonLock
from sitewatch.daemon_state import load_state
from sitewatch.installation import Installation
from sitewatch.pausing import pause
from sitewatch.schedule import DAY
from sitewatch.status import OngoingEpisode, Status, status_of
from sitewatch.watchlist import load_watchlist
from storage.store import Store
from tests.daemon_life import Machine, live

ALMATY = ZoneInfo("Asia/Almaty")
MORNING = datetime(2020, 11, 23, 8, 0, tzinfo=ALMATY).timestamp()
EVENING = MORNING + 12 * 3600
TOML = "[schedule]\ntime_zone = 'Asia/Almaty'\nwatch = ['alpha.example']\n"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a daemon has worked for half a day, with one site failing."""
    folder = tmp_path_factory.mktemp("played")

    async def story(machine: Machine) -> None:
        machine.prober.failing = lambda url, at: "beta" in url
        await machine.live(EVENING - MORNING)

    live(folder, TOML, MORNING, story)
    return folder


def seen(folder: Path, now: float, toml: str = "", consent: bool = True) -> Status:
    config = load_config(folder / "sitewatch.toml", {})
    installation = Installation(config, config.database)
    with Store(config.database, create=False) as store:
        return status_of(installation, load_watchlist(config), store, now, consent=consent)


def test_it_shows_rounds_verdicts_and_data(played: Path) -> None:
    with DaemonLock(str(played / "sitewatch.db")):
        status = seen(played, EVENING)
    assert status.healthy, status.problems
    assert status.daemon
    assert status.simulated
    assert status.last_round is not None
    assert status.last_round.startswith("2020-11-23")
    assert (status.targets, status.watched) == (4, 1)
    assert sum(status.verdicts.values()) == 4
    assert status.verdicts["accessible"] == 3
    assert status.line == "up"
    assert 500_000 < status.month_bytes < status.month_budget == 1_000_000_000
    assert 100_000 < status.database_bytes < status.database_limit == 2_000_000_000
    text = "\n".join(lines_of(status))
    assert "3 accessible" in text
    assert "SIMULATED" in text
    assert "All is well." in text


def test_the_onset_of_what_is_blocked_is_said_as_far_as_it_is_known(played: Path) -> None:
    ongoing = OngoingEpisode(
        url="https://a.example/",
        network=None,
        since_earliest=None,
        since_latest="2020-11-23T10:00:00.000000Z",
        certainty="likely",
    )
    known = msgspec.structs.replace(ongoing, since_earliest="2020-11-23T08:00:00.000000Z")
    status = msgspec.structs.replace(seen(played, EVENING), episodes=[ongoing, known])
    said = [line.split(", ", 1)[1] for line in lines_of(status) if line.startswith("blocked ")]
    assert said == [
        "since 2020-11-23 10:00 UTC at the latest (likely)",
        "begun between 2020-11-23 08:00 UTC and 2020-11-23 10:00 UTC (likely)",
    ]


def test_what_was_measured_by_hand_counts_too(played: Path) -> None:
    """The daemon's file may be stale or lost: the records tell."""
    state = load_state(str(played / "sitewatch.db"))
    assert state is not None
    counted = seen(played, EVENING).month_bytes
    assert counted == state.usage.month(EVENING).bytes
    state.usage.days.clear()
    state.saved = ""
    path = played / "sitewatch.db.state"
    before = path.read_bytes()
    try:
        path.write_bytes(msgspec.json.encode(state))
        assert seen(played, EVENING).month_bytes == counted
    finally:
        path.write_bytes(before)


def problems(status: Status) -> str:
    return " | ".join(problem.what for problem in status.problems)


def test_without_a_daemon_it_calls_for_attention_unless_paused(played: Path) -> None:
    assert "no daemon works" in problems(seen(played, EVENING))
    config = load_config(played / "sitewatch.toml", {})
    pause(config, SystemClock())
    try:
        status = seen(played, EVENING)
        assert status.paused
        assert status.healthy
    finally:
        (played / "sitewatch-paused.json").unlink()


def changed_state(folder: Path, change: Callable[[dict[str, object]], None]) -> Status:
    path = folder / "sitewatch.db.state"
    before = path.read_bytes()
    state = json.loads(before)
    change(state)
    try:
        path.write_text(json.dumps(state))
        with DaemonLock(str(folder / "sitewatch.db")):
            return seen(folder, EVENING)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"line": "foreign-cut"}, "the line is foreign-cut since"),
        ({"stretch": None}, "data are used up"),
        ({"stretch": 3.0}, "3.0 times slower"),
        ({"last_success": "2020-11-01T08:00:00.000000Z"}, "no round since 2020-11-01T08:00Z"),
        (
            {
                "troubles": [
                    {
                        "first": "2020-11-23T08:00:00.000000Z",
                        "last": "2020-11-23T09:00:00.000000Z",
                        "times": 2,
                        "what": "the disk is full",
                        "remedy": "make room",
                    }
                ]
            },
            "the disk is full",
        ),
    ],
)
def test_what_needs_attention_is_said(played: Path, change: dict[str, object], said: str) -> None:
    status = changed_state(played, lambda state: state.update(change))
    assert said in problems(status)
    assert not status.healthy


def test_going_beyond_consent_is_said(played: Path) -> None:
    assert "consented" in problems(seen(played, EVENING, consent=False))


def test_a_database_over_its_limit_is_said(played: Path) -> None:
    toml = (played / "sitewatch.toml").read_text()
    try:
        (played / "sitewatch.toml").write_text(toml + "[storage]\nmax_size = '10 KB'\n")
        assert "larger than storage.max_size" in problems(seen(played, EVENING))
    finally:
        (played / "sitewatch.toml").write_text(toml)


# --- the command -------------------------------------------------------------------------------


def run(folder: Path, *arguments: str) -> Result:
    config = str(folder / "sitewatch.toml")
    return CliRunner().invoke(group, ["status", "--config", config, *arguments])


def test_the_exit_code_tells_and_json_holds_everything(played: Path) -> None:
    result = run(played, "--json")
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert set(document) == set(Status.__struct_fields__)
    assert document["format"] == "sitewatch-status/1"


def test_a_healthy_installation_ends_with_0(tmp_path: Path) -> None:
    now = SystemClock().wall()
    whole_day = "[schedule]\nwaking_hours = '00:00-24:00'\n"
    live(tmp_path, whole_day, now - DAY, lambda machine: machine.live(DAY - 600))
    config = load_config(tmp_path / "sitewatch.toml", {})
    installation, targets = Installation(config, config.database), load_watchlist(config).targets
    ConsentRecord.of(scope_of(installation, targets, None)).save(marker_of(config))
    with DaemonLock(config.database):
        result = run(tmp_path)
    assert result.exit_code == 0, result.output
    assert "All is well." in result.stdout


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "sitewatch.toml").write_text("")
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "no such file; nothing has been measured here yet" in result.stderr
