"""What must be concluded in a scenario, written from what was set up and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from lab.described import Value

CERTAINTIES = (None, "suspected", "likely", "confirmed")

Truth: TypeAlias = Literal["", "censored", "innocent"]


class Outcome(Value, frozen=True, kw_only=True):
    """One acceptable conclusion about the first target."""

    status: Literal["accessible", "blocked", "down", "restricted", "inconclusive", "offline"]
    layer: str | None = None
    technique: str | None = None
    certainty: str | None = None  # the least that must be reached
    also: tuple[str, ...] = ()  # further layer.technique that are as right
    or_status: tuple[str, ...] = ()  # further statuses that are as right
    interference: tuple[str, ...] = ()  # layer.technique that must be among those seen

    def techniques(self) -> frozenset[str]:
        """Return every acceptable layer.technique; none means that it does not matter."""
        own = f"{self.layer}.{self.technique}" if self.layer else ""
        return frozenset(filter(None, (own, *self.also)))


class Expect(Outcome, frozen=True, kw_only=True):
    """What a careful observer must conclude at tier probing, and what the scenario is there for."""

    truth: Truth = ""
    covers: tuple[str, ...] = ()  # items of lab.zoo_items
    why: str = ""  # of a censored one: why it cannot be known from inside, in two sentences
    browser_like: Outcome | None = msgspec.field(default=None, name="browser-like")

    def at(self, tier: str) -> Outcome:
        """Return what must be concluded at a tier."""
        return self.browser_like if tier == "browser-like" and self.browser_like else self


def expect_mistakes(expect: Expect | None) -> Iterator[str]:
    """Yield what is wrong with an expectation although every key has the right type."""
    if expect is None:
        return
    for key, outcome in (("expect", expect), ("expect.browser-like", expect.browser_like)):
        if outcome is None:
            continue
        if outcome.certainty not in CERTAINTIES:
            yield f"key {key}.certainty: it is none of suspected, likely, confirmed"
        if outcome.status == "blocked" and not (outcome.layer and outcome.technique):
            yield f"key {key}.technique: a blocked target needs layer and technique"
        for name in (*outcome.also, *outcome.interference):
            if name.count(".") != 1:
                yield f"key {key}: {name!r} is not like layer.technique"
    unknown = expect.truth == "censored" and expect.status == "inconclusive"
    if unknown and expect.why.count(".") < 2:
        yield "key expect.why: two sentences must say why it cannot be known from inside"
