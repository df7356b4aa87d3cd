"""Ask the system's own resolver, as programs do: getaddrinfo, in threads that can be left."""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import dns.resolver

from probes.answers import MOST_ANSWERS, Answer, RecordType
from probes.errors import failure_of
from storage.failures import Failure

_BEHIND_STUB = Path("/run/systemd/resolve/resolv.conf")  # systemd-resolved(8)
_FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}
_IDLE_SECONDS = 30.0  # after which a thread with nothing to do ends


def system_servers() -> list[str]:
    """Return the addresses of the servers that this system is told to ask."""
    try:
        configured = dns.resolver.Resolver(configure=True).nameservers
    except dns.resolver.NoResolverConfiguration:
        return []
    return [server for server in configured if isinstance(server, str)]


def servers_behind_stub(told_in: Path = _BEHIND_STUB) -> list[str]:
    """Return the servers that the stub of systemd-resolved asks, none where it does not tell."""
    try:
        lines = told_in.read_text("ascii", "replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [each[1] for each in words if each[:1] == ["nameserver"] and len(each) > 1]


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

    _THREADS.run(resolve)
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


class _Threads:
    """Daemon threads, as many as there is work at once; starting one costs more than a lookup.

    The standard pool's are waited for at the end of the program, for as long as a lookup hangs.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0  # threads that no work has been put for

    def run(self, work: Callable[[], None]) -> None:
        """Have `work`, which raises nothing, done by a thread."""
        with self._lock:
            self._work.put(work)
            if self._idle:
                self._idle -= 1
                return
        threading.Thread(target=self._serve, name="getaddrinfo", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._work.empty():
                        self._idle -= 1
                        return
                continue
            work()
            with self._lock:
                self._idle += 1


_THREADS = _Threads()
