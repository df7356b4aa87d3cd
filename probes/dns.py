"""Look up: one name asked of the system, of a server over UDP, or of an encrypted resolver."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.resolver
import msgspec

from probes.addresses import family_of
from probes.answers import MOST_ANSWERS, Answer, RecordType, query
from probes.errors import NETWORK_ERRORS, failure_of
from probes.sockets import IP_RECVTTL, readable
from probes.trace import Stage, Stopwatch, Trace
from storage.failures import Failure
from storage.records import Lookup, Reply

_BEHIND_STUB = Path("/run/systemd/resolve/resolv.conf")  # systemd-resolved(8)
_FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}

# Injected answers race the true one: 99 % of forged answers were measured within 364 ms (Hoang et
# al., USENIX Security 2021), so the true one follows within a second or so.
LINGER = 1.5
# Questions that are still listened to hold a socket each, long after their target gave its slot
# back; together with the connections of the targets under way they stay below 256.
MOST_LISTENING = 136
_MOST_REPLIES = 8
_LARGEST_DATAGRAM = 65535

# getaddrinfo has one word for several failures; the datagrams tell which it was.
_VAGUE = frozenset({Failure.DNS_NXDOMAIN, Failure.DNS_TEMPORARY, Failure.DNS_NO_ANSWER})


def system_servers() -> list[str]:
    """Return the addresses of the servers that this system is told to ask."""
    try:
        configured = dns.resolver.Resolver(configure=True).nameservers
    except dns.resolver.NoResolverConfiguration:
        return []
    return [server for server in configured if isinstance(server, str)]


def servers_behind_stub() -> list[str]:
    """Return the servers that the stub of systemd-resolved asks, none where it does not tell."""
    try:
        lines = _BEHIND_STUB.read_text("ascii", "replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [each[1] for each in words if each[:1] == ["nameserver"] and len(each) > 1]


# --- asking the system -------------------------------------------------------------------------


async def ask_system(name: str, kind: RecordType, timeout: float) -> Answer:
    """Ask getaddrinfo, as programs do, in a daemon thread: it cannot be cancelled, only left."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Answer] = loop.create_future()

    def deliver(answer: Answer) -> None:
        if not result.done():
            result.set_result(answer)

    def resolve() -> None:
        answer = _getaddrinfo(name, kind)
        try:
            loop.call_soon_threadsafe(deliver, answer)
        except RuntimeError:
            return  # the loop has ended: nobody waits for this answer any more

    threading.Thread(target=resolve, name="getaddrinfo", daemon=True).start()
    try:
        async with asyncio.timeout(timeout):
            return await result
    except TimeoutError:
        return Answer(failure=Failure.TIMEOUT)


