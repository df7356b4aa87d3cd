"""Contrasts: what the experiment says in which only the name differs, or only the address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from reports.techniques import CUT_OFF
from storage.records import Arm, Exchange, Handshake, Step


class ArmResult(msgspec.Struct, frozen=True, kw_only=True):
    """One arm tried once. `passed` is None where the attempt says nothing about the name."""

    arm: Arm
    attempt: int
    name: str | None
    address: str
    passed: bool | None
    failure: str | None


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """All arms that were run for one case."""

    results: Sequence[ArmResult]

    def name_fails(self, arm: Arm, name: str) -> bool:
        """Tell whether `name` was cut off in every try of `arm`."""
        tries = [r for r in self._of(arm) if (r.name or "").lower() == name]
        return bool(tries) and all(r.passed is False for r in tries)

    def passes(self, arm: Arm) -> bool:
        """Tell whether the last try of `arm` got bytes back from the server."""
        tries = self._of(arm)
        return bool(tries) and tries[-1].passed is True

    def fails(self, arm: Arm) -> bool:
        """Tell whether `arm` was run and got nothing in any try."""
        tries = self._of(arm)
        return bool(tries) and all(r.passed is False for r in tries)

    def address(self, arm: Arm) -> str | None:
        """Return the address at which `arm` was last tried."""
        tries = self._of(arm)
        return tries[-1].address if tries else None

    def name_blocked_elsewhere(self, name: str) -> bool:
        """Tell whether `name` fails at a stranger's address where another foreign name passes."""
        return self.name_fails("name@neutral", name) and self.passes("foreign@neutral")

    def name_alone_decides(self, name: str) -> bool:
        """Tell whether nothing but `name` can explain the failure.

        The name fails at the site's and at the neutral address, the neutral name passes at the
        site's very address, and a foreign but harmless name passes at the neutral one.
        """
        site = {r.address for r in self._of("name@site")}
        return (
            self.name_fails("name@site", name)
            and self.name_blocked_elsewhere(name)
            and self.passes("neutral@site")
            and not self.fails("neutral@neutral")
            and self.address("neutral@site") in site
            and self.address("foreign@neutral") not in site
            and self.address("name@neutral") == self.address("foreign@neutral")
        )

    def _of(self, arm: Arm) -> list[ArmResult]:
        return [result for result in self.results if result.arm == arm]


def contrast_of(steps: Iterable[Step]) -> Contrast:
    """Read the arms out of `steps`, in the order of their attempts.

    An arm's outcome is its TLS handshake's, or its exchange's where there was none. An arm whose
    connection was never opened sent no name and is left out.
    """
    results: dict[tuple[Arm, int, int], ArmResult] = {}
    for step in steps:
        if step.purpose != "contrast" or step.arm is None:
            continue
        if isinstance(step, Handshake):
            results[step.arm, step.attempt, step.connection] = _of_handshake(step.arm, step)
        elif isinstance(step, Exchange):
            key = (step.arm, step.attempt, step.connection)
            results.setdefault(key, _of_exchange(step.arm, step))
    return Contrast(results=sorted(results.values(), key=lambda result: result.attempt))


def _of_handshake(arm: Arm, step: Handshake) -> ArmResult:
    spoke = (
        bool(step.bytes_received)
        or bool(step.chain)
        or step.version is not None
        or step.alert is not None
    )
    return ArmResult(
        arm=arm,
        attempt=step.attempt,
        name=step.server_name,
        address=step.address,
        passed=_passed(spoke, step.failure),
        failure=step.failure,
    )


def _of_exchange(arm: Arm, step: Exchange) -> ArmResult:
    hosts = [value for key, value in step.headers if key.lower() == "host"]
    return ArmResult(
        arm=arm,
        attempt=step.attempt,
        name=hosts[0] if hosts else None,
        address=step.address,
        passed=_passed(step.status is not None, step.failure),
        failure=step.failure,
    )


def _passed(spoke: bool, failure: str | None) -> bool | None:
    if spoke:
        return True
    return False if failure in CUT_OFF else None
