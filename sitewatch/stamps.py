"""The time that documents name as their own: that of the newest data that they were made from.

Not the moment of writing: whoever holds the same data, however they came to them, gets the same
document byte for byte, and it tells nothing about when somebody sat at which machine.
"""

from __future__ import annotations

import math

from storage.records import utc_text
from storage.store import Store

_GRAIN = 600  # seconds; what is public is rounded outward to it


def stamp(newest: float | None, *, exact: bool) -> str:
    """Return the stamp of data whose newest is of that time (seconds), up to 10 minutes later."""
    seconds = newest or 0.0
    return utc_text(seconds if exact else math.ceil(seconds / _GRAIN) * _GRAIN)


def stamp_of(store: Store, *, exact: bool) -> str:
    """Return the stamp of all that a database holds."""
    return stamp(store.newest(), exact=exact)
