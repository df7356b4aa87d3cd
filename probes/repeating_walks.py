"""Repeating walks: a connection, or a question, of its own for every time to live.

They show the name at every step, so that they stand out: tier conspicuous alone makes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from probes.addresses import family_of
from probes.errors import NETWORK_ERRORS, failure_of
from probes.sockets import hear_icmp_errors, set_ttl
from probes.trace import Stage, Trace
from probes.walks import (
    ENDS_AFTER_SILENCE,
    GOES_ON,
    MOST_HOPS,
    SLACK,
    Opener,
    Steps,
    Target,
    answer_of,
    heard,
)
from storage.failures import Failure
from storage.records import Walk, WalkAnswer

_UNTIL_REPEATED = 0.5  # seconds more than two round trips: the kernel repeats what was lost
_BESIDE_AN_ERROR = 0.25  # seconds for which an answer is waited for after a router's error


async def walk_many_names(
    trace: Trace, stage: Stage, target: Target, data: bytes, timeout: float
) -> Walk:
    """Send `data` on a connection of its own for every time to live, one after the other."""
    watch, steps = trace.watch(), Steps(trace)
    opener = Opener(trace, stage, target, timeout)
    failure = None
    for ttl in range(1, MOST_HOPS + 1):
        opening = await opener.open()
        if isinstance(opening, Failure):
            failure = opening
            break
        opened, round_trip = opening
        step = trace.watch()
        try:
            hear_icmp_errors(opened.sock)
            set_ttl(opened.sock, ttl)
            await opened.send(data)
            answer = await heard(opened.sock, 1.25 * round_trip + 3 * SLACK)
            if answer == "silence":  # the kernel sends it again, as far as before
                answer = await heard(opened.sock, 2 * round_trip + _UNTIL_REPEATED)
        except NETWORK_ERRORS as error:
            failure = failure_of(error)
            break
        finally:
            opened.close()
        steps.add(ttl, answer, None, step.microseconds())
        if answer not in GOES_ON or steps.silent_at_end() >= ENDS_AFTER_SILENCE:
            break
    return steps.record(stage, "many-hellos", target, failure, watch)


async def walk_questions(
    trace: Trace, stage: Stage, target: Target, query: bytes, timeout: float
) -> Walk:
    """Send a DNS question with every time to live; a liar on the way answers before the server."""
    watch, steps = trace.watch(), Steps(trace)
    for ttl in range(1, MOST_HOPS + 1):
        step = trace.watch()
        answer, router = await _one_question(target, query, ttl, timeout)
        steps.add(ttl, answer, router, step.microseconds())
        if answer not in GOES_ON or steps.silent_at_end() >= ENDS_AFTER_SILENCE:
            break
    return steps.record(stage, "dns", target, None, watch)


async def _one_question(
    target: Target, query: bytes, ttl: int, timeout: float
) -> tuple[WalkAnswer, str | None]:
    """Ask with one time to live; what a liar on the way says comes beside a router's error."""
    with socket.socket(family_of(target.address), socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            hear_icmp_errors(sock)
            set_ttl(sock, ttl)
            sock.connect((target.address, target.port))
            sock.send(query)
            await _received(sock, timeout)
        except NETWORK_ERRORS as error:
            met = answer_of(failure_of(error), sock)
        else:
            return "data", None
        if met[0] == "router":
            with contextlib.suppress(*NETWORK_ERRORS):  # nothing more came
                await _received(sock, _BESIDE_AN_ERROR)
                return "data", None
        return met


async def _received(sock: socket.socket, timeout: float) -> None:
    async with asyncio.timeout(timeout):
        await asyncio.get_running_loop().sock_recv(sock, 4096)
