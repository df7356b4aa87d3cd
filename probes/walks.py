"""Walks: packets with rising times to live, and what each of them meets, without privileges.

A router at which a packet's time ran out says so (ICMP); who answers earlier than the peer sits on
the way; behind who swallows a packet nobody answers any more. The technique of one connection with
one name rests on the kernel's own repetitions: the segment is sent again and again while only its
time to live is raised, so that whoever reads names on the way reads this one once. Walks that carry
no name are in `bare_walks`, those that repeat it in `repeating_walks`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass, field

import msgspec

from probes.errors import NETWORK_ERRORS, failure_of
from probes.sockets import (
    TCP_RTO_MAX_MS,
    hear_icmp_errors,
    icmp_error,
    readable,
    set_ttl,
    tcp_state,
)
from probes.tcp import Connection, connect
from probes.trace import Stage, Stopwatch, Trace
from storage.failures import Failure
from storage.records import Walk, WalkAnswer, WalkHop, WalkMethod

MOST_HOPS = 24
_HOME_PREFIX = 48  # the most that a customer gets of IPv6: his own routers are in it
UNSTORED_HOPS = 2  # the nearest routers would tell where the volunteer is
ENDS_AFTER_SILENCE = 5  # times to live in a row that nobody answers
_REPETITION_MS = 1000  # the longest wait of the kernel before it repeats a segment
_REPETITION_PATIENCE = 3.0  # seconds until a repetition is given up
_POLL = 0.01
_SPARE_CONNECTIONS = 2  # of one walk, for those that time out
_LASTS_LONGER_MS = 2 * MOST_HOPS * _REPETITION_MS  # than any walk: else the kernel gives up first
GOES_ON = frozenset({"router", "silence"})
SLACK = 0.05  # seconds more than a round trip, less than any kernel's first repetition


@dataclass
class Steps:
    """What the times to live met so far, in rising order."""

    trace: Trace
    hops: list[WalkHop] = field(default_factory=list)
    public_from: int | None = None

    def add(self, ttl: int, answer: WalkAnswer, router: str | None, after_us: int) -> None:
        if self.public_from is None and answer == "router" and self._is_beyond_home(router):
            self.public_from = ttl
        asn = self.trace.asn_of(router)
        self.hops.append(WalkHop(ttl=ttl, answer=answer, asn=asn, after_us=after_us))

    def _is_beyond_home(self, router: str | None) -> bool:
        """Tell whether a router has a public address, in IPv6 one outside of the own prefix."""
        if router is None or self.trace.own.is_own(router):
            return False
        address = ipaddress.ip_address(router.split("%")[0])
        if isinstance(address, ipaddress.IPv4Address):
            return address.is_global
        homes = (
            ipaddress.ip_network((own, _HOME_PREFIX), strict=False)
            for own in self.trace.own.public()
            if ":" in own
        )
        return address.is_global and not any(address in home for home in homes)

    def replace_last(self, answer: WalkAnswer, after_us: int) -> None:
        """Note what came late for the last time to live."""
        self.hops[-1] = msgspec.structs.replace(self.hops[-1], answer=answer, after_us=after_us)

    def silent_at_end(self) -> int:
        """Return how many of the last times to live nobody answered."""
        count = 0
        for hop in reversed(self.hops):
            if hop.answer != "silence":
                break
            count += 1
        return count

    def record(
        self,
        stage: Stage,
        method: WalkMethod,
        target: Target,
        failure: Failure | None,
        watch: Stopwatch,
        *,
        round_trip_us: int | None = None,
        open_us: int | None = None,
    ) -> Walk:
        """Append the step of a finished walk; the nearest hops stay out of it."""
        routers = [hop.ttl for hop in self.hops if hop.answer == "router"]
        answered = next((h for h in self.hops if h.answer not in GOES_ON), None)
        silent = self.hops[-self.silent_at_end()].ttl if self.silent_at_end() else None
        walk = Walk(
            purpose="ttl-walk",
            attempt=stage.attempt,
            arm=stage.arm,
            method=method,
            name=target.name,
            address=target.address,
            port=target.port,
            hops=[hop for hop in self.hops if hop.ttl > UNSTORED_HOPS],
            answered_at=answered.ttl if answered else None,
            answer=answered.answer if answered else None,
            answered_after_us=answered.after_us if answered else None,
            silent_from=None if answered else silent,
            last_router=max(routers, default=None),
            public_from=self.public_from,
            round_trip_us=round_trip_us,
            open_us=open_us,
            failure=failure,
            start=watch.start,
            duration_us=watch.microseconds(),
        )
        self.trace.steps.append(walk)
        return walk


@dataclass(frozen=True)
class Target:
    """Where a walk goes, and the name that its packets carry."""

    address: str
    port: int
    name: str | None = None


def answer_of(failure: Failure, sock: socket.socket) -> tuple[WalkAnswer, str | None]:
    """Return what a failure on a socket means for a walk, and which router said it."""
    icmp = icmp_error(sock)
    if icmp is not None and icmp.time_exceeded:
        return "router", icmp.sender
    if icmp is not None:
        return "unreachable", icmp.sender
    if failure in {Failure.CONNECTION_REFUSED, Failure.CONNECTION_RESET}:
        return "reset", None
    if failure in {Failure.HOST_UNREACHABLE, Failure.NETWORK_UNREACHABLE}:
        return "unreachable", None
    return "silence", None


async def heard(sock: socket.socket, seconds: float) -> WalkAnswer:
    """Return what comes back in so many seconds. The error of a router ends nothing here.

    Who only listens on the way lets the packet go on, so that a router's error comes beside what
    he says: that is waited for.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    nothing: WalkAnswer = "silence"
    while True:
        try:
            return "data" if sock.recv(65536, socket.MSG_DONTWAIT) else "closed"
        except BlockingIOError:
            # The waiting is on the network, not on purpose: it follows the loop's own time.
            if not await readable(sock, deadline - loop.time()):
                return nothing
        except OSError as error:
            failure = failure_of(error)
            if failure in {Failure.HOST_UNREACHABLE, Failure.NETWORK_UNREACHABLE}:
                nothing = "router"
                continue
            if failure in {Failure.CONNECTION_RESET, Failure.CONNECTION_REFUSED}:
                return "reset"
            raise


