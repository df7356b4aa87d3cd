"""The deadline of a measurement and of each of its follow-ups, whatever they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

# Every wait for the network is bounded by itself: a target keeps its measurement waiting for a
# minute (`probes.patience`), a follow-up with its penalties for some twenty. In a long list of
# blocked sites waiting for a walk's turn comes on top, so that the deadline is far beyond that: it
# is for what nobody foresaw, which shall cost records and never a round.
MOST_SECONDS = 7200.0


async def in_time(work: Awaitable[None]) -> bool:
    """Do `work`; False where it was given up after `MOST_SECONDS`. Raises what it raises."""
    try:
        async with asyncio.timeout(MOST_SECONDS) as limit:
            await work
    except TimeoutError:
        if not limit.expired():
            raise
        return False
    return True