def _getaddrinfo(name: str, kind: RecordType) -> Answer:
    try:
        found = socket.getaddrinfo(name, None, _FAMILIES[kind], socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Answer(failure=failure_of(error))
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return Answer(addresses=tuple(addresses)[:MOST_ANSWERS])


# --- asking a server over UDP --------------------------------------------------------------------


class UdpQuestion:
    """One query to one server; every datagram that comes back is kept with time and IP TTL."""

    def __init__(self, trace: Trace, server: str, name: str, kind: RecordType) -> None:
        self._trace = trace
        self._server = server
        self._kind = kind
        self._query = query(name, kind)
        self.replies: list[Reply] = []
        self.first: Answer | None = None
        self._arrived = asyncio.Event()

    async def ask(self, timeout: float, linger: float) -> None:
        """Send the query and collect replies until `linger` seconds after the first.

        `answered` is set at the first valid reply; without any, `first` says why at the end.
        """
        try:
            async with self._trace.listening:
                watch = self._trace.watch()  # waiting for a socket is not the server's slowness
                with self._socket() as sock:
                    sock.send(self._query.to_wire())
                    await self._collect(sock, watch, timeout, linger)
        except NETWORK_ERRORS as error:
            self.first = self.first or Answer(failure=failure_of(error))
        finally:
            self._arrived.set()

    async def answered(self) -> Answer:
        """Wait for the first valid reply or for the end of the question."""
        await self._arrived.wait()
        return self.first or Answer(failure=Failure.TIMEOUT)

    def _socket(self) -> socket.socket:
        family = family_of(self._server)
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if family is socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            sock.connect((self._server, 53))
        except OSError:
            sock.close()
            raise
        return sock

    async def _collect(
        self, sock: socket.socket, watch: Stopwatch, timeout: float, linger: float
    ) -> None:
        until = timeout
        while len(self.replies) < _MOST_REPLIES:
            left = until - watch.microseconds() / 1e6
            if left <= 0 or not await readable(sock, left):
                return
            try:
                data, ancillary, _, _ = sock.recvmsg(_LARGEST_DATAGRAM, 64)
            except OSError as error:
                # An ICMP error overtakes what is there already: an address that runs no resolver
                # refuses, and somebody on the way may have answered all the same.
                self.first = self.first or Answer(failure=failure_of(error))
                until = min(until, watch.microseconds() / 1e6 + linger)
                continue
            self._take(data, _ip_ttl(ancillary), watch)
            if self._arrived.is_set():
                until = min(until, self.replies[0].after_us / 1e6 + linger)

    def _take(self, data: bytes, ip_ttl: int | None, watch: Stopwatch) -> None:
        after, raw = watch.microseconds(), self._trace.keep(data)
        try:
            message = dns.message.from_wire(data, ignore_trailing=True)
            fits = self._query.is_response(message)
            answer = Answer.of(message, self._kind)
        except (dns.exception.DNSException, ValueError):
            fits, answer = False, Answer(failure=Failure.DNS_MALFORMED)
        self.replies.append(
            Reply(
                after_us=after,
                ip_ttl=ip_ttl,
                rcode=answer.rcode,
                answers=list(answer.addresses),
                raw=raw,
            )
        )
        if fits and not self._arrived.is_set():
            self.first = answer
            self._arrived.set()


def _ip_ttl(ancillary: Sequence[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if (level, kind) in {
            (socket.IPPROTO_IP, socket.IP_TTL),
            (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT),
        }:
            return int(struct.unpack_from("=i", data)[0])
    return None


# --- one lookup as a step ------------------------------------------------------------------------


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


@dataclass
class Asked:
    """A lookup whose answer is there; its step is recorded when `listening` ends."""

    answer: Answer
    listening: asyncio.Task[None]


async def look_up_system(
    trace: Trace, question: Question, timeout: float, server: str | None
) -> Asked:
    """Ask the system; beside it put the same question to its configured `server` as we see it.

    The step's answers are the system's; the replies show the datagrams that our own question
    to the same server met, and the rcode is theirs.
    """
    watch = trace.watch()
    beside = None if server is None else UdpQuestion(trace, server, question.name, question.kind)
    asking = (
        None if beside is None else asyncio.create_task(beside.ask(timeout, min(LINGER, timeout)))
    )
    try:
        answer = await ask_system(question.name, question.kind, timeout)
    except asyncio.CancelledError:
        if asking is not None:
            asking.cancel()
        raise
    duration = watch.microseconds()

    async def finish() -> None:
        step = question.step("system", None, answer, watch, duration)
        if beside is not None and asking is not None:
            await asking
            seen = await beside.answered()
            step = msgspec.structs.replace(
                step,
                replies=beside.replies,
                rcode=seen.rcode,
                cnames=list(seen.cnames),
                extended_error=seen.extended_error,
            )
            if answer.failure in _VAGUE and seen.failure is not None:
                step = msgspec.structs.replace(step, failure=seen.failure)
        trace.steps.append(step)

    return Asked(answer, asyncio.create_task(finish()))


async def look_up_udp(trace: Trace, question: Question, server: str, timeout: float) -> Asked:
    """Ask a public resolver over UDP, over TCP where the answer does not fit a datagram."""
    watch = trace.watch()
    asked = UdpQuestion(trace, server, question.name, question.kind)
    asking = asyncio.create_task(asked.ask(timeout, min(LINGER, timeout)))
    try:
        answer = await asked.answered()
        if asked.replies and _is_truncated(trace.blobs[asked.replies[-1].raw or ""]):
            answer = await _ask_tcp(question, server, timeout)
    except asyncio.CancelledError:
        asking.cancel()
        raise
    step = question.step("udp", server, answer, watch, watch.microseconds())

    async def finish() -> None:
        await asking
        trace.steps.append(msgspec.structs.replace(step, replies=asked.replies))

    return Asked(answer, asyncio.create_task(finish()))


def _is_truncated(data: bytes) -> bool:
    return len(data) >= 4 and bool(int.from_bytes(data[2:4]) & dns.flags.TC)


async def _ask_tcp(question: Question, server: str, timeout: float) -> Answer:
    try:
        async with asyncio.timeout(timeout):
            message = await dns.asyncquery.tcp(query(question.name, question.kind), server)
    except NETWORK_ERRORS as error:
        return Answer(failure=failure_of(error))
    return Answer.of(message, question.kind)
