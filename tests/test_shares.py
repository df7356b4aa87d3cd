"""Slots and sockets: in turn, never more than there are, and back whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

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


async def test_who_waited_behind_somebody_cancelled_waits_no_longer() -> None:
    users = Users(Shares(3))
    tasks = [asyncio.create_task(users.use(*each)) for each in [("a", 2), ("many", 3), ("b", 1)]]
    await turn()
    tasks[1].cancel()
    await turn()
    assert users.began == ["a", "b"]
    for name in "ab":
        users.may_end[name].set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_lent_and_is_cancelled_does_not_wait_for_a_share() -> None:
    users = Users(Shares(1))
    lender = asyncio.create_task(users.lend("lender"))
    await turn()
    others = [asyncio.create_task(users.use(name)) for name in "ab"]
    await turn()
    lender.cancel()
    await turn()
    assert lender.cancelled()
    assert users.began == ["a"]  # what was owed for a moment has made no share more
    users.may_end["a"].set()
    await turn()
    assert users.began == ["a", "b"]
    users.may_end["b"].set()
    await asyncio.gather(*others)


@dataclass
class Many:
    """Users of two kinds of shares in the order that is allowed, and how many hold some."""

    slots: Shares
    sockets: Shares
    holding: dict[str, int] = field(default_factory=lambda: {"slots": 0, "sockets": 0})

    async def work(self, steps: list[tuple[str, int]]) -> None:
        async with self._counted("slots", self.slots.taken(), 1):
            for what, count in steps:
                if what == "fails":
                    raise EOFError
                await self._step(what, count)

    async def _step(self, what: str, count: int) -> None:
        if what == "runs":
            for _ in range(count):
                await asyncio.sleep(0)
            return
        async with AsyncExitStack() as held:
            async with self._lent():
                wanted = min(count, 3)
                await held.enter_async_context(
                    self._counted("sockets", self.sockets.taken(count), wanted)
                )
            await asyncio.sleep(0)
            async with self._lent():
                await asyncio.sleep(0)

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[None]:
        async with self.slots.lent():
            self.holding["slots"] -= 1
            try:
                yield
            finally:
                self.holding["slots"] += 1

    @asynccontextmanager
    async def _counted(
        self, kind: str, taken: AbstractAsyncContextManager[None], count: int
    ) -> AsyncIterator[None]:
        async with taken:
            self.holding[kind] += count
            try:
                assert self.holding["sockets"] <= 3
                yield
            finally:
                self.holding[kind] -= count


_STEPS = st.lists(
    st.tuples(st.sampled_from(["runs", "sockets", "sockets", "fails"]), st.integers(1, 4)),
    max_size=5,
)


@settings(max_examples=250, deadline=None)
@given(
    work=st.lists(_STEPS, min_size=1, max_size=8),
    cancelled=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12),
)
def test_whatever_happens_all_shares_come_back_and_nobody_waits_for_ever(
    work: list[list[tuple[str, int]]], cancelled: list[tuple[int, int]]
) -> None:
    async def story() -> None:
        many = Many(Shares(2), Shares(3))
        tasks = [asyncio.create_task(many.work(steps)) for steps in work]
        for number, turns in cancelled:
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks[number % len(tasks)].cancel()  # some of them twice, also while they clean up
        for _ in range(1000):
            await asyncio.sleep(0)
        assert all(task.done() for task in tasks), "somebody waits for ever"
        assert many.holding == {"slots": 0, "sockets": 0}
        for shares, most in ((many.slots, 2), (many.sockets, 3)):
            await _once(lambda shares=shares, most=most: shares.taken(most))  # type: ignore[misc]
            users = Users(shares)
            more = [asyncio.create_task(users.use(f"{one}")) for one in range(most + 1)]
            await turn()
            assert len(users.began) == most
            for task in more:
                task.cancel()
            await asyncio.gather(*more, return_exceptions=True)

    asyncio.run(story())
