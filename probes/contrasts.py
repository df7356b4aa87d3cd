"""Contrasts: experiments at one address in which only the name that is sent differs.

If a name fails at its own address and at a foreign one, while other names pass at both, then it
is the name that fails, and neither server, address nor line. See design.md section 4, stage 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from probes.addresses import same_operator
from probes.prober import NeutralHost, Prober
from probes.suspicion import FailedHandshake
from probes.tcp import connect
from probes.tls import handshake
from probes.trace import Stage, Trace
from storage.records import Arm, Handshake

PENALTY_SECONDS = 190.0  # residual blocking was measured at 60 to 180 s


@dataclass(frozen=True)
class Contrast:
    """One arm: which name is sent (None: none at all) to which address."""

    arm: Arm
    name: str | None
    address: str
    port: int


def plan(suspect: FailedHandshake, neutrals: Sequence[NeutralHost]) -> list[Contrast]:
    """Return the arms in the order in which they are run, the neutral ones first.

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
    site, port = suspect.address, suspect.port
    arms = [
        Contrast("neutral@neutral", near.name, near.address, 443),
        Contrast("neutral@site", near.name, site, port),
        Contrast("none@site", None, site, port),
    ]
    if strangers:
        arms.append(Contrast("foreign@neutral", strangers[0], near.address, 443))
    return [
        *arms,
        Contrast("name@neutral", suspect.name, near.address, 443),
        Contrast("name@site", suspect.name, site, port),
    ]


async def run_contrasts(
    prober: Prober, trace: Trace, suspect: FailedHandshake, arms: Sequence[Contrast]
) -> None:
    """Run the arms one after the other, and once more after the penalty if it may be on.

    Only a neutral name that fails at the site's address too can be the work of a penalty.
    """
    await _run_all(prober, trace, arms, attempt=0)
    if not _passed(trace, "neutral@site", 0) and _passed(trace, "neutral@neutral", 0):
        await prober.rest(PENALTY_SECONDS)
        await _run_all(prober, trace, arms, attempt=1)


async def _run_all(prober: Prober, trace: Trace, arms: Sequence[Contrast], attempt: int) -> None:
    limits = prober.settings.limits
    for arm in arms:
        stage = Stage("contrast", 0, attempt, arm.arm)
        connection = await connect(trace, stage, arm.address, arm.port, limits.connect_timeout)
        if connection is None:
            continue
        stream = await handshake(
            trace,
            stage,
            connection,
            arm.name,
            limits.tls_timeout,
            prober.judge,
            prober.clock_offset,
        )
        if stream is not None:
            stream.close()


def _passed(trace: Trace, arm: Arm, attempt: int) -> bool:
    """Tell whether any bytes came from the server in an arm, valid certificate or not."""
    return any(
        isinstance(step, Handshake)
        and step.arm == arm
        and step.attempt == attempt
        and (step.bytes_received or 0) > 0
        for step in trace.steps
    )
