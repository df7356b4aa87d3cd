"""The wheel: it carries all that Sitewatch needs, and what it installs plays the demo."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.demo_truth import check_demo

ROOT = Path(__file__).parent.parent
PACKAGES = ("lab", "probes", "reports", "sitewatch", "storage")


def run(*command: str | Path, cwd: Path, seconds: float) -> str:
    """Run a program and return what it printed; its complaints become the failure's text."""
    result = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-index"]
    build = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    run(*pip, *build, cwd=folder, seconds=120)
    (built,) = folder.glob("sitewatch-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the wheel in it; returns its folder of programs.

    The libraries are those of this environment, put behind the wheel on the path. An editable
    Sitewatch of this environment does not come with them, because it hangs on a .pth file and
    those count only in an environment's own folder.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    programs = folder / "bin"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python"]
    install = [str(programs / "python"), "install", "--no-index", "--no-deps", str(wheel)]
    run(*pip, *install, cwd=folder, seconds=120)
    (own_folder,) = folder.glob("lib/python*/site-packages")
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own_folder / "libraries.pth").write_text("\n".join(libraries))
    return programs


def test_the_wheel_carries_every_file_of_the_packages_and_the_targets(wheel: Path) -> None:
    carried = set(zipfile.ZipFile(wheel).namelist())
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= carried
    assert {"sitewatch/data/targets.csv", "lab/scenarios/kazakhstan-2017.toml"} <= carried
    for needed in ("storage/migrations/", "reports/templates/"):
        assert any(name.startswith(needed) for name in carried), needed


def test_the_wheel_carries_no_tests_and_nothing_private(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    (metadata,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {*PACKAGES, metadata}


def test_what_is_installed_is_the_wheel_and_not_this_checkout(
    installed: Path, tmp_path: Path
) -> None:
    code = f"import {', '.join(PACKAGES)}\nfor m in ({', '.join(PACKAGES)}): print(m.__file__)"
    printed = run(installed / "python", "-c", code, cwd=tmp_path, seconds=60)
    assert len(printed.splitlines()) == len(PACKAGES)
    assert all(Path(line).is_relative_to(installed.parent) for line in printed.splitlines())


def test_the_installed_list_of_targets_is_found(installed: Path, tmp_path: Path) -> None:
    code = "from sitewatch.config import default_targets_path as p; print(p().read_text('utf-8'))"
    printed = run(installed / "python", "-c", code, cwd=tmp_path, seconds=60)
    assert printed.strip() == (ROOT / "targets.csv").read_text("utf-8").strip()


def test_the_installed_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "sitewatch", "--version", cwd=tmp_path, seconds=60).startswith(
        "sitewatch"
    )


@pytest.mark.lab
def test_the_installed_demo_finds_the_scripted_blocking_and_nothing_else(
    installed: Path, tmp_path: Path
) -> None:
    days = ["--from", "2017-06-18", "--to", "2017-06-21"]
    run(installed / "sitewatch", "demo", *days, "--output", "out", cwd=tmp_path, seconds=400)
    check_demo(tmp_path / "out", ended=False)
