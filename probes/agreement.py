"""Whether helpers say the same of one URL: a fact about their words, no conclusion about the site.

A helper that kept silent says nothing and neither agrees nor disagrees: it only stands among those
who were asked. An answer that leaves a point open says nothing of that point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

from probes.text import distance
from storage.records import HelperAgreement, HelperAnswer, HelperEndpoint

# Simhashes of one page fetched twice differ in few of 64 bits: Manku et al. (WWW 2007) took up
# to 3 for near-duplicates among 8 billion pages; short pages with a date on them move further.
ALIKE_BITS = 8

_T = TypeVar("_T")


def agreement_of(answers: Sequence[HelperAnswer]) -> HelperAgreement | None:
    """Return how far the answers agree; None where fewer than two helpers were asked.

    Each point is None unless at least two helpers spoke of it.
    """
    if len(answers) < 2:
        return None
    spoke = [answer for answer in answers if answer.answered]
    pages = [answer.exchange for answer in spoke]
    return HelperAgreement(
        asked=len(answers),
        answered=len(spoke),
        names=_same(_found_addresses(answer) for answer in spoke),
        addresses=_alike(
            (frozenset(answer.dns) or None for answer in spoke),
            lambda one, other: not one.isdisjoint(other),
        ),
        connect=_same_at_endpoints(_states(answer.connect) for answer in spoke),
        handshake=_same_at_endpoints(_states(answer.handshake) for answer in spoke),
        keys=_same_at_endpoints(answer.keys for answer in spoke),
        page=_same(_got_page(answer) for answer in spoke),
        status=_same(page.status for page in pages),
        title=_same(page.title for page in pages),
        text=_alike(
            (page.simhash for page in pages),
            lambda one, other: distance(one, other) <= ALIKE_BITS,
        ),
    )


def _found_addresses(answer: HelperAnswer) -> bool | None:
    if answer.dns:
        return True
    return None if answer.dns_failure is None else False


def _got_page(answer: HelperAnswer) -> bool | None:
    if answer.exchange.status is not None:
        return True
    return None if answer.exchange.failure is None else False


def _states(endpoints: Mapping[str, HelperEndpoint]) -> dict[str, bool]:
    return {where: each.status for where, each in endpoints.items()}


def _alike(said: Iterable[_T | None], alike: Callable[[_T, _T], bool]) -> bool | None:
    """Tell whether any two of those who spoke say what is alike; None where fewer than two did."""
    spoken = [each for each in said if each is not None]
    return all(alike(*pair) for pair in combinations(spoken, 2)) if len(spoken) > 1 else None


def _same(said: Iterable[_T | None]) -> bool | None:
    return _alike(said, lambda one, other: one == other)


def _same_at_endpoints(said: Iterable[Mapping[str, object]]) -> bool | None:
    """Tell whether they say the same of every endpoint that at least two of them speak of."""
    spoken = list(said)
    found = [_same(each.get(where) for each in spoken) for where in {w for e in spoken for w in e}]
    shared = [same for same in found if same is not None]
    return all(shared) if shared else None
