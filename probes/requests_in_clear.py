"""Experiments on a request in clear: whether name, path or page is what is cut off or changed.

First the contrasts in which only the name differs. Where the path may be what fails, the host's
front page is asked for beside it. Where the name passes at a stranger's address, the page itself is
looked at: a HEAD has the server say of this very page, to this very visitor, what it is and how
long, and a box that looks for words, or exchanges them, finds no page to look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from probes.arms import request_in_clear, try_request
from probes.contrasts import Contrast, Tally, run_contrasts
from probes.prober import Prober
from probes.suspicion import Suspect
from probes.trace import Stage, Trace
from probes.transfers import try_transfer
from storage.records import Exchange

_TRANSFERS = 2  # tries of a long transfer
_MUST_PASS = ("neutral@site", "foreign@neutral")
_ROUNDS = 2  # of head and page
# Bytes, the least that every host must take (RFC 9293): no narrow link on the way swallows these.
_SHORT_SEGMENT = 536


async def run_requests(
    prober: Prober, trace: Trace, *, suspect: Suspect, arms: Sequence[Contrast]
) -> None:
    """Run the contrasts, as long transfers where the page had begun, and what they leave open."""
    if suspect.began:
        tally = await _run_transfers(prober, trace, arms)
    else:
        tally = await run_contrasts(prober, trace, arms=arms, try_arm=try_request)
    named = Contrast("name@site", suspect.name, suspect.address, suspect.port, suspect.path)
    if suspect.path != "/" and tally.has_failed("name@site"):
        front = Contrast("name@site", suspect.name, suspect.address, suspect.port)
        await try_request(prober, trace, _stage(0), front)
    if tally.has_passed("name@neutral") and not _is_answered_for(trace):
        await _look_at_page(prober, trace, named)


async def _run_transfers(prober: Prober, trace: Trace, arms: Sequence[Contrast]) -> Tally:
    """Run the contrasts as long transfers, and those that must pass once more in the end.

    A server or a line may have had enough of requests by then, and so fail for the name alone that
    came last. Other arms are left out, since each costs some 60 KB. A server that ends a connection
    after some answers is no penalty, and none is waited out.
    """
    further = next((arm.name for arm in arms if arm.arm == "neutral@site"), None)
    if further is None:
        return Tally({}, {})
    try_arm = partial(try_transfer, further=further)
    telling = [arm for arm in arms if arm.arm in (*_MUST_PASS, "name@neutral", "name@site")]
    tally = await run_contrasts(
        prober, trace, arms=telling, try_arm=try_arm, tries=_TRANSFERS, penalty=False
    )
    if tally.has_failed("name@site"):
        for arm in telling:
            if arm.arm in _MUST_PASS and tally.has_passed(arm.arm):
                stage = Stage("contrast", 0, _TRANSFERS, arm.arm)
                await try_arm(prober, trace, stage, arm)
    return tally


async def _look_at_page(prober: Prober, trace: Trace, named: Contrast) -> None:
    """Ask for the head of the page and for the page, in short segments, in turns."""
    for attempt in range(_ROUNDS):
        stage = _stage(attempt)
        head = await request_in_clear(prober, trace, stage, named, method="HEAD", uncompressed=True)
        if head is None or head.status is None:
            return
        await request_in_clear(
            prober, trace, stage, named, max_segment=_SHORT_SEGMENT, uncompressed=True
        )


def _is_answered_for(trace: Trace) -> bool:
    """Tell whether one and the same page came for the name from both addresses."""
    pages = {
        step.arm: step.body_sha256
        for step in trace.steps
        if isinstance(step, Exchange) and step.status is not None
    }
    own = pages.get("name@site")
    return own is not None and own == pages.get("name@neutral")


def _stage(attempt: int) -> Stage:
    return Stage("contrast", 0, attempt, "name@site")
