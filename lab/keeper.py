"""The process that makes a world and takes it away again.

It stands between the program that wants a world and the world's processes, whose process 1 it
starts. The program holds the other end of a socket: when that closes, for whatever reason, process
1 ends, the kernel ends all others with it, and their namespaces go.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import select
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab import netlink
from lab.clock import ScenarioClock
from lab.commands import Command, commands_of, run_command
from lab.devices import Device, open_device
from lab.middle import serve_middle
from lab.namespaces import (
    NEW_NAMESPACES,
    NEW_NETWORK,
    Missing,
    become_lab,
    bind,
    die_with_parent,
    enter,
    mount,
    unshare,
)
from lab.order import Order, read_order
from lab.path import Path as PacketPath
from lab.plan import ABROAD, SERVERS, Middle, Plan, PlannedNetwork, make_plan
from lab.services import serve_everything, serve_helpers

_DEVICE = "net0"
_TUNNEL = "wg0"  # as VPNs call theirs
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class _Namespace:
    """One network namespace: descriptors of itself and its mounts, and its device."""

    network: int
    mounts: int
    device: Device


def main() -> None:
    """Make the world of an order, keep it until the socket closes, tidy up."""
    control = socket.socket(fileno=int(sys.argv[1]))
    order = read_order(Path(sys.argv[2]))
    try:
        become_lab()
    except Missing as missing:
        control.send(json.dumps({"missing": str(missing)}).encode())
        return
    child = os.fork()
    if child == 0:
        _as_child(lambda: _be_first(control, order))
    control.close()
    os.waitpid(child, 0)
    if order.temporary:
        shutil.rmtree(order.folder, ignore_errors=True)


def _as_child(work: Callable[[], None]) -> None:
    """Do a forked child's work and end; what goes wrong is printed."""
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _be_first(control: socket.socket, order: Order) -> None:
    """Be process 1 of a world: set it up, start its processes, wait for the end."""
    die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans that fall to process 1 vanish
    clock, begin = ScenarioClock(), order.scenario.true_time()
    clock.set(begin.timestamp())
    plan = make_plan(order.scenario.beginning_at(begin), order.seed)
    try:
        namespaces = _make_namespaces(plan, order)
    except (Missing, OSError) as error:
        with contextlib.suppress(BrokenPipeError):
            control.send(json.dumps({"missing": str(error)}).encode())
        return
    children = _start(plan, order, namespaces, clock)
    if children is None:
        return
    clients = [space for name in plan.networks for space in [namespaces[name]]]
    own = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("user", "pid")]
    descriptors = [*own, *(fd for space in clients for fd in (space.network, space.mounts))]
    with contextlib.suppress(BrokenPipeError):  # whoever wanted the world has gone
        socket.send_fds(control, [json.dumps({"ready": list(plan.networks)}).encode()], descriptors)
        _wait_for_end(control, children, clock)


