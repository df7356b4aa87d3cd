"""How fast the lab's path is: bytes and new connections per second with 20 rules of censors.

Run it from the checkout:

    python bench/lab.py

It prints one line of JSON: megabytes per second of one download over links with an MTU of 1500,
new connections per second (connect, read until closed, close), seconds of processor time that the
path took for each, and seconds until a world is ready and what it takes when nothing happens.
Exit code 1 says that less than 100 MB/s or 2,000 connections per second were carried.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lab.network import World  # noqa: E402
from lab.scenario import load_scenario  # noqa: E402

BULK_PORT, SHORT_PORT = 9000, 9001
BULK_SECONDS, CONNECTIONS, CLIENTS = 3.0, 12000, 8
WANTED_MEGABYTES, WANTED_CONNECTIONS = 100, 2000
IDLE_SECONDS = 2.0
RULES = ("tls-drop", "tls-reset", "dns-race", "dns-forge", "http-drop", "http-reset", "http-page")

SCENARIO = """
country = "KZ"
title = "The benchmark of the path"
[[networks]]
name = "isp"
asn = 64496
[[sites]]
host = "bench.example"
https = false
command = [{python}, {program}, "serve", "{{address}}"]
ports = [{bulk}, {short}]
"""


def main() -> int:
    """Measure, print, and say by the exit code whether it was fast enough."""
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    if sys.argv[1:2] == ["bulk"]:
        return bulk(sys.argv[2])
    if sys.argv[1:2] == ["connect"]:
        return connect(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.toml"
        path.write_text(scenario())
        begun = time.monotonic()
        with World(load_scenario(path)) as world:
            ready = time.monotonic() - begun
            figures = measure(world) | {"seconds_until_ready": round(ready, 2)}
    print(json.dumps(figures))
    fast = figures["megabytes_per_second"] >= WANTED_MEGABYTES
    return 0 if fast and figures["connections_per_second"] >= WANTED_CONNECTIONS else 1


def scenario() -> str:
    """Return a scenario with 20 rules, none of which meets what is measured."""
    program = json.dumps(str(Path(__file__).resolve()))
    places = {"python": json.dumps(sys.executable), "program": program}
    text = SCENARIO.format(**places, bulk=BULK_PORT, short=SHORT_PORT)
    for number in range(20):
        kind = RULES[number % len(RULES)]
        text += f'[[censors]]\nkind = "{kind}"\nnames = ["blocked-{number}.example"]\n'
    return text


def measure(world: World) -> dict[str, float]:
    """Return the figures of one world."""
    path, address = path_process(), world.plan.sites["bench.example"].addresses[0]
    before = processor_seconds(path)
    time.sleep(IDLE_SECONDS)
    idle = processor_seconds(path) - before
    figures = {"idle_processor_share": round(idle / IDLE_SECONDS, 4)}
    for what, word in (("megabytes", "bulk"), ("connections", "connect")):
        before = processor_seconds(path)
        argv = [sys.executable, __file__, word, address]
        process = world.popen("isp", argv, stdout=subprocess.PIPE)
        output, _ = process.communicate()
        figures[f"{what}_per_second"] = round(float(output), 1)
        figures[f"path_seconds_for_{what}"] = round(processor_seconds(path) - before, 2)
    return figures


def path_process() -> int:
    """Return the process that carries the packets: process 1's first child that is a keeper."""
    keepers = []
    for entry in Path("/proc").iterdir():
        is_ours = entry.name.isdigit() and str(os.getpid()) in ancestors(int(entry.name))
        if is_ours and b"lab.keeper" in (entry / "cmdline").read_bytes():
            keepers.append(int(entry.name))
    return sorted(keepers)[2]  # after the keeper itself and process 1 of the world


def ancestors(process: int) -> list[str]:
    """Return the parents of a process, the nearest first."""
    found = []
    while process > 1:
        try:
            status = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            break
        process = int(status.rpartition(")")[2].split()[1])
        found.append(str(process))
    return found


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- the two ends ---------------------------------------------------------------------------------


def serve(address: str) -> None:
    """Send without end on one port, and close at once what connects to the other."""
    if os.fork() == 0:
        data = bytes(1 << 18)
        with socket.create_server((address, BULK_PORT), backlog=64) as listener:
            while True:
                connection, _ = listener.accept()
                with connection:
                    try:
                        while True:
                            connection.sendall(data)
                    except OSError:  # the client has read enough
                        continue
    with socket.create_server((address, SHORT_PORT), backlog=1024) as listener:
        while True:
            listener.accept()[0].close()


def bulk(address: str) -> int:
    """Download for a while; print megabytes per second."""
    buffer, received = bytearray(1 << 20), 0
    with socket.create_connection((address, BULK_PORT)) as connection:
        begun = time.monotonic()
        while time.monotonic() - begun < BULK_SECONDS:
            received += connection.recv_into(buffer)
        print(received / 1e6 / (time.monotonic() - begun))
    return 0


def connect(address: str) -> int:
    """Connect many times, several at once; print connections per second."""
    begun = time.monotonic()
    children = []
    for _ in range(CLIENTS):
        child = os.fork()
        if child == 0:
            for _ in range(CONNECTIONS // CLIENTS):
                with socket.create_connection((address, SHORT_PORT)) as connection:
                    connection.recv(1)
            os._exit(0)
        children.append(child)
    failed = [child for child in children if os.waitpid(child, 0)[1] != 0]
    print(CONNECTIONS / (time.monotonic() - begun))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
