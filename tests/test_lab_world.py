"""The life of a world: what programs inside are given, how it ends, and that nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.network import World
from lab.pki import Pki
from lab.scenario import load_scenario
from tests.lab_worlds import SHORT, fetch, inside

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parent.parent
IN_CHECKOUT = os.environ | {"PYTHONPATH": str(ROOT)}
_PROMPT_SECONDS = 15.0


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.create(tmp_path_factory.mktemp("pki"))


def keepers(folder: str | Path) -> list[int]:
    """Return the processes that serve the world whose files lie in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it ended meanwhile
                continue
            if b"lab.keeper" in words and any(str(folder).encode() in word for word in words):
                found.append(int(entry.name))
    return found


def spaces(process: int | str) -> set[str]:
    """Return the namespaces in which a process is, as the kernel names them."""
    found = set()
    for kind in ("net", "mnt", "pid", "user"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            found.add(os.readlink(f"/proc/{process}/ns/{kind}"))
    return found


def inhabitants(folder: str | Path) -> dict[int, str]:
    """Return every process in the namespaces of a world, with when it began.

    A namespace goes with the last process in it, and its mounts and devices with it. Its own
    number is given to the next one, so it is the processes that are looked for afterwards.
    """
    world = set().union(*map(spaces, keepers(folder))) - spaces("self")
    everybody = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return {process: began(process) for process in everybody if spaces(process) & world}


def began(process: int) -> str:
    """Return when a process began, empty where it has ended (proc(5), /proc/[pid]/stat)."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return "" if stat[0] == "Z" else stat[19]
    return ""


def wait_until_gone(folder: str | Path) -> list[int]:
    """Return the processes of a world that still exist after a moment."""
    deadline = time.monotonic() + _PROMPT_SECONDS
    while (left := keepers(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def test_a_world_leaves_no_process_and_no_file(pki: Pki) -> None:
    with World(load_scenario("plain"), pki=pki) as world:
        folder = world.config_path("isp").parent.parent
        assert folder.exists()
        assert len(keepers(folder)) == 5
    assert keepers(folder) == []
    assert not folder.exists()


def test_a_world_ends_with_the_programs_still_running_in_it(pki: Pki) -> None:
    with World(load_scenario("plain"), pki=pki) as world:
        process = world.popen("isp", ["sh", "-c", "echo; sleep 600"], stdout=subprocess.PIPE)
        with process:
            assert process.stdout is not None
            process.stdout.readline()  # it runs
            world.__exit__(None, None, None)
            assert process.wait(_PROMPT_SECONDS) == -signal.SIGKILL


def test_exit_codes_signals_and_missing_programs_come_through(pki: Pki) -> None:
    with World(load_scenario("plain"), pki=pki) as world:
        assert world.popen("isp", ["sh", "-c", "exit 7"]).wait(_PROMPT_SECONDS) == 7
        assert world.popen("isp", ["sh", "-c", "kill -9 $$"]).wait(_PROMPT_SECONDS) == -9
        missing = world.popen("isp", ["no-such-program"], stderr=subprocess.PIPE)
        assert missing.communicate(timeout=_PROMPT_SECONDS)[1] == (
            b"no-such-program: No such file or directory\n"
        )
        assert missing.returncode == 127
        script = "trap 'exit 5' INT; echo ready; while :; do sleep 0.01; done"
        with world.popen("isp", ["sh", "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(_PROMPT_SECONDS) == 5


def test_a_program_keeps_its_folder_and_gets_its_configuration(pki: Pki, tmp_path: Path) -> None:
    with World(load_scenario("kazakhstan-2017"), pki=pki, folder=tmp_path / "world") as world:
        show = "import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))"
        with world.popen(
            "saryarka", [sys.executable, "-c", show], stdout=subprocess.PIPE, cwd=tmp_path
        ) as process:
            folder, environment = json.loads(process.communicate(timeout=_PROMPT_SECONDS)[0])
        assert folder == str(tmp_path)
        assert environment["SITEWATCH_CONSENT"] == "yes"
        assert environment["SSL_CERT_FILE"] == str(pki.ca)
        config = tomllib.loads(Path(environment["SITEWATCH_CONFIG"]).read_text())
    assert config["vantage"] == {
        "simulated": True,
        "country": "KZ",
        "asn": 64497,
        "network": "Saryarka Online",
    }
    assert config["tls"]["ca_bundle"] == str(pki.ca)
    assert config["limits"]["tls_timeout"] == 2.0
    assert config["safety"] == {"tier": "probing"}
    assert len(config["helpers"]["urls"]) == len(config["neutral"]["home"]) == 2
    assert (tmp_path / "world").exists()


def test_two_worlds_at_once_do_not_meet(pki: Pki) -> None:
    plain, offline = load_scenario("plain"), load_scenario("offline")
    with World(plain, pki=pki) as first, World(offline, pki=pki) as second:
        assert inside(first, "isp", fetch, plain.targets[0])["status"] == 200
        went = inside(second, "isp", fetch, plain.targets[0], patience=SHORT)
        assert "failure" in went


def test_packets_go_by_packet_sockets_where_tun_is_forbidden(pki: Pki) -> None:
    scenario = load_scenario("tls-drop")
    with World(scenario, pki=pki, packet_sockets=True) as world:
        went = inside(world, "isp", fetch, scenario.targets[0], patience=SHORT)
        assert went == {"failure": "timeout"}
        page = inside(world, "isp", fetch, scenario.neutral.abroad[0])
        assert (page["status"], len(page["text"])) == (200, 4000)


FETCH_AND_TELL = """
import fcntl, socket, struct, urllib.request
print(urllib.request.urlopen("https://www.iana.org/").status)
asked = fcntl.ioctl(socket.socket(), 0x8927, struct.pack("16s16x", b"net0"))  # SIOCGIFHWADDR
print({1: "ethernet", 0xFFFE: "tun"}[struct.unpack("16xH14x", asked)[0]])
"""


@pytest.mark.parametrize(
    ("first", "kind"), [("mount -t tmpfs none /dev/net", "ethernet"), (":", "tun")]
)
def test_where_tun_is_missing_a_world_takes_packet_sockets_by_itself(
    pki: Pki, tmp_path: Path, first: str, kind: str
) -> None:
    """In a world within a world, whose own machine may have nothing at /dev/net/tun."""
    program = tmp_path / "fetch.py"
    program.write_text(FETCH_AND_TELL)
    script = f"{first} && exec {sys.executable} -m lab run plain -- {sys.executable} {program}"
    with World(load_scenario("plain"), pki=pki) as world:
        argv, out = ["sh", "-c", script], subprocess.PIPE
        with world.popen("isp", argv, stdout=out, env=IN_CHECKOUT) as process:
            said = process.communicate(timeout=60)[0].decode()
    assert said.split() == ["200", kind]


def test_a_machine_without_user_namespaces_is_told_so_in_one_line(pki: Pki) -> None:
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces"  # of the world's own user namespace
    for program in ("-m lab run plain -- true", str(ROOT / "lab" / "check.py")):
        with World(load_scenario("plain"), pki=pki) as world:
            script = f"{forbid} && exec {sys.executable} {program} 2>&1"
            argv, out = ["sh", "-c", script], subprocess.PIPE
            with world.popen("isp", argv, stdout=out, env=IN_CHECKOUT) as process:
                said = process.communicate(timeout=_PROMPT_SECONDS)[0].decode()
        assert process.returncode == 1
        assert "user namespaces are not available (sysctl user.max_user_namespaces = 0)" in said
        assert said.count("\n") == 1


def test_a_world_dies_with_the_program_that_made_it() -> None:
    program = (
        "import time; from lab.network import World; from lab.scenario import load_scenario\n"
        "with World(load_scenario('plain')) as world:\n"
        "    inside = world.popen('isp', ['sh', '-c', 'echo; exec sleep 600'], stdout=-1)\n"
        "    inside.stdout.readline()\n"
        "    print(world.config_path('isp').parent.parent, flush=True); time.sleep(600)"
    )
    argv, mounts = [sys.executable, "-c", program], Path("/proc/self/mountinfo").read_text()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=IN_CHECKOUT, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        serving, there = keepers(folder), inhabitants(folder)
        process.kill()
    assert len(serving) == 5
    assert len(there) > 5  # the program that runs inside too
    assert wait_until_gone(folder) == []
    deadline = time.monotonic() + _PROMPT_SECONDS
    while left := [one for one, when in there.items() if began(one) == when]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
    assert not folder.exists()
    assert Path("/proc/self/mountinfo").read_text() == mounts


@contextmanager
def zoo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the zoo with `folder` as its place; yield the process when its first world is there."""
    argv = [sys.executable, "-m", "lab.zoo", *arguments, "--output", str(folder / "record")]
    (folder / "own").mkdir()
    environment = IN_CHECKOUT | {"TMPDIR": str(folder / "own")}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + _PROMPT_SECONDS
            while not keepers(folder):
                assert time.monotonic() < deadline, "no world began"
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def test_the_zoo_leaves_nothing_when_it_is_killed(tmp_path: Path) -> None:
    with zoo(tmp_path, "plain") as process:
        process.kill()
    assert wait_until_gone(tmp_path) == []
    deadline = time.monotonic() + _PROMPT_SECONDS
    while (left := list((tmp_path / "own").iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def test_the_zoo_begins_no_more_worlds_when_it_is_stopped(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    many = ("dns-instead-*", "--jobs", "12", "--tier", "probing", "--into", str(kept))
    with zoo(tmp_path, *many) as process:
        process.terminate()
        assert process.wait(timeout=_PROMPT_SECONDS) == 130
    assert not kept.exists()  # a world that was ended has no verdict to be kept
    assert wait_until_gone(tmp_path) == []


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "lab", *arguments]
    return subprocess.run(
        argv, capture_output=True, text=True, env=IN_CHECKOUT, timeout=30, check=False
    )


def test_the_command_runs_a_program_inside_and_returns_its_code() -> None:
    show = "import socket, sys; print(socket.gethostbyname('www.iana.org')); sys.exit(9)"
    done = lab("run", "plain", "--seed", "4", "--", sys.executable, "-c", show)
    with World(load_scenario("plain"), seed=4) as world:
        (address,) = world.plan.addresses_of("www.iana.org")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (9, address, "")


def test_the_command_hands_ctrl_c_to_the_program_and_tidies_up() -> None:
    script = "trap 'exit 6' INT; echo $SITEWATCH_CONFIG; while :; do sleep 0.01; done"
    argv = [sys.executable, "-m", "lab", "run", "plain", "--", "sh", "-c", script]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, env=IN_CHECKOUT, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip()).parent.parent
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(_PROMPT_SECONDS) == 6
    assert wait_until_gone(folder) == []
    assert not folder.exists()


def test_the_command_lists_scenarios_and_names_mistakes_in_one_line() -> None:
    listed = lab("list")
    assert listed.returncode == 0
    assert "kazakhstan-2017" in listed.stdout
    for arguments, complaint in (
        (("run", "utopia", "--", "true"), "utopia: no such scenario"),
        (("run", "plain", "--network", "x", "--", "true"), "plain: no network is called 'x'"),
    ):
        done = lab(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith(complaint)
        assert done.stderr.count("\n") == 1