def _wait_for_end(control: socket.socket, children: dict[int, str], clock: ScenarioClock) -> None:
    """Set the clock when asked; return when the socket closes or a process of ours ends."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    for child in children:
        poll.register(child, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in children:
                print(f"lab: {children[descriptor]} ended unexpectedly", file=sys.stderr)
                return
            message = control.recv(4096)
            if not message:
                return
            clock.set(json.loads(message)["time"])
            control.send(b"{}")


# --- the world's processes ----------------------------------------------------------------------


def _start(
    plan: Plan, order: Order, namespaces: dict[str, _Namespace], clock: ScenarioClock
) -> dict[int, str] | None:
    """Start path, servers and helpers; return a descriptor of each, None if one fails."""
    certificates = {host: Path(path) for host, path in order.certificates.items()}
    devices = {name: space.device for name, space in namespaces.items()}
    reading, writing = os.pipe()

    def ready() -> None:
        os.write(writing, b"r")
        os.close(writing)

    def run_path() -> None:
        ready()
        PacketPath(plan, devices, clock).run()

    def run_servers() -> None:
        enter(namespaces[SERVERS].network)
        asyncio.run(serve_everything(plan, certificates, clock, ready))

    def run_helpers() -> None:
        enter(namespaces[ABROAD].network)
        asyncio.run(serve_helpers(plan, certificates, Path(order.ca), clock, ready))

    def run_middle(middle: Middle) -> None:
        enter(namespaces[middle.name].network)
        folder = Path(order.folder) / middle.name
        asyncio.run(serve_middle(plan, middle, certificates, folder, clock, ready))

    def run_program(command: Command) -> None:
        space = namespaces[command.namespace]
        enter(space.network)
        enter(space.mounts)
        os.chdir(order.folder)
        log = Path(order.folder) / f"{command.host}.log"
        try:
            run_command(command, certificates, Path(order.ca), log, ready)
        except OSError as error:
            print(f"lab: the program at {command.host}: {error}", file=sys.stderr)

    gc.freeze()  # what is there already stays shared between the processes
    # It warns of writing to whoever has gone, which is an everyday thing here.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    children = {}
    works = {"path": run_path, "servers": run_servers, "helpers": run_helpers}
    works |= {middle.name: partial(run_middle, middle) for middle in plan.middles}
    works |= {one.host: partial(run_program, one) for one in commands_of(plan)}
    for name, work in works.items():
        child = os.fork()
        if child == 0:
            os.close(reading)
            _as_child(work)
        children[os.pidfd_open(child)] = f"the process of its {name}"
    os.close(writing)
    started = 0
    while started < len(children) and (said := os.read(reading, 16)):
        started += len(said)
    os.close(reading)
    return children if started == len(children) else None


# --- namespaces ---------------------------------------------------------------------------------


def _make_namespaces(plan: Plan, order: Order) -> dict[str, _Namespace]:
    """Make a network namespace for the servers, for abroad and for each client network."""
    outer = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    made = {
        SERVERS: _make_namespace(plan.server_addresses(), order, giants=True),
        ABROAD: _make_namespace(plan.helper_addresses(), order),
    }
    if commands_of(plan):
        for name in (SERVERS, ABROAD):
            _give_resolver(made[name], Path(order.folder))
    for middle in plan.middles:
        made[middle.name] = _make_namespace([middle.address], order)
        netlink.add_local_everything(_DEVICE)
    for name, network in plan.networks.items():
        enter(outer)
        device = _TUNNEL if network.described.tunnel else _DEVICE
        made[name] = _make_namespace(network.own_addresses(), order, device)
        _mount_files(network, order)
    os.close(outer)
    return made


def _give_resolver(space: _Namespace, folder: Path) -> None:
    """Let programs that stand at hosts of the world look up its names."""
    enter(space.network)
    enter(space.mounts)
    own = folder / "resolv.conf"
    own.write_text("nameserver 8.8.8.8\n")
    bind(own, Path("/etc/resolv.conf"))


def _make_namespace(
    addresses: list[str], order: Order, device_name: str = _DEVICE, *, giants: bool = False
) -> _Namespace:
    unshare(NEW_NETWORK | NEW_NAMESPACES)
    by_family = {
        six: [address for address in addresses if (":" in address) is six] for six in (False, True)
    }
    if not by_family[True]:
        # Where the switch is read-only, packets of IPv6 find no address to come from.
        with contextlib.suppress(OSError):
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    netlink.set_up("lo")
    device = open_device(device_name, packet_sockets=order.packet_sockets, giants=giants)
    for address in addresses:
        netlink.add_address(device_name, address)
    netlink.set_up(device_name)
    for family in filter(None, by_family.values()):
        netlink.add_default_route(device_name, family[0])
    network, mounts = (os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt"))
    return _Namespace(network, mounts, device)


def _mount_files(network: PlannedNetwork, order: Order) -> None:
    """Lay the client's own files over the machine's."""
    own = Path(order.folder) / network.name
    for name in ("resolv.conf", "hosts", "nsswitch.conf"):
        target = Path("/etc") / name
        if target.exists() or name == "resolv.conf":
            bind(own / name, target)
    for bundle in filter(Path.exists, map(Path, _SYSTEM_BUNDLES)):
        bind(own / "roots.pem", bundle)
    if Path("/run/nscd").is_dir():  # a cache of names on the machine knows nothing of the lab
        mount("none", "/run/nscd", "tmpfs", 0)
    with contextlib.suppress(OSError):  # nicer for `ps`, but forbidden in some containers
        mount("proc", "/proc", "proc", 0)


if __name__ == "__main__":
    main()
