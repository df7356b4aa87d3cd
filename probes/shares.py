"""Shares of what there is only so much of, slots and sockets: taken in turn, given back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class _Turn:
    count: int
    come: asyncio.Future[None]


class Shares:
    """A number of shares; whoever asked first is served first, and those who return before them.

    Nobody may wait for more of them while holding some, nor may any two kinds of shares be waited
    for while holding the other: of slots and sockets a slot may be waited for with sockets in hand,
    but sockets never with a slot in hand, which is lent first. Else all wait for one another.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = most
        self._returning: deque[_Turn] = deque()
        self._waiting: deque[_Turn] = deque()

    @asynccontextmanager
    async def taken(self, count: int = 1) -> AsyncIterator[None]:
        """Hold `count` shares, or all of them where that is more."""
        wanted = min(count, self._most)
        await self._take(wanted, self._waiting)
        try:
            yield
        finally:
            self._give(wanted)

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Let others have the one share that is held, and have one again before newcomers.

        Whom an exception drives out waits for nothing: he has his share again at once, beyond what
        there is if need be, since he is about to return it.
        """
        self._give(1)
        try:
            yield
            await self._take(1, self._returning)
        except BaseException:
            self._free -= 1
            raise

    async def _take(self, count: int, queue: deque[_Turn]) -> None:
        ahead = self._returning or (queue is self._waiting and self._waiting)
        if not ahead and count <= self._free:
            self._free -= count
            return
        turn = _Turn(count, asyncio.get_running_loop().create_future())
        queue.append(turn)
        try:
            await turn.come
        except asyncio.CancelledError:
            came = turn.come.done() and not turn.come.cancelled()  # the turn had come already
            turn.come.cancel()
            self._give(count if came else 0)  # others may have waited behind this one only
            raise

    def _give(self, count: int) -> None:
        self._free += count
        for queue in (self._returning, self._waiting):
            while queue:
                turn = queue[0]
                if turn.come.done():  # whoever waited has been cancelled
                    queue.popleft()
                elif turn.count <= self._free:
                    self._free -= turn.count
                    turn.come.set_result(None)
                    queue.popleft()
                else:
                    return
