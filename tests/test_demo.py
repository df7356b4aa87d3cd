"""The whole demonstration with five seeds (`make demo-seeds`), and what can go wrong with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from storage.store import Store
from storage.train_dictionary import Invention
from tests.demo_truth import check_demo
from tests.lab_worlds import require_lab

DEMO = [sys.executable, "-m", "sitewatch", "demo"]


def run(*arguments: str, cwd: Path, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )


@pytest.mark.long
@pytest.mark.lab
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_the_demo_finds_exactly_what_was_scripted(seed: int, tmp_path: Path) -> None:
    require_lab()
    done = run("--seed", str(seed), "--output", "out", cwd=tmp_path, seconds=1200)
    assert done.returncode == 0, done.stderr
    check_demo(tmp_path / "out", ended=True)


def test_days_in_the_wrong_order_are_a_wrong_command_line(tmp_path: Path) -> None:
    done = run("--from", "2017-06-20", "--to", "2017-06-19", cwd=tmp_path)
    assert done.returncode == 2
    assert "before the first" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.lab
def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    require_lab()
    (tmp_path / "file").write_text("")
    done = run("--output", "file/inside", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "file" in done.stderr


@pytest.mark.lab
def test_a_real_database_is_never_replaced(tmp_path: Path) -> None:
    require_lab()
    with Store(tmp_path / "sitewatch.db") as store:
        vantage = store.own_vantage(country=None, asn=None, network=None)
        invented = msgspec.structs.replace(Invention(1).round(), vantage=vantage, simulated=False)
        store.add(invented).result()
    before = (tmp_path / "sitewatch.db").read_bytes()
    done = run("--output", ".", cwd=tmp_path)
    assert done.returncode == 1
    assert "real records" in done.stderr
    assert (tmp_path / "sitewatch.db").read_bytes() == before


@pytest.mark.lab
@pytest.mark.parametrize("into", [0.0, 3.0])  # worlds are starting, or rounds are under way
def test_ctrl_c_ends_the_demo_at_once_and_leaves_nothing(into: float, tmp_path: Path) -> None:
    require_lab()
    with subprocess.Popen(
        [*DEMO, "--output", "out"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            for _ in range(300):
                if list(tmp_path.glob("out/.demo-*/world-0/*")):
                    break
                time.sleep(0.1)
            time.sleep(into)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)  # the whole demo would take minutes
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert not list((tmp_path / "out").iterdir())
