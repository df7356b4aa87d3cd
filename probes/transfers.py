"""A long transfer as an arm: requests on one connection until more came than a freeze lets by.

Other servers have no long page for a stranger's name, but many short answers on one connection are
a long transfer too. So a freeze after so many bytes of a connection can be told from a server that
stops by itself.

The name in question stands in the first request alone: that marks a connection, whatever follows
on it. The further ones carry a neutral name, so that nobody sees the watched one a hundred times.
"""

from __future__ import annotations

import asyncio

from probes.arms import url_in_clear
from probes.contrasts import Contrast
from probes.errors import NETWORK_ERRORS, failure_of
from probes.prober import Prober
from probes.tcp import Connection, connect
from probes.trace import Stage, Trace
from storage.failures import Failure
from storage.records import Exchange

ENOUGH = 32 * 1024  # bytes; freezes were measured after 14 to 20 KB
_MOST_REQUESTS = 200
_AT_ONCE = 8  # requests that wait for their answers
_ANSWER = b"HTTP/1."


async def try_transfer(
    prober: Prober, trace: Trace, stage: Stage, arm: Contrast, *, further: str
) -> bool | None:
    """Ask once for the arm's name and then, on the same connection, for the name `further`.

    True where enough came, False where it fell silent, None where the server ended it first.
    """
    limits = prober.settings.limits
    connection = await connect(trace, stage, arm.address, arm.port, limits.connect_timeout)
    if connection is None:
        return None
    rest = Contrast(arm.arm, further, arm.address, arm.port)
    talk = _Talk(connection, _request(prober, arm), _request(prober, rest))
    watch, failure = trace.watch(), None
    try:
        async with asyncio.timeout(limits.http_timeout):
            await talk.run()
    except NETWORK_ERRORS as error:
        failure = failure_of(error)
    finally:
        connection.close()
    trace.steps.append(
        Exchange(
            purpose=stage.purpose,
            hop=stage.hop,
            attempt=stage.attempt,
            arm=stage.arm,
            connection=connection.number,
            url=url_in_clear(arm),
            address=arm.address,
            protocol="http/1.1",
            requests=talk.sent,
            status=talk.status(),
            wire_bytes=len(talk.came),
            failure=failure,
            start=watch.start,
            duration_us=watch.microseconds(),
        )
    )
    if failure is None and len(talk.came) >= ENOUGH:
        return True
    return False if failure == Failure.TIMEOUT else None


class _Talk:
    """Requests and what came back on one connection; of the answers only their number is read."""

    def __init__(self, connection: Connection, first: bytes, further: bytes) -> None:
        self._connection = connection
        self._first, self._further = first, further
        self.sent = 0
        self.came = bytearray()

    async def run(self) -> None:
        """Go on until enough came or enough was asked. Raises what the network raises."""
        while len(self.came) < ENOUGH:
            answered = self.came.count(_ANSWER)
            wanted = min(answered + self._at_once(answered), _MOST_REQUESTS)
            if not self.sent:
                await self._connection.send(self._first)
                self.sent = 1
            elif answered and wanted > self.sent:
                await self._connection.send(self._further * (wanted - self.sent))
                self.sent = wanted
            elif answered >= _MOST_REQUESTS:
                return
            data = await self._connection.receive()
            if not data:
                raise EOFError("closed between two answers")
            self.came += data

    def _at_once(self, answered: int) -> int:
        """Return for how many answers it is worth to ask ahead: long ones would come in vain."""
        missing = ENOUGH - len(self.came)
        return min(_AT_ONCE, 1 + missing * answered // max(1, len(self.came)))

    def status(self) -> int | None:
        """Return the status of the first answer."""
        words = bytes(self.came[:16]).split()
        known = len(words) > 1 and words[0].startswith(_ANSWER) and words[1].isdigit()
        return int(words[1]) if known and len(words[1]) == 3 else None


def _request(prober: Prober, arm: Contrast) -> bytes:
    host = url_in_clear(arm).removeprefix("http://").partition("/")[0]
    headers = {"Host": host, "User-Agent": prober.settings.user_agent, "Accept": "*/*"}
    lines = [f"GET {arm.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
