"""Which targets are measured again soon after a suspicion, until it is settled: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, field

from sitewatch.schedule import DAY
from storage.records import Verdict

FIRST_CHECK = 600.0  # seconds; each further check waits twice as long
MOST_CHECKS = 6


@dataclass(frozen=True)
class Suspect:
    """A target under suspicion: when it is measured again (epoch seconds), checks made so far."""

    due: float
    checks: int = 0


@dataclass
class Suspects:
    """The targets under suspicion. At most `per_day` checks are spent on a target in 24 hours."""

    per_day: int
    waiting: dict[str, Suspect] = field(default_factory=dict)
    _spent: dict[str, list[float]] = field(default_factory=dict)

    def note(self, url: str, verdict: Verdict, at: float) -> None:
        """Take in a verdict: a new suspicion, one that goes on, or one that is settled.

        Settled is what the verdict decides, whichever way. After the last check the target goes
        on at its usual cadence.
        """
        if not _is_suspicion(verdict):
            if verdict.status not in ("offline", "inconclusive"):
                self.waiting.pop(url, None)  # a measurement that says nothing settles nothing
            return
        before = self.waiting.get(url)
        if before is not None and at < before.due:
            return  # seen again in a usual round; the check is still to come
        checks = 0 if before is None else before.checks + 1
        if checks >= MOST_CHECKS:
            del self.waiting[url]
        else:
            self.waiting[url] = Suspect(at + FIRST_CHECK * 2**checks, checks)

    def next_due(self, at: float) -> float | None:
        """Return when the next check is due, None where nothing is suspected."""
        return min((self._due(url, at) for url in self.waiting), default=None)

    def take(self, at: float) -> list[str]:
        """Return the targets to check now, and count the checks."""
        urls = [url for url in self.waiting if self._due(url, at) <= at]
        for url in urls:
            self._spent[url] = [*self._recent(url, at), at]
        return urls

    def shift(self, seconds: float) -> None:
        """Move all times along with a clock that was set."""
        for url, suspect in self.waiting.items():
            self.waiting[url] = Suspect(suspect.due + seconds, suspect.checks)
        self._spent = {url: [at + seconds for at in spent] for url, spent in self._spent.items()}

    def keep_only(self, urls: set[str]) -> None:
        """Forget targets that are watched no more."""
        self.waiting = {url: suspect for url, suspect in self.waiting.items() if url in urls}

    def _due(self, url: str, at: float) -> float:
        spent = self._recent(url, at)
        if self.per_day < 1:
            return at + DAY
        free = spent[-self.per_day] + DAY if len(spent) >= self.per_day else 0.0
        return max(self.waiting[url].due, free)

    def _recent(self, url: str, at: float) -> list[float]:
        return [spent for spent in self._spent.get(url, []) if at - DAY < spent <= at]


def _is_suspicion(verdict: Verdict) -> bool:
    return verdict.status == "inconclusive" and verdict.certainty == "suspected"
