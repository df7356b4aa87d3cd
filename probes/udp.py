"""Ask servers over UDP, and keep every datagram that comes back with its time and IP TTL."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.exception
import dns.message

from probes.addresses import family_of
from probes.answers import Answer, RecordType, query
from probes.errors import NETWORK_ERRORS, failure_of
from probes.sockets import IP_RECVTTL, hear_icmp_errors, icmp_error, readable
from probes.trace import Stopwatch, Trace
from storage.failures import Failure
from storage.records import Reply

# Injected answers race the true one: 99 % of forged answers were measured within 364 ms (Hoang et
# al., USENIX Security 2021), so the true one follows within a second or so.
LINGER = 1.5
_MOST_REPLIES = 8  # to one question
_MOST_DATAGRAMS = 1000  # heard on one port, whoever sends them
_MOST_TOLD = 3  # errors that are told before a datagram is sent
_LARGEST_DATAGRAM = 65535


class UdpQuestion:
    """One query and what came back to it."""

    def __init__(self, name: str, kind: RecordType) -> None:
        self.kind = kind
        self.query = query(name, kind)
        self.replies: list[Reply] = []
        self._said: Answer | None = None
        self._arrived = asyncio.Event()
        self._until = 0.0

    @property
    def answer(self) -> Answer:
        """What the first valid reply said; until one is there why there is none."""
        return self._said or Answer(failure=Failure.TIMEOUT)

    async def answered(self) -> Answer:
        """Wait for the first valid reply or for the end of the question."""
        await self._arrived.wait()
        return self.answer

    def begin(self, timeout: float) -> None:
        """Listen for `timeout` seconds after the query."""
        self._until = timeout

    def seconds_left(self, elapsed: float) -> float:
        """Return how much longer it is listened to."""
        return self._until - elapsed if len(self.replies) < _MOST_REPLIES else 0.0

    def take(self, reply: Reply, answer: Answer, *, fits: bool, linger: float) -> None:
        """Take a reply; after the first that fits, others have `linger` seconds to come."""
        if len(self.replies) >= _MOST_REPLIES:
            return
        self.replies.append(reply)
        if fits and not self._arrived.is_set():
            self._said = answer
            self._arrived.set()
        if self._arrived.is_set():
            self._until = min(self._until, self.replies[0].after_us / 1e6 + linger)

    def refused(self, error: BaseException, until: float) -> None:
        """Take an ICMP error, which overtakes what is there already.

        An address that runs no resolver refuses, and somebody on the way may have answered all the
        same: a reply still counts.
        """
        self._said = self._said or Answer(failure=failure_of(error))
        self._until = min(self._until, until)

    def end(self) -> None:
        """Nothing will come any more."""
        self._arrived.set()


class UdpQuestions:
    """Queries for one name, one of each type, put to one server; numbered from `first` on."""

    def __init__(
        self, trace: Trace, server: str, name: str, kinds: Sequence[RecordType], first: int
    ) -> None:
        self._trace = trace
        self.server = server
        self._address = _bare(server)
        self.questions = [UdpQuestion(name, kind) for kind in kinds]
        for number, question in enumerate(self.questions, start=first):
            question.query.id = number & 0xFFFF

    def is_of(self, address: str | None) -> bool:
        """Tell whether `address` is the server's."""
        return address is not None and _bare(address) == self._address

    def seconds_left(self, elapsed: float) -> float:
        """Return how much longer the server is listened to."""
        return max(question.seconds_left(elapsed) for question in self.questions)

    def refused(self, error: BaseException, until: float) -> None:
        """Take an ICMP error about a query, or an error of the kernel's own."""
        for question in self.questions:
            question.refused(error, until)

    def end(self) -> None:
        """Nothing that still comes from the server will be taken."""
        for question in self.questions:
            question.end()

    def take(self, data: bytes, ip_ttl: int | None, after_us: int, linger: float) -> None:
        """Take a datagram for the question that it answers; `linger` as in `UdpAsking`."""
        question = self.meant_by(data) or self.questions[0]
        try:
            message = dns.message.from_wire(data, ignore_trailing=True)
            fits = question.query.is_response(message)
            answer = Answer.of(message, question.kind)
        except (dns.exception.DNSException, ValueError):
            fits, answer = False, Answer(failure=Failure.DNS_MALFORMED)
        reply = Reply(
            after_us=after_us,
            ip_ttl=ip_ttl,
            rcode=answer.rcode,
            answers=list(answer.addresses),
            raw=self._trace.keep(data),
        )
        question.take(reply, answer, fits=fits, linger=linger)

    def meant_by(self, data: bytes) -> UdpQuestion | None:
        """Return the question that a datagram has the number of."""
        number = int.from_bytes(data[:2])
        return next((each for each in self.questions if each.query.id == number), None)


