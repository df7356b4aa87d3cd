"""A world: the simulated internet of a scenario, and programs run inside it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.configuration import write_client_files
from lab.forging import Forger
from lab.order import Order, write_order
from lab.pki import Leaf, Pki, short_lived, valid_for
from lab.plan import Plan, make_plan
from lab.scenario import Scenario

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_LARGEST_MESSAGE = 65536
_HERE = Path(__file__).resolve().parent


class LabUnavailable(Exception):
    """This machine cannot run the lab; the message is one line saying what is missing."""


def check_available() -> None:
    """Try what a world needs in a throw-away process. Raises LabUnavailable."""
    program = [sys.executable, "-I", "-S", str(_HERE / "check.py")]
    tried = subprocess.run(program, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        lines = (tried.stdout or tried.stderr).strip().splitlines() or ["it cannot start"]
        raise LabUnavailable(f"the lab is not available: {lines[-1]}")


class World:
    """A simulated internet; a context manager. Nothing of it outlives the `with` block.

    `pki` lets several worlds share certificates; `folder` receives the clients' files and is then
    the caller's to remove. Packets go by TUN devices, or by veth pairs and packet sockets where TUN
    is forbidden or `packet_sockets` is set.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int = 0,
        pki: Pki | None = None,
        folder: Path | None = None,
        packet_sockets: bool = False,
    ) -> None:
        self.scenario = scenario
        self.plan: Plan = make_plan(scenario, seed)
        self.clients: Sequence[str] = tuple(self.plan.networks)
        self._pki = pki
        self._wanted_folder = folder
        self._packet_sockets = packet_sockets
        self._ca = Path()
        self._folder: Path | None = None
        self._control: socket.socket | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._namespaces: list[int] = []
        self._ended = False

    # --- beginning and end ----------------------------------------------------------------------

    def __enter__(self) -> World:
        if self._wanted_folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="sitewatch-lab-"))
        else:
            self._folder = self._wanted_folder.resolve()
            self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start(self._folder)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self, folder: Path) -> None:
        """Write all files, start the keeper and wait until every server listens."""
        pki = self._pki or Pki.create(folder / "pki")
        self._ca = pki.ca.resolve()
        for name, network in self.plan.networks.items():
            ca = pki.old_ca.resolve() if network.described.old_roots else self._ca
            own = _antivirus_roots(self.plan, name, folder)
            write_client_files(folder / name, self.scenario, network, ca, own)
        order = Order(
            scenario=self.scenario,
            seed=self.plan.seed,
            folder=str(folder),
            temporary=self._wanted_folder is None,
            ca=str(self._ca),
            certificates=_certificates(self.plan, pki),
            packet_sockets=self._packet_sockets,
        )
        write_order(folder / "order", order)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_START_SECONDS)
        with theirs:
            if self._ended:
                raise LabUnavailable("the world was ended before it began")
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "lab.keeper", str(theirs.fileno()), str(folder / "order")],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(_HERE.parent), *sys.path])},
                start_new_session=True,  # Ctrl-C is for the program inside, not for its world
            )
        answer, namespaces = _receive(self._control, 2 + 2 * len(self.clients))
        self._namespaces = namespaces
        if "ready" not in answer:
            raise LabUnavailable(f"the lab is not available: {answer.get('missing', 'it ended')}")

    def end(self) -> None:
        """End the world and its programs at once: for other threads, also while it starts.

        What waits for the world then fails; leaving the context tidies up as always.
        """
        self._ended = True
        if self._control is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                self._control.shutdown(socket.SHUT_RDWR)

    def _stop(self) -> None:
        """End every process of the world and remove its files; can be called twice."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._keeper is not None:
            try:
                self._keeper.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._keeper.kill()
                self._keeper.wait()
            self._keeper = None
        for namespace in self._namespaces:
            os.close(namespace)
        self._namespaces = []
        if self._folder is not None:
            (self._folder / "order").unlink(missing_ok=True)
            if self._wanted_folder is None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # --- programs inside ------------------------------------------------------------------------

    def config_path(self, client: str) -> Path:
        """Return the configuration file made for a client."""
        return self._client_folder(client) / "sitewatch.toml"

    def environment(self, client: str) -> dict[str, str]:
        """Return the variables that programs of a client are given beside the caller's own."""
        return {
            "SITEWATCH_CONFIG": str(self.config_path(client)),
            "SSL_CERT_FILE": str(self._roots(client)),
            "SITEWATCH_CONSENT": "yes",
        }

    def popen(
        self, client: str, argv: Sequence[str], **popen_arguments: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program on a client's machine; arguments are those of subprocess.Popen.

        Signals sent to the process reach the program and its exit status is the program's own
        (127 if it could not be started). Without `env` the caller's environment and
        `environment(client)` are used.
        """
        if len(self._namespaces) < 2:
            raise RuntimeError("the world is not running")
        user, processes, *others = self._namespaces
        at = 2 * self.clients.index(client)
        needed = [user, processes, *others[at : at + 2]]
        popen_arguments.setdefault("env", os.environ | self.environment(client))
        popen_arguments["pass_fds"] = [*needed, *popen_arguments.get("pass_fds", ())]
        enter = [sys.executable, "-I", "-S", str(_HERE / "enter.py"), *map(str, needed)]
        return subprocess.Popen([*enter, *argv], **popen_arguments)

    def set_time(self, seconds: float) -> None:
        """Make it `seconds` since the epoch in the scenario; from then it runs with real time."""
        if self._control is None:
            raise RuntimeError("the world is not running")
        try:
            self._control.send(json.dumps({"time": seconds}).encode())
            answered = self._control.recv(_LARGEST_MESSAGE)
        except OSError as error:
            raise RuntimeError(f"the world has ended: {error}") from error
        if not answered:
            raise RuntimeError("the world has ended")

    def _roots(self, client: str) -> Path:
        """Return the root certificates that a client's machine trusts."""
        described = self.plan.networks[client].described
        own = described.antivirus or described.old_roots
        return self._client_folder(client) / "roots.pem" if own else self._ca

    def _client_folder(self, client: str) -> Path:
        if self._folder is None:
            raise RuntimeError("the world is not running")
        if client not in self.clients:
            raise ValueError(f"no client network is called {client!r}")
        return self._folder / client


def _antivirus_roots(plan: Plan, network: str, folder: Path) -> list[Path]:
    """Make the authority of the antivirus on a network's client; return its root, if any."""
    now = datetime.now(UTC)
    return [
        Forger(plan.networks[network].described.antivirus, folder / middle.name, now=now).root
        for middle in plan.middles
        if middle.purpose == "antivirus" and middle.network == network
    ]


def _certificates(plan: Plan, pki: Pki) -> dict[str, str]:
    """Return the PEM file of every host that serves TLS."""
    now, usual = plan.scenario.true_time(), Leaf(()).valid
    if plan.scenario.clock_ahead:
        usual = short_lived(now)  # so that a wrong clock takes them for invalid
    leaves = {}
    for planned in plan.sites.values():
        site = planned.site
        if site.https:
            valid = valid_for(site.certificate, now) or usual
            leaves[site.host] = Leaf(planned.names, site.certificate, site.newer_root, valid)
    for address, host in plan.public_resolvers().items():
        names = leaves[host].names if host in leaves else (host,)
        leaves[host] = Leaf((*names, address), valid=usual)
    for helper in plan.helpers:
        leaves[helper.host] = Leaf((helper.host,), valid=usual)
    return {host: str(pki.leaf(leaf).resolve()) for host, leaf in leaves.items()}


def _receive(control: socket.socket, descriptors: int) -> tuple[dict[str, Any], list[int]]:
    """Receive the keeper's answer; {} when it ended or kept silent."""
    with contextlib.suppress(OSError):
        data, received, _, _ = socket.recv_fds(control, _LARGEST_MESSAGE, descriptors)
        return (json.loads(data) if data else {}), list(received)
    return {}, []
