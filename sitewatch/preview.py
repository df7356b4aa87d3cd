"""What a day and a month of unattended measuring amount to, estimated before anything is sent."""

from __future__ import annotations

from collections import Counter

import msgspec

from sitewatch.config import Config
from sitewatch.daemon_plan import MEGABYTE, Plan, rounds_a_day
from sitewatch.daemon_state import DaemonState
from sitewatch.watchlist import Watchlist

DAYS = 30  # of a month
# Half of the sites send a visitor on to another address once.
_REQUESTS_PER_VISIT = 1.5
_A_MONTH_BEGINS = 1_775_001_600.0  # 2026-04-01: the preview is of a whole month of 30 days


class CategoryPreview(msgspec.Struct, frozen=True):
    """One kind of sites: how many there are, how often they are opened in a day."""

    sites: int
    visits: float


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A usual day in which nothing looks wrong."""

    hours: str
    rounds: float
    visits: float
    names: int  # different host names that a watcher of the line can see
    lookups: float
    requests: float
    bytes: float
    budget: int  # of a month
    stretch: float  # by which rounds will be slowed to stay within the budget
    categories: dict[str, CategoryPreview]


def preview_of(config: Config, watchlist: Watchlist, now: float) -> Preview:
    """Return the preview of a configuration. `now` (epoch seconds) decides on daylight saving."""
    plan = Plan(config, watchlist, DaemonState())
    rounds = {kind: rounds_a_day(each, now) for kind, each in plan.cadences().items()}
    sites: Counter[str] = Counter(target.category for target in watchlist.targets)
    visits: dict[str, float] = dict.fromkeys(sites, 0.0)
    for target in watchlist.targets:
        often = rounds.get("watched", 0.0) if target.url in watchlist.watched else 0.0
        visits[target.category] += rounds["all"] + often
    total = sum(visits.values())
    resolvers = 1 + len(config.resolvers.public) + len(config.resolvers.doh)
    used = plan.state.usage.per_target() * total
    budget = config.limits.month_megabytes * MEGABYTE
    return Preview(
        hours=config.schedule.waking_hours,
        rounds=sum(rounds.values()),
        visits=total,
        names=len({target.host for target in watchlist.targets}),
        lookups=2 * resolvers * total,  # two types of address
        requests=(_REQUESTS_PER_VISIT + len(config.helpers.urls)) * total,
        bytes=used,
        budget=budget,
        stretch=max(1.0, plan.state.usage.stretch(budget, total, _A_MONTH_BEGINS)),
        categories={code: CategoryPreview(sites[code], visits[code]) for code in sites},
    )
