"""One client network as the path sees it: its line, censors, troubles and routes."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from lab import censor as censors
from lab.censor_divert import true_ports
from lab.described import Network
from lab.diversion import diversions
from lab.edge import edge_of
from lab.line import Line
from lab.plan import Plan
from lab.wire import address_bytes, address_text

_FRESH_SECONDS = 0.1  # for which it stays known which rules and outages hold
_NOBODY = Network(name="", asn=0)


class Way(NamedTuple):
    """The way to an address, ready for use."""

    routers: tuple[bytes, ...]  # nearest first
    hops: int
    censor: int  # the censor's box stands before this router, counted from 1
    share: float  # of the latency that lies before the censor's box


class Side:
    """Where packets of one namespace begin and end.

    `network` is the client network through which they pass, where it is not of the same name.
    """

    def __init__(self, name: str, plan: Plan, network: str = "") -> None:
        network = network or name
        known = plan.networks.get(network)
        described = known.described if known else _NOBODY
        self.name = name
        self._network = network
        self.line = Line(described, Random(f"{plan.seed}/line/{name}"))
        self.edge = edge_of(known) if network == name else None
        self.diversions = diversions(plan, name)
        self.silent_hops = frozenset(described.silent_hops)
        self.ipv6_broken = described.ipv6 == "broken"
        self._all_boxes = censors.boxes(plan, network) if known else []
        self.true_ports = true_ports(plan) if self._all_boxes else {}
        self._outages = [one for one in plan.scenario.outages if one.network == network]
        self._plan = plan
        self._ways: dict[bytes, Way] = {}
        self._looked_at = float("-inf")
        self._boxes: list[tuple[censors.Box, list[censors.Judge]]] = []
        self._is_out = False

    @property
    def has_rules(self) -> bool:
        return bool(self._all_boxes)

    @property
    def counts_packets(self) -> bool:
        """Whether giant packets are cut up before they are carried here."""
        return (
            self.line.counts_packets
            or self.edge is not None
            or any(
                rule.kind in censors.COUNTING_KINDS
                for box in self._all_boxes
                for rule, _ in box.judges
            )
        )

    def boxes(self, now: float) -> list[tuple[censors.Box, list[censors.Judge]]]:
        """Return the boxes, the nearest first, with the rules that hold at a scenario's time."""
        self._look(now)
        return self._boxes

    def is_out(self, now: float) -> bool:
        """Tell whether nothing passes at all."""
        self._look(now)
        return self._is_out

    def _look(self, now: float) -> None:
        """Work out again what holds, unless that was done a moment ago."""
        if 0 <= now - self._looked_at < _FRESH_SECONDS:
            return
        self._looked_at = now
        self._boxes = [
            (box, [judge for rule, judge in box.judges if rule.active(now)])
            for box in self._all_boxes
        ]
        self._is_out = any(outage.active(now) for outage in self._outages)

    def way(self, address: bytes) -> Way:
        """Return the way to an address, worked out once."""
        found = self._ways.get(address)
        if found is None:
            route = self._plan.route(self._network, address_text(address))
            routers = tuple(map(address_bytes, route.routers))
            hops = len(routers)
            found = Way(routers, hops, route.censor, route.censor / (hops + 1))
            self._ways[address] = found
        return found