class Opener:
    """Opens the connections of one walk, which alone is recorded.

    Those that time out are tried again from another port, a few times in all: SYNs get lost, and a
    box may still cut the port of an earlier connection, which the kernel is free to use once more.
    """

    def __init__(self, trace: Trace, stage: Stage, target: Target, timeout: float) -> None:
        self._trace, self._stage, self._target = trace, stage, target
        self._timeout = timeout
        self._spare = _SPARE_CONNECTIONS

    async def open(self) -> tuple[Connection, float] | Failure:
        """Return a connection and its round trip in seconds, or why there is none."""
        address, port = self._target.address, self._target.port
        while True:
            opened = await connect(self._trace, self._stage, address, port, self._timeout)
            step = self._trace.steps.pop()
            if opened is not None:
                return opened, step.duration_us / 1e6
            failure = Failure(step.failure or Failure.UNKNOWN)
            if failure != Failure.TIMEOUT or not self._spare:
                return failure
            self._spare -= 1


# --- one connection, one name --------------------------------------------------------------------


def repeats_quickly() -> bool:
    """Tell whether this kernel can be told to repeat segments every second (Linux 6.15)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, _REPETITION_MS)
        except OSError:
            return False
    return True


async def walk_one_name(
    trace: Trace,
    stage: Stage,
    target: Target,
    data: bytes,
    method: WalkMethod,
    timeout: float,
    most: int = MOST_HOPS,
) -> Walk:
    """Send `data` once over one connection and raise its time to live while the kernel repeats it.

    `data` must fit one segment; `most` is the last time to live tried. Needs `repeats_quickly`;
    else every step takes twice as long as the last.
    """
    watch, steps = trace.watch(), Steps(trace)
    opening = await Opener(trace, stage, target, timeout).open()
    if isinstance(opening, Failure):
        return steps.record(stage, method, target, opening, watch)
    opened, round_trip = opening
    failure, open_since = None, trace.watch()
    try:
        opened.sock.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, _REPETITION_MS)
        opened.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LASTS_LONGER_MS)
        hear_icmp_errors(opened.sock)
        window = 1.25 * round_trip + SLACK
        await _raise_ttl(steps, opened, data, window, most)
    except NETWORK_ERRORS as error:
        failure = failure_of(error)
    finally:
        opened.close()
    return steps.record(
        stage,
        method,
        target,
        failure,
        watch,
        round_trip_us=round(round_trip * 1e6),
        open_us=open_since.microseconds(),
    )


async def _raise_ttl(
    steps: Steps, opened: Connection, data: bytes, window: float, most: int
) -> None:
    """Try every time to live once, and the first of a silence twice: its packet may be lost."""
    sock = opened.sock
    answer: WalkAnswer | None = None
    ttl, twice = 1, False
    while ttl <= most:
        set_ttl(sock, ttl)  # of the next repetition, whenever the kernel makes it
        sent_again = _sent_again(sock)  # with the time to live before
        if not steps.hops:
            await opened.send(data)
        else:
            late, answer = await _until_repeated(sock, sent_again)
            if late is not None and (late != "router" or steps.hops[-1].answer == "silence"):
                steps.replace_last(late, _since_sent(sock))
            if late not in {None, "router"}:
                return
            if _sent_again(sock) <= sent_again:
                return  # this kernel does not repeat, or no longer
        answer = answer or await heard(sock, window)
        if not twice:
            steps.add(ttl, answer, None, _since_sent(sock))
        elif answer != "silence":
            steps.replace_last(answer, _since_sent(sock))
        if answer not in GOES_ON or steps.silent_at_end() >= ENDS_AFTER_SILENCE:
            return
        twice = not twice and steps.silent_at_end() == 1
        ttl += not twice


def _sent_again(sock: socket.socket) -> int:
    """Return how many segments the kernel has sent again; 0 where it does not tell."""
    state = tcp_state(sock)
    return state.retransmissions if state is not None else 0


def _since_sent(sock: socket.socket) -> int:
    """Return how many microseconds ago the kernel last sent the segment, by its own clock.

    A server that does not get its handshake may end the connection by itself, at any time: what
    answers a packet comes soon after it.
    """
    state = tcp_state(sock)
    return state.since_sent_us if state is not None else 0


async def _until_repeated(
    sock: socket.socket, before: int
) -> tuple[WalkAnswer | None, WalkAnswer | None]:
    """Wait until the kernel has sent the segment again.

    Returns what came late for the last time to live, and what has come for this one already.
    """
    loop = asyncio.get_running_loop()
    late: WalkAnswer | None = None
    deadline = loop.time() + _REPETITION_PATIENCE
    while loop.time() < deadline:
        if _sent_again(sock) > before:
            break
        answer = await heard(sock, _POLL)
        if answer != "silence" and _sent_again(sock) > before:
            return late, answer
        if answer != "silence":
            late = answer
        if answer not in GOES_ON:
            break
    return late, None
