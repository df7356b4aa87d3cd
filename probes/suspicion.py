"""Which facts call for a second look. Pure functions over steps; they conclude nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from storage.records import Exchange, Handshake, HelperAnswer, Lookup, Step


@dataclass(frozen=True)
class FailedHandshake:
    """A name whose handshake failed, or showed an invalid chain, at an address."""

    name: str
    address: str
    port: int


def looks_wrong(steps: Sequence[Step], helpers: Sequence[HelperAnswer], attempt: int) -> bool:
    """Tell whether anything in one attempt (0 is the first visit) is not as it should be."""
    mine = [step for step in steps if step.attempt == attempt and step.purpose != "contrast"]
    return (
        not _ended_with_a_page(mine)
        or any(_failed(step) for step in _of_the_system(mine))
        or any(_replies_differ(step) for step in mine if isinstance(step, Lookup))
        or _page_differs(mine, helpers)
    )


def failed_handshake(steps: Sequence[Step], attempt: int) -> FailedHandshake | None:
    """Return the first failed handshake of one attempt, of the system's addresses if any."""
    mine = [step for step in steps if step.attempt == attempt]
    preferred = [*_of_the_system(mine), *mine]
    for step in preferred:
        if isinstance(step, Handshake) and _failed(step) and step.server_name:
            return FailedHandshake(step.server_name, step.address, step.port)
    return None


def _of_the_system(steps: Sequence[Step]) -> list[Step]:
    """Return what a browser would meet: the system's answers and the steps at its addresses."""
    lookups = [step for step in steps if isinstance(step, Lookup) and step.resolver == "system"]
    known: dict[int, set[str]] = {}
    for lookup in lookups:
        known.setdefault(lookup.hop, set()).update(lookup.answers)
    chosen: list[Step] = []
    for hop, addresses in known.items():
        if not addresses:  # one family without an answer is ordinary, both are not
            chosen += [lookup for lookup in lookups if lookup.hop == hop]
    for step in steps:
        if isinstance(step, Lookup):
            continue
        addresses = known.get(step.hop, set())
        if not known or step.hop not in known or step.address in addresses:
            chosen.append(step)
    return chosen


def _failed(step: Step) -> bool:
    return step.failure is not None


def _ended_with_a_page(steps: Iterable[Step]) -> bool:
    exchanges = [step for step in _of_the_system(list(steps)) if isinstance(step, Exchange)]
    if not exchanges:
        return False
    last = max(exchanges, key=lambda step: step.hop)
    reached = max((step.hop for step in steps if isinstance(step, Lookup)), default=0)
    return last.failure is None and last.status is not None and last.hop >= reached


def _replies_differ(lookup: Lookup) -> bool:
    """Tell whether a race left replies that say different things."""
    said = {(reply.rcode, tuple(sorted(reply.answers))) for reply in lookup.replies}
    return len(said) > 1


def _page_differs(steps: Iterable[Step], helpers: Iterable[HelperAnswer]) -> bool:
    """Tell whether a page that came without TLS has another status or title than elsewhere."""
    pages = [
        step
        for step in steps
        if isinstance(step, Exchange) and step.url.startswith("http:") and step.status is not None
    ]
    if not pages:
        return False
    last = max(pages, key=lambda step: step.hop)
    seen = [
        helper.exchange
        for helper in helpers
        if helper.answered and helper.exchange.status is not None
    ]
    return bool(seen) and all(
        page.status != last.status or (page.title or "") != (last.title or "") for page in seen
    )
