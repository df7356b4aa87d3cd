"""Page contrasts: the head of a page and the page in turns, and the front page of the same host.

A HEAD has the server say of this very page, to this very visitor, what it is and how long (RFC 9110
section 9.3.2: the same headers as for a GET), and there is no page in it that a box could look
through or change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from reports.attempts import path_of
from reports.techniques import CUT_OFF
from storage.failures import Failure
from storage.records import Connect, Exchange, Step

_ENDED = {*CUT_OFF, Failure.HTTP_TRUNCATED}


class PageContrast(msgspec.Struct, frozen=True, kw_only=True):
    """What the site's address answered to the name in turns."""

    heads: Sequence[Exchange] = ()
    pages: Sequence[Exchange] = ()  # asked for in short segments, which no narrow link swallows
    front: Exchange | None = None  # the host's front page, where another was asked for

    @property
    def head(self) -> Exchange | None:
        """The answer to HEAD, where it came at least twice and was always the same."""
        told = {(step.status, step.declared_bytes) for step in self.heads}
        answered = all(step.failure is None and step.status is not None for step in self.heads)
        return self.heads[0] if len(self.heads) >= 2 and answered and len(told) == 1 else None

    @property
    def page_never_came(self) -> bool:
        """Was the page cut off at least twice, and never whole?"""
        return len(self.pages) >= 2 and all(step.failure in _ENDED for step in self.pages)

    @property
    def timed_out(self) -> bool:
        """Did waiting for the page come to nothing, rather than its connection to an end?"""
        return any(step.failure == Failure.TIMEOUT for step in self.pages)

    @property
    def page_length(self) -> int | None:
        """The length of the page as it came, where it came at least twice and was the same."""
        if any(step.failure is not None or step.status is None for step in self.pages):
            return None
        lengths = {_length(step) for step in self.pages}
        return lengths.pop() if len(self.pages) >= 2 and len(lengths) == 1 else None


def page_contrast_of(steps: Iterable[Step]) -> PageContrast:
    """Read the page contrast out of the steps of one record."""
    arms = [step for step in steps if step.purpose == "contrast" and step.arm is not None]
    short = {
        (step.attempt, step.connection)
        for step in arms
        if isinstance(step, Connect) and step.max_segment is not None
    }
    asked = [step for step in arms if isinstance(step, Exchange) and step.url.startswith("http:")]
    elsewhere = {path_of(step.url) for step in asked if step.arm == "name@neutral"}
    own = [step for step in asked if step.arm == "name@site"]
    gets = [step for step in own if step.method is None]
    return PageContrast(
        heads=[step for step in own if step.method == "HEAD"],
        pages=[step for step in gets if (step.attempt, step.connection) in short],
        front=next((s for s in gets if elsewhere and path_of(s.url) not in elsewhere), None),
    )


def _length(step: Exchange) -> int | None:
    """Return the length of a page as sent, None where our cap hides it."""
    if step.declared_bytes is not None:
        return step.declared_bytes
    return None if step.truncated else step.received_bytes