class UdpAsking:
    """Questions for one name to several servers, and the task that listens to them.

    All servers of one family are asked from one port: each server sees the same as from a port of
    its own, the system's resolver asks for both types so too, and sockets are few.
    """

    def __init__(
        self,
        trace: Trace,
        servers: Sequence[str],
        name: str,
        kinds: Sequence[RecordType],
        timeout: float,
        *,
        port: int = 53,
    ) -> None:
        """Begin to ask. A server is listened to for `timeout` seconds, and no longer than `LINGER`
        seconds after its first reply to each question."""
        self.trace = trace
        self.name = name
        self.kinds = kinds
        self.timeout = timeout
        self.port = port
        numbers = itertools.count(secrets.randbelow(0x10000), len(kinds))
        self.asked = [UdpQuestions(trace, each, name, kinds, next(numbers)) for each in servers]
        self.listening = asyncio.create_task(self._ask(min(LINGER, timeout)))

    async def _ask(self, linger: float) -> None:
        by_family: dict[socket.AddressFamily, list[UdpQuestions]] = {}
        for each in self.asked:
            by_family.setdefault(family_of(each.server), []).append(each)
        sockets = [_Socket(self, *each, linger) for each in by_family.items()]
        await asyncio.gather(*(each.ask() for each in sockets))


class _Socket:
    """The socket from which servers of one family are asked."""

    def __init__(
        self,
        asking: UdpAsking,
        family: socket.AddressFamily,
        asked: Sequence[UdpQuestions],
        linger: float,
    ) -> None:
        self._asking = asking
        self._family = family
        self._asked = asked
        self._linger = linger

    async def ask(self) -> None:
        """Send the queries and collect what comes back."""
        trace = self._asking.trace
        try:
            async with trace.holding_sockets():
                watch = trace.watch()  # waiting for a socket is not the server's slowness
                with self._open() as sock:
                    for each in self._asked:
                        self._send(sock, each)
                    await self._collect(sock, watch)
        except NETWORK_ERRORS as error:
            for each in self._asked:
                each.refused(error, 0.0)
        finally:
            for each in self._asked:
                each.end()

    def _open(self) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            hear_icmp_errors(sock)
            if self._family is socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        except OSError:
            sock.close()
            raise
        return sock

    def _send(self, sock: socket.socket, asked: UdpQuestions) -> None:
        for question in asked.questions:
            question.begin(self._asking.timeout)
        try:
            for question in asked.questions:
                _send_one(sock, question.query.to_wire(), (asked.server, self._asking.port))
        except NETWORK_ERRORS as error:
            asked.refused(error, 0.0)

    async def _collect(self, sock: socket.socket, watch: Stopwatch) -> None:
        for _ in range(_MOST_DATAGRAMS):
            elapsed = watch.microseconds() / 1e6
            left = {each: each.seconds_left(elapsed) for each in self._asked}
            for each in self._asked:
                if left[each] <= 0:
                    each.end()
            soonest = min((seconds for seconds in left.values() if seconds > 0), default=None)
            if soonest is None:
                return
            if await readable(sock, soonest):
                self._hear(sock, watch)

    def _hear(self, sock: socket.socket, watch: Stopwatch) -> None:
        after_us = watch.microseconds()
        try:
            data, ancillary, _, (sender, port, *_) = sock.recvmsg(_LARGEST_DATAGRAM, 64)
        except OSError:  # an ICMP error, told by itself
            self._hear_error(sock, after_us / 1e6)
            return
        of_server = [
            each for each in self._asked if port == self._asking.port and each.is_of(sender)
        ]
        with_number = [each for each in of_server if each.meant_by(data) is not None]
        meant = next(iter(with_number or of_server), None)
        if meant is not None and meant.seconds_left(after_us / 1e6) > 0:
            meant.take(data, _ip_ttl(ancillary), after_us, self._linger)

    def _hear_error(self, sock: socket.socket, elapsed: float) -> None:
        met = icmp_error(sock)
        if met is not None and met.is_final:
            for each in self._asked:
                if each.is_of(met.about):
                    each.refused(OSError(met.errno, ""), elapsed + self._linger)


def _send_one(sock: socket.socket, data: bytes, server: tuple[str, int]) -> None:
    """Send a datagram; the kernel may tell of an earlier one first, and then sends nothing."""
    for _ in range(_MOST_TOLD):
        with contextlib.suppress(OSError):
            sock.sendto(data, server)
            return
    sock.sendto(data, server)


def _bare(address: str) -> IPv4Address | IPv6Address:
    """Return an address without the zone of a link."""
    return ip_address(address.partition("%")[0])


def _ip_ttl(ancillary: Sequence[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if (level, kind) in {
            (socket.IPPROTO_IP, socket.IP_TTL),
            (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT),
        }:
            return int(struct.unpack_from("=i", data)[0])
    return None
