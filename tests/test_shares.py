"""Slots and sockets: in turn, never more than there are, and back whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from probes.shares import Shares


async def turn() -> None:
    """Let everybody else run until nobody can go on."""
    for _ in range(10):
        await asyncio.sleep(0)


class Users:
    """Users of shares, who note when they begin and end on word."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self.began: list[str] = []
        self.may_end: dict[str, asyncio.Event] = {}

    async def use(self, name: str, count: int = 1) -> None:
        self.may_end[name] = asyncio.Event()
        async with self.shares.taken(count):
            self.began.append(name)
            await self.may_end[name].wait()

    async def lend(self, name: str) -> None:
        self.may_end[name] = asyncio.Event()
        async with self.shares.taken():
            async with self.shares.lent():
                await self.may_end[name].wait()
            self.began.append(name)


async def test_no_more_than_there_are_and_in_turn() -> None:
    users = Users(Shares(2))
    tasks = [asyncio.create_task(users.use(name)) for name in "abcd"]
    await turn()
    assert users.began == ["a", "b"]
    users.may_end["b"].set()
    await turn()
    assert users.began == ["a", "b", "c"]
    for name in "acd":
        await turn()
        users.may_end[name].set()
    await asyncio.gather(*tasks)


async def test_who_needs_several_is_not_overtaken() -> None:
    users = Users(Shares(3))
    tasks = [asyncio.create_task(users.use(*each)) for each in [("a", 2), ("many", 3), ("b", 1)]]
    await turn()
    assert users.began == ["a"]
    users.may_end["a"].set()
    await turn()
    assert users.began == ["a", "many"]
    users.may_end["many"].set()
    await turn()
    assert users.began == ["a", "many", "b"]
    users.may_end["b"].set()
    await asyncio.gather(*tasks)


async def test_who_wants_more_than_there_are_gets_all() -> None:
    shares = Shares(2)
    async with shares.taken(9):
        waiting = asyncio.ensure_future(_once(shares.taken))
        await turn()
        assert not waiting.done()
    await waiting


async def _once(taken: Callable[[], object]) -> None:
    async with taken():  # type: ignore[attr-defined]
        pass


async def test_who_lent_its_share_has_it_back_before_newcomers() -> None:
    users = Users(Shares(1))
    lender = asyncio.create_task(users.lend("lender"))
    await turn()
    others = [asyncio.create_task(users.use(name)) for name in "ab"]
    await turn()
    assert users.began == ["a"]
    users.may_end["lender"].set()
    await turn()
    users.may_end["a"].set()
    await turn()
    assert users.began == ["a", "lender", "b"]
    users.may_end["b"].set()
    await asyncio.gather(lender, *others)


async def test_whoever_is_cancelled_takes_nothing_along() -> None:
    users = Users(Shares(1))
    tasks = [asyncio.create_task(users.use(name)) for name in "abc"]
    await turn()
    tasks[1].cancel()  # while waiting
    tasks[0].cancel()  # while holding: its share goes to the next in the same moment
    await turn()
    assert users.began == ["a", "c"]
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await _once(users.shares.taken)


async def test_a_turn_that_comes_to_somebody_cancelled_goes_on() -> None:
    users = Users(Shares(1))
    async with users.shares.taken():
        tasks = [asyncio.create_task(users.use(name)) for name in "bc"]
        await turn()
    tasks[0].cancel()  # b has been given its turn and has not run yet
    await turn()
    assert users.began == ["c"]
    users.may_end["c"].set()
    await tasks[1]
