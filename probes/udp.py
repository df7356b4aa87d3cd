"""Ask a server over UDP, and keep every datagram that comes back with its time and IP TTL."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence

import dns.exception
import dns.message

from probes.addresses import family_of
from probes.answers import Answer, RecordType, query
from probes.errors import NETWORK_ERRORS, failure_of
from probes.sockets import IP_RECVTTL, readable
from probes.trace import Stopwatch, Trace
from storage.failures import Failure
from storage.records import Reply

# Injected answers race the true one: 99 % of forged answers were measured within 364 ms (Hoang et
# al., USENIX Security 2021), so the true one follows within a second or so.
LINGER = 1.5
_MOST_REPLIES = 8  # to one question
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
    """Queries for one name, one of each type, sent to a server from one port.

    So does the system's own resolver, and it takes half the sockets.
    """

    def __init__(self, trace: Trace, server: str, name: str, kinds: Sequence[RecordType]) -> None:
        self._trace = trace
        self._server = server
        self.questions = [UdpQuestion(name, kind) for kind in kinds]
        for number, question in enumerate(self.questions):
            question.query.id = (self.questions[0].query.id + number) & 0xFFFF

    async def ask(self, timeout: float, linger: float) -> None:
        """Send the queries and collect replies until `linger` seconds after the first to each."""
        try:
            async with self._trace.sockets.taken(1):
                watch = self._trace.watch()  # waiting for a socket is not the server's slowness
                with self._socket() as sock:
                    for question in self.questions:
                        question.begin(timeout)
                        self._send(sock, question)
                    await self._collect(sock, watch, linger)
        except NETWORK_ERRORS as error:
            for question in self.questions:
                question.refused(error, 0.0)
        finally:
            for question in self.questions:
                question.end()

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

    @staticmethod
    def _send(sock: socket.socket, question: UdpQuestion) -> None:
        try:
            sock.send(question.query.to_wire())
        except ConnectionError:  # the kernel tells of the query before and sends nothing
            sock.send(question.query.to_wire())

    async def _collect(self, sock: socket.socket, watch: Stopwatch, linger: float) -> None:
        for _ in range(2 * _MOST_REPLIES * len(self.questions)):
            elapsed = watch.microseconds() / 1e6
            left = max(question.seconds_left(elapsed) for question in self.questions)
            if left <= 0 or not await readable(sock, left):
                return
            try:
                data, ancillary, _, _ = sock.recvmsg(_LARGEST_DATAGRAM, 64)
            except OSError as error:
                for question in self.questions:
                    question.refused(error, watch.microseconds() / 1e6 + linger)
                continue
            self.take(data, _ip_ttl(ancillary), watch.microseconds(), linger)

    def take(self, data: bytes, ip_ttl: int | None, after_us: int, linger: float) -> None:
        """Take a datagram for the question that it answers; `linger` as in `ask`."""
        question = self._meant_by(data)
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

    def _meant_by(self, data: bytes) -> UdpQuestion:
        """Return the question that a datagram has the number of, else the first."""
        number = int.from_bytes(data[:2])
        return next((each for each in self.questions if each.query.id == number), self.questions[0])


def _ip_ttl(ancillary: Sequence[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if (level, kind) in {
            (socket.IPPROTO_IP, socket.IP_TTL),
            (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT),
        }:
            return int(struct.unpack_from("=i", data)[0])
    return None
