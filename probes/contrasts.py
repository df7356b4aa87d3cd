"""Contrasts: experiments at one address in which only the name that is sent differs.

If a name fails at its own address and at a foreign one, while other names pass at both, then it
is the name that fails, and neither server, address nor line. See design.md section 4, stage 7.
The arms without the suspected name come first, each group in random order on fresh ports: a
censor's penalty for the name must not spoil them, and no order is a signature.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from probes.addresses import same_operator
from probes.prober import NeutralHost, Prober
from probes.sequential import Sequential
from probes.suspicion import Suspect
from probes.trace import Stage, Trace
from storage.records import Arm

PENALTY_SECONDS = 190.0  # residual blocking was measured at 60 to 180 s
MOST_TRIES = 3  # of one arm, the penalty not counted
_TEST = Sequential()
_chance = random.SystemRandom()


@dataclass(frozen=True)
class Contrast:
    """One arm: which name is sent (None: none at all) to which address."""

    arm: Arm
    name: str | None
    address: str
    port: int
    path: str = "/"  # of the request, where one is sent

    @property
    def shows_the_name(self) -> bool:
        return self.arm in {"name@site", "name@neutral"}


# Tries one arm and records its steps; True where any bytes came from the server, None where the
# try says nothing of the name because no connection was opened.
TryArm: TypeAlias = Callable[[Prober, Trace, Stage, Contrast], Awaitable[bool | None]]


def plan(
    suspect: Suspect, neutrals: Sequence[NeutralHost], neutral_port: int | None = None
) -> list[Contrast]:
    """Return the arms, those without the suspected name first.

    Empty where no neutral host of another operator passed in this round: then nothing can be
    learnt, and the suspect name is not sent in vain.
    """
    elsewhere = [
        neutral
        for neutral in neutrals
        if neutral.name != suspect.name and not same_operator(neutral.address, suspect.address)
    ]
    if not elsewhere:
        return []
    near = elsewhere[0]
    strangers = [each.name for each in neutrals if each.name not in {near.name, suspect.name}]
    site, port, path = suspect.address, suspect.port, suspect.path
    there = neutral_port or 443
    harmless = [
        Contrast("neutral@neutral", near.name, near.address, there, path),
        Contrast("neutral@site", near.name, site, port, path),
        Contrast("none@site", None, site, port, path),
    ]
    if strangers:
        harmless.append(Contrast("foreign@neutral", strangers[0], near.address, there, path))
    named = [
        Contrast("name@neutral", suspect.name, near.address, there, path),
        Contrast("name@site", suspect.name, site, port, path),
    ]
    return [*harmless, *named]


@dataclass
class Tally:
    """How the tries of the arms went."""

    failed: dict[Arm, int]
    passed: dict[Arm, int]

    def note(self, arm: Arm, outcome: bool | None) -> None:
        if outcome is not None:
            counts = self.passed if outcome else self.failed
            counts[arm] = counts.get(arm, 0) + 1

    def is_clear(self, arm: Arm) -> bool:
        """Tell whether enough was tried to know whether the name fails in an arm.

        At the site's address it has failed before, in the visit.
        """
        before = 1 if arm == "name@site" else 0
        return _TEST.decide(self.failed.get(arm, 0) + before, self.passed.get(arm, 0)) is not None

    def has_passed(self, arm: Arm) -> bool:
        return self.passed.get(arm, 0) > 0

    def has_failed(self, arm: Arm) -> bool:
        return self.failed.get(arm, 0) > 0 and not self.has_passed(arm)


async def run_contrasts(
    prober: Prober,
    trace: Trace,
    *,
    arms: Sequence[Contrast],
    try_arm: TryArm,
    tries: int = MOST_TRIES,
    penalty: bool = True,
) -> Tally:
    """Run the arms: those without the name once, then each named one until its answer is clear.

    Returns how the tries went, after a penalty those of the second round alone. `penalty` False:
    none is waited out, since arms of this kind fail for other reasons.

    Where a neutral name fails at the site's address too, that may be the work of a penalty: it is
    waited out and they are tried once more, before the name is sent again. Where no neutral name
    passes at all nothing can be learnt, and the suspected name is not sent.
    """
    attempts = range(tries)
    harmless = [arm for arm in arms if not arm.shows_the_name]
    tally = await _run_once(prober, trace, harmless, try_arm, attempts[0])
    if penalty and tally.has_passed("neutral@neutral") and not tally.has_passed("neutral@site"):
        await prober.rest(PENALTY_SECONDS)
        attempts = range(tries, 2 * tries)
        tally = await _run_once(prober, trace, harmless, try_arm, attempts[0])
    if not tally.passed:
        return tally
    for arm in _shuffled([arm for arm in arms if arm.shows_the_name]):
        for attempt in attempts:
            outcome = await try_arm(prober, trace, _stage(arm, attempt), arm)
            tally.note(arm.arm, outcome)
            if outcome is None or tally.is_clear(arm.arm):
                break
    return tally


async def _run_once(
    prober: Prober, trace: Trace, arms: Sequence[Contrast], try_arm: TryArm, attempt: int
) -> Tally:
    tally = Tally({}, {})
    for arm in _shuffled(arms):
        tally.note(arm.arm, await try_arm(prober, trace, _stage(arm, attempt), arm))
    return tally


def _stage(arm: Contrast, attempt: int) -> Stage:
    return Stage("contrast", 0, attempt, arm.arm)


def _shuffled(arms: Sequence[Contrast]) -> list[Contrast]:
    return _chance.sample(list(arms), len(arms))
