"""The middlebox: carries packets between the namespaces, hop by hop, and lets the censors judge.

One process with one epoll loop over the devices. Both ends are real kernels, so that whatever
a censor does is met by real TCP.
"""

from __future__ import annotations

import contextlib
import heapq
import select
import socket
import time

from lab import censor as censors
from lab.clock import ScenarioClock
from lab.described import Down
from lab.devices import Device
from lab.dpi import Reader, Seen
from lab.plan import ABROAD, SERVERS, Plan, Route
from lab.wire import (
    ACK,
    RST,
    SYN,
    TCP,
    Packet,
    address_bytes,
    is_icmp_error,
    parse,
    tcp_segment,
    time_exceeded,
    with_lower_ttl,
)

_AT_ONCE = 32  # packets read from one device before the others have their turn


class _Side:
    """One client network (or ABROAD) as the path sees it: its censors, troubles and routes."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.name = name
        known = plan.networks.get(name)
        self.latency = known.latency if known else 0.0
        self.rules = censors.judges(plan, name) if known else []
        self.outages = [one for one in plan.scenario.outages if one.network == name]
        self.reader = Reader()
        self._plan = plan
        self._routes: dict[bytes, Route] = {}

    def route(self, address: bytes) -> Route:
        """Return the way to an address, worked out once."""
        found = self._routes.get(address)
        if found is None:
            found = self._plan.route(self.name, socket.inet_ntoa(address))
            self._routes[address] = found
        return found


class Path:
    """Carries packets between the namespaces, each of which has a device."""

    def __init__(self, plan: Plan, devices: dict[str, Device], clock: ScenarioClock) -> None:
        self._devices = devices
        self._clock = clock
        self._owner = {
            address_bytes(address): owner for address, owner in plan.namespace_of().items()
        }
        self._sides = {name: _Side(name, plan) for name in (*plan.networks, ABROAD)}
        self._downs = _downs(plan)
        self._later: list[tuple[float, int, Device, bytes]] = []  # due, order, device, packet
        self._order = 0

    def run(self) -> None:
        """Carry packets for ever."""
        poll = select.epoll()
        names = {device.fileno(): name for name, device in self._devices.items()}
        for descriptor in names:
            poll.register(descriptor, select.EPOLLIN)
        while True:
            for descriptor, _ in poll.poll(self._wait()):
                self._read(names[descriptor])
            self._deliver_due()

    def _read(self, name: str) -> None:
        device = self._devices[name]
        with contextlib.suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                packet = parse(device.read())
                if packet is not None:
                    self._carry(packet, name)

    def _wait(self) -> float | None:
        return max(0.0, self._later[0][0] - time.monotonic()) if self._later else None

    def _deliver_due(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            _, _, device, data = heapq.heappop(self._later)
            _write(device, data)

    def _send(self, namespace: str, data: bytes, delay: float) -> None:
        if delay <= 0:
            _write(self._devices[namespace], data)
            return
        self._order += 1
        due = time.monotonic() + delay
        heapq.heappush(self._later, (due, self._order, self._devices[namespace], data))

    # --- one packet ---------------------------------------------------------------------------

    def _carry(self, packet: Packet, origin: str) -> None:
        """Take one packet from the namespace `origin` as far as it comes."""
        owner = self._owner.get(packet.destination)
        if self._owner.get(packet.source) != origin or owner is None or owner == origin:
            return  # a forged source, or nobody's address
        now = self._clock.now()
        inward = owner not in (SERVERS, ABROAD) or origin == SERVERS
        side = self._sides[owner if inward else origin]
        if any(outage.active(now) for outage in side.outages):
            return
        if inward:
            self._carry_in(packet, side, now)
        else:
            self._carry_out(packet, side, owner, now)

    def _carry_out(self, packet: Packet, side: _Side, owner: str, now: float) -> None:
        """Take a packet from a client network or abroad towards a server."""
        route = side.route(packet.destination)
        if side.rules and packet.ttl >= route.censor:
            seen = side.reader.read(packet)
            if not self._passes(seen, packet, side, route, owner, now):
                return
        if packet.ttl <= len(route.routers):
            self._exceed(packet, side, route)
            return
        how = self._how_down(packet.destination, now)
        if how is not None:
            self._refuse(packet, side, route, how)
            return
        self._send(owner, with_lower_ttl(packet.data, len(route.routers)), side.latency)

    def _carry_in(self, packet: Packet, side: _Side, now: float) -> None:
        """Take a server's packet towards a client network or abroad."""
        if self._how_down(packet.source, now) is not None:
            return
        route = side.route(packet.source)
        owner = self._owner[packet.source]
        if side.rules and not self._passes(None, packet, side, route, owner, now):
            return
        if packet.ttl > len(route.routers):
            self._send(side.name, with_lower_ttl(packet.data, len(route.routers)), side.latency)

    def _passes(
        self,
        seen: Seen | None,
        packet: Packet,
        side: _Side,
        route: Route,
        owner: str,
        now: float,
    ) -> bool:
        """Let every active rule judge; send what they forge; tell whether the packet goes on."""
        for rule, judge in side.rules:
            if not rule.active(now):
                continue
            decision = judge(seen, packet, now)
            share = route.censor / (len(route.routers) + 1)
            for forged in decision.to_client:
                nearer = with_lower_ttl(forged, route.censor - 1)
                self._send(side.name, nearer, 2 * share * side.latency)
            for forged in decision.to_server:
                hops = len(route.routers) - route.censor + 1
                self._send(owner, with_lower_ttl(forged, hops), side.latency)
            if not decision.passes:
                return False
        return True

    def _exceed(self, packet: Packet, side: _Side, route: Route) -> None:
        """Let the router at which the TTL ran out say so."""
        if packet.ttl == 0 or is_icmp_error(packet):
            return
        router = address_bytes(route.routers[packet.ttl - 1])
        answer = time_exceeded(router, packet, 255 - (packet.ttl - 1))
        share = packet.ttl / (len(route.routers) + 1)
        self._send(side.name, answer, 2 * share * side.latency)

    # --- hosts that are down --------------------------------------------------------------------

    def _how_down(self, address: bytes, now: float) -> str | None:
        return next((down.how for down in self._downs.get(address, ()) if down.active(now)), None)

    def _refuse(self, packet: Packet, side: _Side, route: Route, how: str) -> None:
        """Answer in the name of a host that is down: a kernel's reset, or nothing at all."""
        if how != "refuse" or packet.protocol != TCP or packet.flags & RST:
            return
        server = (packet.destination, packet.destination_port)
        client = (packet.source, packet.source_port)
        after = packet.sequence + len(packet.payload) + (1 if packet.flags & SYN else 0)
        ttl = 64 - len(route.routers)
        reset = tcp_segment(server, client, (packet.acknowledgement, after), RST | ACK, ttl)
        self._send(side.name, reset, 2 * side.latency)


def _downs(plan: Plan) -> dict[bytes, list[Down]]:
    """Return what is down at each address, the dead helpers among it."""
    found: dict[bytes, list[Down]] = {}
    for down in plan.scenario.downs:
        for host in down.hosts:
            for address in plan.addresses_of(host):
                found.setdefault(address_bytes(address), []).append(down)
    for helper in plan.helpers:
        if helper.dead:
            found[address_bytes(helper.address)] = [Down(hosts=(helper.host,))]
    return found


def _write(device: Device, data: bytes) -> None:
    """Hand a packet to a kernel; a full queue loses it, as on any network."""
    with contextlib.suppress(BlockingIOError):
        device.write(data)
