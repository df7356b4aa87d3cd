"""The deadline of a measurement and of each of its follow-ups, whatever they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

# Every wait is bounded by itself, and with the default limits the longest way through a measurement
# takes five minutes, through a follow-up with its penalties some twenty. This is for what nobody
# foresaw, so that it costs one record and never a round.
MOST_SECONDS = 1800.0


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
