"""Contrasts: what the experiment says in which only the name differs, or only the address."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from reports.attempts import host_of, path_of
from reports.techniques import CUT_OFF
from storage.failures import Failure
from storage.records import Arm, Exchange, Handshake, Lookup, Step

Carrier: TypeAlias = Literal["hello", "request", "transfer", "question"]


class ArmResult(msgspec.Struct, frozen=True, kw_only=True):
    """One arm tried once. `passed` is None where the attempt says nothing about the name."""

    arm: Arm
    attempt: int
    name: str | None
    address: str
    passed: bool | None
    failure: str | None
    step: Handshake | Exchange | Lookup


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """All arms that were run for one case, with the name carried in one and the same way."""

    results: Sequence[ArmResult]

    def name_fails(self, arm: Arm, name: str) -> bool:
        """Tell whether `name` was cut off in `arm`: in every try, or in two of three.

        Some censors let few connections by, and only arms that are not clear are tried again.
        """
        tries = [r for r in self._of(arm) if (r.name or "").lower() == name]
        failed = sum(r.passed is False for r in tries)
        passed = len(tries) - failed
        return failed >= max(1, 2 * passed)

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

    def read_by(self, passes: Callable[[ArmResult], bool | None]) -> Contrast:
        """Return the same arms with another meaning of passing.

        What a censor says in the server's place (an alert, a page, a certificate) is bytes too;
        then an arm fails that got the censor's answer, and one passes that got another.
        """
        return Contrast(
            results=[msgspec.structs.replace(r, passed=passes(r)) for r in self.results]
        )

    def answered_for(self, name: str) -> bool:
        """Tell whether an address that runs no resolver answers `name` and no other name.

        Only somebody on the way can have said it. Of contrasts by questions.
        """
        tries = [r for r in self._of("name@neutral") if (r.name or "").lower() == name]
        others = [*self._of("foreign@neutral"), *self._of("neutral@neutral")]
        return (
            any(r.passed for r in tries)
            and bool(self._of("foreign@neutral"))
            and not any(r.passed for r in others)
            and {r.address for r in others} == {r.address for r in tries}
        )

    def _of(self, arm: Arm) -> list[ArmResult]:
        return [result for result in self.results if result.arm == arm]


def contrast_of(steps: Iterable[Step], carrier: Carrier = "hello") -> Contrast:
    """Read the arms out of the `steps` of one record, in the order of their attempts.

    The name is carried in a ClientHello, in the Host of a request in clear, in those of a long
    transfer of many answers, or in a question. An
    arm whose connection was never opened sent no name and is left out, and so are the handshakes
    of paired downloads, which are another experiment.
    """
    arms = [s for s in steps if s.purpose == "contrast" and s.arm is not None]
    shaken = {(s.arm, s.attempt, s.connection) for s in arms if isinstance(s, Handshake)}
    loaded = {(s.arm, s.attempt, s.connection) for s in arms if isinstance(s, Exchange)}
    results = []
    for step in arms:
        if isinstance(step, Handshake) and carrier == "hello":
            if (step.arm, step.attempt, step.connection) not in loaded:
                results.append(_of_handshake(step))
        elif isinstance(step, Exchange) and carrier in ("request", "transfer"):
            in_clear = (step.arm, step.attempt, step.connection) not in shaken
            if in_clear and step.method is None and _carrier(step) == carrier:
                results.append(_of_exchange(step))
        elif isinstance(step, Lookup) and carrier == "question":
            results.append(_of_lookup(step))
    results = [result for result in results if _is_of_the_page(result, results)]
    return Contrast(results=sorted(results, key=lambda result: result.attempt))


def _carrier(step: Exchange) -> Carrier:
    return "request" if step.requests is None else "transfer"


def _is_of_the_page(result: ArmResult, results: Sequence[ArmResult]) -> bool:
    """Tell whether a try asked for the page in question, and not for another of the host."""
    asked = {
        path_of(r.step.url)
        for r in results
        if r.arm == "name@neutral" and isinstance(r.step, Exchange)
    }
    return not isinstance(result.step, Exchange) or not asked or path_of(result.step.url) in asked


def merged(contrasts: Iterable[Contrast]) -> Contrast:
    """Return the arms of several records together."""
    results = [result for contrast in contrasts for result in contrast.results]
    return Contrast(results=sorted(results, key=lambda result: result.attempt))


class Pairs(msgspec.Struct, frozen=True, kw_only=True):
    """Downloads in pairs from one address: how often the name was much slower than a neutral."""

    slower: int = 0
    fair: int = 0
    address: str | None = None
    stopped_after: int | None = None  # bytes from the peer: the most that came before a stop

    @property
    def name_is_slower(self) -> bool:
        """Tell whether chance is ruled out.

        In a fair pair each transfer is three times as slow as the other at most one time in ten,
        so three pairs more that are slow than fair have odds of 1 to 99 (Wald's bound).
        """
        return self.slower - self.fair >= 3


def pairs_of(steps: Iterable[Step], name: str) -> Pairs:
    """Read paired downloads out of the `steps` of one record: exchanges inside TLS."""
    own: dict[int, Exchange] = {}
    neutral: dict[int, Exchange] = {}
    arms = [s for s in steps if s.purpose == "contrast" and s.arm is not None]
    named = {(s.arm, s.connection): s.server_name for s in arms if isinstance(s, Handshake)}
    for step in arms:
        if not isinstance(step, Exchange) or (step.arm, step.connection) not in named:
            continue
        if step.arm == "name@site" and (named[step.arm, step.connection] or "").lower() == name:
            own[step.attempt] = step
        elif step.arm == "neutral@site":
            neutral[step.attempt] = step
    both = [(own[n], neutral[n]) for n in own.keys() & neutral.keys()]
    both = [(one, other) for one, other in both if _comparable(one, other)]
    slow = sum(rate(other) >= _SLOWER * rate(one) and rate(other) > 0 for one, other in both)
    address = both[0][0].address if both else None
    stops = [one.wire_bytes or 0 for one, _ in both if one.failure == Failure.TIMEOUT]
    most = max(stops, default=None)
    return Pairs(slower=slow, fair=len(both) - slow, address=address, stopped_after=most)


def _comparable(named: Exchange, other: Exchange) -> bool:
    """Tell whether the same server gave the same page under both names, as in the probe.

    A server that knows no stranger's name answers with a short refusal, which always comes fast.
    """
    same = other.status == named.status if named.status is not None else other.status == 200
    enough = (other.received_bytes or 0) >= (named.received_bytes or 0)
    return named.address == other.address and same and enough


_SLOWER = 3.0  # times: what counts as a pair in which the name was slow, as in the probe


def rate(step: Exchange) -> float:
    """Return bytes per second until the last byte; a freeze counts until patience ended."""
    end = step.duration_us if step.failure == Failure.TIMEOUT else step.last_byte_us
    return (step.received_bytes or 0) / (end / 1e6) if end else 0.0


def _of_handshake(step: Handshake) -> ArmResult:
    spoke = (
        bool(step.bytes_received)
        or bool(step.chain)
        or step.version is not None
        or step.alert is not None
    )
    assert step.arm is not None
    return ArmResult(
        arm=step.arm,
        attempt=step.attempt,
        name=step.server_name,
        address=step.address,
        passed=_passed(spoke, step.failure),
        failure=step.failure,
        step=step,
    )


def _of_exchange(step: Exchange) -> ArmResult:
    assert step.arm is not None
    return ArmResult(
        arm=step.arm,
        attempt=step.attempt,
        name=step.host or host_of(step.url),
        address=step.address,
        passed=_went_on(step) if step.requests else _passed(step.status is not None, step.failure),
        failure=step.failure,
        step=step,
    )


def _went_on(step: Exchange) -> bool | None:
    """Tell whether a long transfer went on beyond what a freeze lets by, or fell silent."""
    if step.failure is None:
        return True if (step.wire_bytes or 0) >= _LONG else None
    return False if step.failure in (Failure.TIMEOUT, Failure.TIMED_OUT) else None


_LONG = 32 * 1024  # bytes; freezes were measured after 14 to 20 KB


def _of_lookup(step: Lookup) -> ArmResult:
    assert step.arm is not None
    return ArmResult(
        arm=step.arm,
        attempt=step.attempt,
        name=step.name.lower().rstrip("."),
        address=step.address or "",
        passed=bool(step.replies),
        failure=step.failure,
        step=step,
    )


def _passed(spoke: bool, failure: str | None) -> bool | None:
    if spoke:
        return True
    return False if failure in CUT_OFF else None
