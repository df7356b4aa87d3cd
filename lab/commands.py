"""Any program as a server of the lab: started in its namespace, awaited until it listens."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.plan import ABROAD, SERVERS, Plan

_DEFAULT_PORTS = (443,)
_PATIENCE_SECONDS = 15.0
_LOOK_AGAIN_SECONDS = 0.02


@dataclass(frozen=True)
class Command:
    """A program that stands at a host. In its words {address}, {certificate}, {key} and {ca} are
    replaced; certificate and key are one PEM file.
    """

    host: str
    namespace: str
    words: tuple[str, ...]
    address: str
    ports: tuple[int, ...]


def commands_of(plan: Plan) -> list[Command]:
    """Return the programs that stand at hosts of a world."""
    found = []
    for planned in plan.sites.values():
        site = planned.site
        if site.command:
            ports = site.ports or _DEFAULT_PORTS
            found.append(Command(site.host, SERVERS, site.command, planned.addresses[0], ports))
    for helper in plan.helpers:
        described = helper.described
        if described.command:
            ports = described.ports or _DEFAULT_PORTS
            found.append(Command(helper.host, ABROAD, described.command, helper.address, ports))
    return found


def run_command(
    command: Command,
    certificates: Mapping[str, Path],
    ca: Path,
    log: Path,
    ready: Callable[[], None],
) -> None:
    """Run a program until it ends; `ready` is called once it accepts connections.

    What it prints goes to the file `log`. Raises OSError where it cannot be started, TimeoutError
    where it does not listen in time.
    """
    certificate = str(certificates.get(command.host, ""))
    places = {
        "{address}": command.address,
        "{certificate}": certificate,
        "{key}": certificate,
        "{ca}": str(ca),
    }
    with (
        log.open("wb") as output,
        subprocess.Popen(
            _filled(command.words, places),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"SSL_CERT_FILE": str(ca)},
        ) as process,
    ):
        try:
            _wait_until_listening(process, command)
        except TimeoutError:
            process.kill()
            raise
        ready()


def _filled(words: Sequence[str], places: Mapping[str, str]) -> list[str]:
    filled = []
    for word in words:
        for place, value in places.items():
            word = word.replace(place, value)
        filled.append(word)
    return filled


def _wait_until_listening(process: subprocess.Popen[bytes], command: Command) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for port in command.ports:
        while not _listens(command.address, port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"{command.words[0]} does not listen on port {port}")
            time.sleep(_LOOK_AGAIN_SECONDS)


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1.0).close()
    except OSError:
        return False
    return True
