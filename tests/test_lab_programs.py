"""Programs that know nothing of the lab, run inside scenarios: they meet what was set up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.network import World
from lab.scenario import load_scenario
from tests.lab_worlds import require_lab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("lab-programs")]

SCENARIO = """
country = "KZ"
networks = [{name = "isp", asn = 64496}, {name = "away", asn = 64497, country = "NL"}]
targets = ["https://open.example/", "https://forged.example/", "https://raced.example/"]
[[sites]]
host = "open.example"
http2 = true
[[sites]]
host = "refusing.example"
refuse_countries = ["KZ"]
refuse_how = "refuse"
[[sites]]
host = "expired.example"
certificate = "expired"
[[sites]]
host = "reset.example"
[[sites]]
host = "page.example"
http = "serve"
https = false
[[censors]]
kind = "dns-forge"
networks = ["isp"]
names = ["forged.example"]
answers = ["10.10.34.35"]
[[censors]]
kind = "dns-race"
networks = ["isp"]
names = ["raced.example"]
answers = ["nxdomain"]
[[censors]]
kind = "tls-reset"
networks = ["isp"]
names = ["reset.example"]
[[censors]]
kind = "http-page"
networks = ["isp"]
names = ["page.example"]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require_lab()
    path = tmp_path_factory.mktemp("programs") / "programs.toml"
    path.write_text(SCENARIO)
    with World(load_scenario(path), seed=4) as running:
        yield running


def need(program: str, package: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"the Debian package {package} is missing")


def said(world: World, client: str, *argv: str, patience: float = 60.0) -> str:
    """Run a program on a client's machine and return what it printed."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with world.popen(client, argv, **pipes) as process:
        return process.communicate(timeout=patience)[0].decode().strip()


def test_dig_meets_resolvers_and_what_censors_make_of_them(world: World) -> None:
    need("dig", "bind9-dnsutils")
    true = {name: world.plan.addresses_of(f"{name}.example")[0] for name in ("open", "forged")}

    def dig(client: str, *words: str) -> str:
        return said(world, client, "dig", "+timeout=5", "+tries=1", *words)

    assert dig("isp", "+short", "open.example") == true["open"]
    assert dig("isp", "+short", "+tcp", "@9.9.9.9", "open.example") == true["open"]
    assert dig("isp", "+short", "forged.example") == "10.10.34.35"
    assert dig("isp", "+short", "@8.8.8.8", "forged.example") == "10.10.34.35"
    assert dig("away", "+short", "forged.example") == true["forged"]
    assert "status: NXDOMAIN" in dig("isp", "@8.8.8.8", "raced.example")
    assert "status: NXDOMAIN" in dig("isp", "nowhere.example")


def test_curl_meets_sites_and_what_censors_make_of_them(world: World) -> None:
    need("curl", "curl")

    def curl(client: str, url: str) -> str:
        told = "%{http_version} %{http_code} %{exitcode}"
        return said(world, client, "curl", "-sm", "9", "-o", os.devnull, "-w", told, url)

    assert curl("isp", "https://open.example/") == "2 200 0"
    assert curl("isp", "https://expired.example/") == "0 000 60"  # the certificate
    assert curl("isp", "https://refusing.example/") == "0 000 7"  # no connection
    assert curl("away", "https://refusing.example/") == "1.1 200 0"
    assert curl("isp", "https://reset.example/") == "0 000 35"  # the handshake
    assert curl("away", "https://reset.example/") == "1.1 200 0"


@pytest.mark.browser
def test_chromium_meets_pages_and_what_censors_make_of_them(world: World, tmp_path: Path) -> None:
    # It has a root store of its own, hence the flag; the namespaces are its sandbox here.
    flags = f"--headless --no-sandbox --disable-gpu --user-data-dir={tmp_path}/profile "
    flags += "--disable-dev-shm-usage --ignore-certificate-errors --dump-dom"

    def browse(client: str, url: str) -> str:
        return said(world, client, "chromium", *flags.split(), url, patience=120)

    assert "<title>Welcome to open.example</title>" in browse("isp", "https://open.example/")
    assert browse("isp", "https://reset.example/") == ""  # its own page about that is not shown
    censored, true = (browse(client, "http://page.example/") for client in ("isp", "away"))
    assert "<title>Welcome to page.example</title>" in true
    assert "<title>" in censored
    assert "Welcome" not in censored


def test_the_shell_that_is_opened_is_the_users_own_and_stands_inside() -> None:
    require_lab()
    argv = [sys.executable, "-m", "lab", "shell", "plain", "--seed", "4"]
    script = "getent hosts www.iana.org; ls /sys/class/net; exit 5\n"
    done = subprocess.run(
        argv,
        input=script,
        capture_output=True,
        text=True,
        env=os.environ | {"SHELL": "/bin/sh"},
        timeout=60,
        check=False,
    )
    with World(load_scenario("plain"), seed=4) as world:
        (address,) = world.plan.addresses_of("www.iana.org")
    assert done.returncode == 5
    assert done.stdout.split()[:2] == [address, "www.iana.org"]
    assert done.stderr == ""
