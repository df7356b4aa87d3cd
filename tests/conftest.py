"""The ground of every test: no traffic beyond loopback, a clean environment, own folders."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests import traffic
from tests.lab_worlds import require_lab

sys.addaudithook(traffic.refuse_outside_traffic)  # nobody can take it away again

# A script's `make test &` ignores Ctrl-C, and so would every program that a test wants to stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, with a one-line reason; with CI=true it fails instead."""
    if item.get_closest_marker("lab"):
        require_lab()
    if item.get_closest_marker("browser") and not shutil.which("chromium"):
        missing = "the Debian package chromium is missing"
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)


@pytest.fixture(autouse=True)
def outside_attempts() -> Iterator[list[str]]:
    """Fail the test that tried to send beyond loopback, even where the refusal was swallowed."""
    traffic.attempts.clear()
    yield traffic.attempts
    assert not traffic.attempts, f"traffic beyond loopback: {traffic.attempts}"


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide this user's configuration and proxies; point the platform's folders into tmp_path."""
    for name in list(os.environ):
        if name.startswith("SITEWATCH_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "home" / name.lower()))


@pytest.fixture
def config_folder(tmp_path: Path) -> Path:
    """An empty folder for a sitewatch.toml and what stands beside it."""
    folder = tmp_path / "configuration"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser; of each module its own, as it keeps an event loop of its thread busy."""
    with sync_playwright() as playwright:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser
        browser.close()
