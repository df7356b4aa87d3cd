"""Bare walks: packets with rising times to live that carry no name at all.

A SYN with each time to live shows where packets to an address end. Where connections open and are
reset at once, the acknowledgement that completes them is walked with instead.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from probes.addresses import family_of
from probes.errors import NETWORK_ERRORS, failure_of
from probes.sockets import hear_icmp_errors, set_ttl, tcp_state, writable
from probes.trace import Stage, Trace
from probes.walks import (
    ENDS_AFTER_SILENCE,
    GOES_ON,
    MOST_HOPS,
    Steps,
    Target,
    answer_of,
    heard,
)
from storage.records import Walk, WalkAnswer, WalkHop, WalkMethod

_PATIENCE = 2.0  # seconds; all times to live are tried at once
_ACK_PATIENCE = 1.0  # seconds after a connection is open
_ACK_TRIES = 4  # of one time to live, where the kernel did not wait until it was set

# What one time to live met, and which router said so.
_Met: TypeAlias = tuple[WalkAnswer, str | None]


async def walk_syn(trace: Trace, stage: Stage, target: Target) -> Walk:
    """Send a SYN with each time to live, all at once, on fresh ports."""
    return await _walk(trace, stage, "syn", target, MOST_HOPS, _one_syn)


async def walk_ack(trace: Trace, stage: Stage, target: Target, most: int) -> Walk:
    """Open a connection for each time to live up to `most`; it holds for all but the SYN.

    Who resets what he sees opened then answers the first acknowledgement that comes so far.
    """
    return await _walk(trace, stage, "ack", target, min(most, MOST_HOPS), _one_ack)


async def _walk(
    trace: Trace,
    stage: Stage,
    method: WalkMethod,
    target: Target,
    most: int,
    one: Callable[[Trace, Target, int], Awaitable[_Met]],
) -> Walk:
    watch, steps = trace.watch(), Steps(trace)

    async def timed(ttl: int) -> tuple[int, WalkAnswer, str | None, int]:
        step = trace.watch()
        answer, router = await one(trace, target, ttl)
        return ttl, answer, router, step.microseconds()

    met = await asyncio.gather(*map(timed, range(1, most + 1)))
    for ttl, answer, router, after in met:
        steps.add(ttl, answer, router, after)
        if answer not in GOES_ON:
            break
    del steps.hops[_end(steps.hops) :]
    return steps.record(stage, method, target, None, watch)


def _end(hops: list[WalkHop]) -> int:
    """Return how many hops are worth keeping: a long silence at the end is cut short."""
    last = max((at for at, hop in enumerate(hops) if hop.answer != "silence"), default=-1)
    return min(len(hops), last + 1 + ENDS_AFTER_SILENCE)


def _socket(target: Target) -> socket.socket:
    """Return a socket that ends its connection by a reset, so that nothing is repeated."""
    sock = socket.socket(family_of(target.address), socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return sock


async def _one_syn(trace: Trace, target: Target, ttl: int) -> _Met:
    with _socket(target) as sock:
        try:
            hear_icmp_errors(sock)
            set_ttl(sock, ttl)
            async with asyncio.timeout(_PATIENCE):
                await asyncio.get_running_loop().sock_connect(sock, (target.address, target.port))
            trace.own.learn(sock)
        except ConnectionResetError:
            pass  # it was open by then: who refuses a SYN is told apart by the kernel
        except NETWORK_ERRORS as error:
            return answer_of(failure_of(error), sock)
    return "peer", None


async def _one_ack(trace: Trace, target: Target, ttl: int) -> _Met:
    """Try one time to live; silence also where its acknowledgement left before that was set."""
    for _ in range(_ACK_TRIES):
        met = await _acknowledge(trace, target, ttl)
        if met is not None:
            return met
    return "silence", None


async def _acknowledge(trace: Trace, target: Target, ttl: int) -> _Met | None:
    """Return what the acknowledgement met, None where it may have had another time to live.

    Without TCP_QUICKACK the kernel keeps the acknowledgement of an opened connection back for a
    while (tcp(7)); so however late this process gets the processor, its time to live can be set.
    """
    withhold = getattr(socket, "TCP_QUICKACK", None)
    if withhold is None:
        return "silence", None
    with _socket(target) as sock:
        try:
            hear_icmp_errors(sock)
            sock.setsockopt(socket.IPPROTO_TCP, withhold, 0)
            refused = sock.connect_ex((target.address, target.port))
            if refused not in (0, errno.EINPROGRESS):
                raise OSError(refused, "")
            if not await writable(sock, _PATIENCE):
                return "silence", None
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return "silence", None  # it ended before it was acknowledged
            trace.own.learn(sock)
            set_ttl(sock, ttl)
            state = tcp_state(sock)
            if state is None or state.segments_sent > 1:
                return None
            sock.setsockopt(socket.IPPROTO_TCP, withhold, 1)
            return await heard(sock, _ACK_PATIENCE), None
        except ConnectionRefusedError:
            return "silence", None  # it was never open
        except NETWORK_ERRORS as error:
            return answer_of(failure_of(error), sock)
