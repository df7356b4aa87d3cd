"""A sequential test with stated error rates: how many tries are enough to know."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Literal, TypeAlias

Decision: TypeAlias = Literal["fails", "passes"]


@dataclass(frozen=True)
class Sequential:
    """Wald's sequential probability ratio test on tries that fail or pass.

    `by_chance` is how often a try fails where nothing interferes, `for_cause` how often where
    something does. It says "fails" of what only fails by chance with at most `error`, and "passes"
    of what fails for a cause with at most `miss` (Wald 1945: the bounds are log((1 - miss) / error)
    and log(miss / (1 - error))).
    """

    by_chance: float = 0.05  # one connection in twenty is lost on a bad line
    for_cause: float = 0.98  # measured censors let few by: published miss rates are below 2 %
    error: float = 0.01
    miss: float = 0.01

    def decide(self, failed: int, passed: int) -> Decision | None:
        """Return what is clear after so many tries, None where more are needed."""
        score = failed * log(self.for_cause / self.by_chance) + passed * log(
            (1 - self.for_cause) / (1 - self.by_chance)
        )
        if score >= log((1 - self.miss) / self.error):
            return "fails"
        return "passes" if score <= log(self.miss / (1 - self.error)) else None
