"""Look up: one name asked of the system or of a server over UDP, each question a step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dns.asyncquery
import dns.flags
import msgspec

from probes.answers import Answer, RecordType, query
from probes.errors import NETWORK_ERRORS, failure_of
from probes.system_resolver import ask_system
from probes.trace import Stage, Stopwatch, Trace
from probes.udp import UdpAsking, UdpQuestion, UdpQuestions
from storage.failures import Failure
from storage.records import Lookup

# getaddrinfo has one word for several failures; the datagrams tell which it was.
_VAGUE = frozenset({Failure.DNS_NXDOMAIN, Failure.DNS_TEMPORARY, Failure.DNS_NO_ANSWER})


@dataclass(frozen=True)
class Question:
    """A name and a type, and the stage of the measurement that asks."""

    stage: Stage
    name: str
    kind: RecordType

    def step(
        self, resolver: str, address: str | None, answer: Answer, watch: Stopwatch, duration: int
    ) -> Lookup:
        """Return the step of a question that got `answer` after `duration` microseconds."""
        return Lookup(
            purpose=self.stage.purpose,
            hop=self.stage.hop,
            attempt=self.stage.attempt,
            arm=self.stage.arm,
            name=self.name,
            type=self.kind,
            resolver=resolver,
            address=address,
            answers=list(answer.addresses),
            cnames=list(answer.cnames),
            alpn=list(answer.alpn),
            extended_error=answer.extended_error,
            rcode=answer.rcode,
            failure=answer.failure,
            start=watch.start,
            duration_us=duration,
        )


class Asked:
    """Questions whose answers are there; their steps are recorded when listening ends."""

    def __init__(
        self,
        trace: Trace,
        answers: Sequence[Answer],
        steps: Callable[[], Sequence[Lookup]],
        listening: asyncio.Task[Any],
    ) -> None:
        self.answers = answers
        self._trace = trace
        self._steps: Callable[[], Sequence[Lookup]] | None = steps
        self._listening = listening
        listening.add_done_callback(lambda _: self._record())

    async def settle(self) -> None:
        """Wait until nothing more is listened to; then the steps are recorded."""
        await self._listening
        self._record()

    def abandon(self) -> None:
        """Stop listening and record what is there."""
        self._listening.cancel()
        self._record()

    def _record(self) -> None:
        if self._steps is not None:
            self._trace.steps += self._steps()
            self._steps = None


@dataclass(frozen=True)
class _Told:
    """An answer, how many microseconds it took, and whether it had to be asked for over TCP."""

    answer: Answer
    duration_us: int
    over_tcp: bool = False


async def look_up_system(stage: Stage, asking: UdpAsking, beside: UdpQuestions | None) -> Asked:
    """Ask the system; `beside` are the same questions, put by us to its configured server.

    A step's answers are the system's; the replies show the datagrams that our own question to the
    same server met, and the rcode is theirs.
    """
    name, kinds, timeout = asking.name, asking.kinds, asking.timeout
    async with asking.trace.holding_sockets(len(kinds)):  # the system's own
        watch = asking.trace.watch()
        told = await asyncio.gather(*(_timed(watch, name, kind, timeout) for kind in kinds))

    def steps() -> list[Lookup]:
        found = [
            Question(stage, name, kind).step("system", None, each.answer, watch, each.duration_us)
            for kind, each in zip(kinds, told, strict=True)
        ]
        if beside is None:
            return found
        return [_seen(*each) for each in zip(found, beside.questions, strict=True)]

    return Asked(asking.trace, [each.answer for each in told], steps, asking.listening)


async def _timed(watch: Stopwatch, name: str, kind: RecordType, timeout: float) -> _Told:
    return _Told(await ask_system(name, kind, timeout), watch.microseconds())


def _seen(step: Lookup, beside: UdpQuestion) -> Lookup:
    """Return the system's step with what our own question to the same server met."""
    answer = beside.answer
    vague = step.failure in _VAGUE and answer.failure is not None
    return msgspec.structs.replace(
        step,
        replies=list(beside.replies),
        rcode=answer.rcode,
        cnames=list(answer.cnames),
        extended_error=answer.extended_error,
        failure=answer.failure if vague else step.failure,
    )


async def look_up_udp(stage: Stage, asking: UdpAsking, queries: UdpQuestions) -> Asked:
    """Wait for a resolver's answers; ask it over TCP where one does not fit a datagram."""
    watch = asking.trace.watch()
    told = await asyncio.gather(
        *(_whole_answer(asking, each, watch, queries.server) for each in queries.questions)
    )

    def steps() -> list[Lookup]:
        return [
            msgspec.structs.replace(
                Question(stage, asking.name, asked.kind).step(
                    "udp", queries.server, each.answer, watch, each.duration_us
                ),
                replies=list(asked.replies),
                over_tcp=each.over_tcp,
            )
            for asked, each in zip(queries.questions, told, strict=True)
        ]

    return Asked(asking.trace, [each.answer for each in told], steps, asking.listening)


async def _whole_answer(
    asking: UdpAsking, asked: UdpQuestion, watch: Stopwatch, server: str
) -> _Told:
    answer, blobs = await asked.answered(), asking.trace.blobs
    truncated = bool(asked.replies) and _is_truncated(blobs[asked.replies[-1].raw or ""])
    if truncated:
        answer = await ask_tcp(asking.name, asked.kind, server, asking.timeout)
    return _Told(answer, watch.microseconds(), truncated)


def _is_truncated(data: bytes) -> bool:
    return len(data) >= 4 and bool(int.from_bytes(data[2:4]) & dns.flags.TC)


async def ask_tcp(
    name: str, kind: RecordType, server: str, timeout: float, port: int = 53
) -> Answer:
    """Ask over TCP and return what came; a failure is part of it."""
    try:
        async with asyncio.timeout(timeout):
            message = await dns.asyncquery.tcp(query(name, kind), server, port=port)
            return Answer.of(message, kind)
    except NETWORK_ERRORS as error:
        return Answer(failure=failure_of(error))
    except ValueError:
        return Answer(failure=Failure.DNS_MALFORMED)
