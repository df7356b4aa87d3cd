"""The middlebox: carries packets between the namespaces, hop by hop, and lets the censors judge.

One process with one epoll loop over the devices. Both ends are real kernels, so that whatever
a censor does is met by real TCP.
"""

from __future__ import annotations

import contextlib
import heapq
import select
import time

from lab.censor_divert import from_port, to_port
from lab.censor_parts import PASS, Decision
from lab.clock import ScenarioClock
from lab.described import Down
from lab.devices import Device
from lab.diversion import REFUSE
from lab.offload import split
from lab.plan import ABROAD, SERVERS, Middle, Plan
from lab.side import Side, Way
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
    too_big,
    unreachable,
    with_lower_ttl,
)

_AT_ONCE = 32  # packets read from one device before the others have their turn
_SHUNNED = {"silence": "swallow", "refuse": "refuse"}  # refuse_how, and what it is like
_HOST_UNREACHABLE = {4: 1, 16: 3}  # code by the bytes of an address


class Path:
    """Carries packets between the namespaces, each of which has a device."""

    def __init__(self, plan: Plan, devices: dict[str, Device], clock: ScenarioClock) -> None:
        self._devices = devices
        self._clock = clock
        self._owner = {
            address_bytes(address): owner for address, owner in plan.namespace_of().items()
        }
        self._networks = frozenset(plan.networks)
        self._sides = {name: Side(name, plan) for name in (*plan.networks, ABROAD)}
        self._middles = {middle.name: middle for middle in plan.middles}
        for middle in plan.middles:
            self._sides[middle.name] = Side(middle.name, plan, middle.network)
        self._counting = {name for name, side in self._sides.items() if side.counts_packets}
        self._downs = _downs(plan)
        self._shunned = _shunned(plan)
        self._later: list[tuple[float, int, str, bytes, bytes]] = []  # due, order, for whom, what
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
            if self._later:
                self._deliver_due()

    def _read(self, name: str) -> None:
        device = self._devices[name]
        with contextlib.suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                packet = parse(*device.read())
                if packet is not None:
                    self._carry(packet, name)

    def _wait(self) -> float | None:
        return max(0.0, self._later[0][0] - time.monotonic()) if self._later else None

    def _deliver_due(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            _, _, namespace, data, offload = heapq.heappop(self._later)
            self._write(namespace, data, offload)

    def _send(self, namespace: str, data: bytes, delay: float, offload: bytes = b"") -> None:
        if delay <= 0:
            self._write(namespace, data, offload)
            return
        self._order += 1
        due = time.monotonic() + delay
        heapq.heappush(self._later, (due, self._order, namespace, data, offload))

    def _write(self, namespace: str, data: bytes, offload: bytes) -> None:
        """Hand a packet to a kernel; a full queue loses it, as on any network."""
        side = self._sides.get(namespace)
        if side is not None and side.edge is not None:
            rewritten = side.edge.inward(data, offload, time.monotonic())
            if rewritten is None:
                return
            data, offload = rewritten
        with contextlib.suppress(BlockingIOError):
            self._devices[namespace].write(data, offload)

    # --- one packet ---------------------------------------------------------------------------

    def _carry(self, packet: Packet, origin: str) -> None:
        """Take one packet from the namespace `origin` as far as it comes."""
        side = self._sides.get(origin)
        if side is not None and side.edge is not None:
            translated = side.edge.outward(packet, time.monotonic())
            if translated is None:
                return
            packet = translated
        now = self._clock.now()
        owner = self._owner.get(packet.destination)
        if origin in self._middles and owner == self._middles[origin].network:
            self._bring_back(packet, self._middles[origin], now)
            return
        if self._owner.get(packet.source) != origin:
            return
        if side is not None and side.diversions and self._divert(packet, side, now):
            return
        if owner is None and origin in self._networks:
            owner = SERVERS  # nobody's address: routers answer on the way, and nobody at its end
        if owner is None or owner == origin:
            return
        inward = owner not in (SERVERS, ABROAD) or origin == SERVERS
        here = self._sides[owner if inward else origin]
        if here.is_out(now) or (here.ipv6_broken and len(packet.source) == 16):
            return
        if not inward:
            self._carry_out(packet, here, owner, now)
        elif packet.offload and here.name in self._counting:
            for piece in split(packet.data, packet.offload):
                cut = parse(*piece)
                if cut is not None:
                    self._carry_in(cut, here, now)
        else:
            self._carry_in(packet, here, now)

    def _carry_out(self, packet: Packet, side: Side, owner: str, now: float) -> None:
        """Take a packet from a client network or abroad towards a server."""
        way = side.way(packet.destination)
        if side.line.mtu and len(packet.data) > side.line.mtu:
            self._say_too_big(packet, way, side, side.name)
            return
        delay = self._delay(packet, side, inward=False)
        if delay is None:
            return
        port = self._judge(packet, side, way, owner, now, outward=True) if side.has_rules else 0
        if port is None:
            return
        if packet.ttl <= way.hops:
            self._exceed(packet, side, way)
            return
        if self._downs or self._shunned:
            how = self._how_down(packet.source, packet.destination, now)
            if how is not None:
                self._refuse(packet, side, way, how)
                return
        data = to_port(packet, port) if port else packet.data
        self._send(owner, with_lower_ttl(data, way.hops), delay, packet.offload)

    def _carry_in(self, packet: Packet, side: Side, now: float) -> None:
        """Take a server's packet towards a client network or abroad."""
        troubled = self._downs or self._shunned
        if troubled and self._how_down(packet.destination, packet.source, now) is not None:
            return
        if packet.source_port in side.true_ports:
            known = side.true_ports[packet.source_port]
            packet = packet._replace(data=from_port(packet, known), source_port=known)
        way = side.way(packet.source)
        owner = self._owner[packet.source]
        if side.line.mtu and len(packet.data) > side.line.mtu:
            self._say_too_big(packet, way, side, owner)
            return
        if side.has_rules and self._judge(packet, side, way, owner, now, outward=False) is None:
            return
        if packet.ttl > way.hops:
            delay = self._delay(packet, side, inward=True)
            if delay is not None:
                lower = with_lower_ttl(packet.data, way.hops)
                self._send(side.name, lower, delay, packet.offload)

    def _delay(self, packet: Packet, side: Side, *, inward: bool) -> float | None:
        """Return how long a packet takes on the client's line; None where it is lost there."""
        direction = side.line.inward if inward else side.line.outward
        if side.line.is_plain:
            return direction.latency
        return direction.delay(len(packet.data), time.monotonic())

    def _judge(
        self, packet: Packet, side: Side, way: Way, owner: str, now: float, *, outward: bool
    ) -> int | None:
        """Let every active rule judge and send what they forge.

        Returns None where the packet goes no further, else the port to which it was diverted, 0
        where it was not.
        """
        boxes = side.boxes(now)
        for box, judges in boxes if outward else reversed(boxes):
            hop = min(box.hop, way.hops) if box.hop else way.censor
            if not 1 <= hop <= way.hops or (outward and packet.ttl < hop):
                continue
            seen = box.reader.read(packet) if outward else None
            for judge in judges:
                decision = judge(seen, packet, now)
                if decision is PASS:
                    continue
                self._forge(decision, side, way, owner, hop)
                if not decision.passes:
                    return None
                if decision.port:
                    return decision.port
        return 0

    def _forge(self, decision: Decision, side: Side, way: Way, owner: str, hop: int) -> None:
        """Send what a box at a hop says in the names of others."""
        for forged in decision.to_client:
            delay = self._there_and_back(side, hop / (way.hops + 1)) + decision.late
            self._send(side.name, with_lower_ttl(forged, hop - 1), delay)
        for forged in decision.to_server:
            further = with_lower_ttl(forged, way.hops - hop + 1)
            self._send(owner, further, side.line.outward.latency)

    # --- boxes that answer themselves -----------------------------------------------------------

    def _divert(self, packet: Packet, side: Side, now: float) -> bool:
        """Tell whether a client's packet goes no further than a box on the way; take it there."""
        where = next(filter(None, (divert(packet, now) for divert in side.diversions)), "")
        if where in self._middles:
            self.send_to_middle(packet, side, where, now)
        elif where == REFUSE:
            self._refuse(packet, side, side.way(packet.destination), "refuse")
        return bool(where)

    def send_to_middle(self, packet: Packet, side: Side, name: str, now: float) -> None:
        """Take a client's packet to a box, which answers in the name of any address."""
        middle, delay = self._middles[name], self._delay(packet, side, inward=False)
        if delay is None or side.is_out(now):
            return
        if packet.ttl <= middle.hop:
            self._exceed(packet, side, side.way(packet.destination))
            return
        self._send(name, with_lower_ttl(packet.data, middle.hop), delay, packet.offload)

    def _bring_back(self, packet: Packet, middle: Middle, now: float) -> None:
        """Bring what a box says to its client, whoever's name it stands in."""
        side = self._sides[middle.network]
        delay = self._delay(packet, side, inward=True)
        if delay is not None and not side.is_out(now) and packet.ttl > middle.hop:
            data = with_lower_ttl(packet.data, middle.hop)
            self._send(side.name, data, delay, packet.offload)

    @staticmethod
    def _there_and_back(side: Side, share: float) -> float:
        """Return the seconds until somebody on the way has answered the client."""
        return share * (side.line.outward.latency + side.line.inward.latency)

    # --- what routers and hosts that are down say ----------------------------------------------

    def _exceed(self, packet: Packet, side: Side, way: Way) -> None:
        """Let the router at which the TTL ran out say so."""
        if packet.ttl == 0 or packet.ttl in side.silent_hops or is_icmp_error(packet):
            return
        answer = time_exceeded(way.routers[packet.ttl - 1], packet, 255 - (packet.ttl - 1))
        delay = self._there_and_back(side, packet.ttl / (way.hops + 1))
        self._send(side.name, answer, delay)

    def _say_too_big(self, packet: Packet, way: Way, side: Side, sender: str) -> None:
        """Let the router before the narrow link say so, unless it keeps silent."""
        if side.line.mtu_silent or is_icmp_error(packet):
            return
        # The narrow link is the client's own: its first router stands at the end of either way.
        away = 1 if sender == side.name else way.hops
        answer = too_big(way.routers[0], packet, 255 - away, side.line.mtu)
        self._send(sender, answer, 0 if sender == side.name else 2 * side.line.inward.latency)

    def _how_down(self, client: bytes, server: bytes, now: float) -> str | None:
        """Return in which manner a server is not there for a client; None where it is."""
        shunned = self._shunned.get((client, server))
        downs = self._downs.get(server, ())
        return shunned or next((down.how for down in downs if down.active(now)), None)

    def _refuse(self, packet: Packet, side: Side, way: Way, how: str) -> None:
        """Answer for a host that is down: its reset, its last router's word, or nothing at all."""
        server = (packet.destination, packet.destination_port)
        client = (packet.source, packet.source_port)
        after = packet.sequence + len(packet.payload) + (1 if packet.flags & SYN else 0)
        if how == "refuse" and packet.protocol == TCP and not packet.flags & RST:
            numbers = (packet.acknowledgement, after)
            answer = tcp_segment(server, client, numbers, RST | ACK, 64 - way.hops)
        elif how == "unreachable" and not is_icmp_error(packet):
            code = _HOST_UNREACHABLE[len(packet.source)]
            answer = unreachable(way.routers[-1], packet, 255 - way.hops, code)
        else:
            return
        self._send(side.name, answer, self._there_and_back(side, 1.0))


def _downs(plan: Plan) -> dict[bytes, list[Down]]:
    """Return what is down at each address, the dead helpers and dead addresses among it."""
    found: dict[bytes, list[Down]] = {}
    for down in plan.scenario.downs:
        if down.how in ("nxdomain", "servfail"):
            continue  # the name system says it
        for host in down.hosts:
            for address in plan.everywhere(host):
                found.setdefault(address_bytes(address), []).append(down)
    always = [
        address for helper in plan.helpers if helper.described.dead for address in helper.everywhere
    ]
    for planned in plan.sites.values():
        if planned.site.ipv6 == "dead":
            always += planned.addresses6
    for address in always:
        found[address_bytes(address)] = [Down(hosts=())]
    return found


def _shunned(plan: Plan) -> dict[tuple[bytes, bytes], str]:
    """Return how servers that keep out a country treat its packets, by client and server."""
    clients = {
        address: network.country
        for network in plan.networks.values()
        for address in (network.client, network.client6)
        if address
    }
    for helper in plan.helpers:
        clients |= dict.fromkeys(helper.everywhere, helper.country)
    return {
        (address_bytes(client), address_bytes(address)): _SHUNNED[planned.site.refuse_how]
        for planned in plan.sites.values()
        if planned.site.refuse_how in _SHUNNED
        for address in planned.everywhere
        for client, country in clients.items()
        if country in planned.site.refuse_countries
    }
