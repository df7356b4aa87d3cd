"""The days that a database speaks of, for commands that are not told any."""

from __future__ import annotations

from sitewatch.console import Failed
from storage.records import utc_text
from storage.store import Store


def measured_days(store: Store) -> tuple[str, str]:
    """Return the first and the last UTC day on which anything was measured, by corrected time."""
    first, last = store.oldest(), store.newest()
    if first is None or last is None:
        raise Failed(f"{store.name} holds no measurements yet")
    return utc_text(first)[:10], utc_text(last)[:10]
