"""Evidence sheets: one representative measurement of an episode, step by step, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from reports.cases import Case
from reports.contrast import ArmResult, contrast_of
from reports.episodes import Episode
from reports.outside import network_name
from reports.readings import Reading
from reports.techniques import failure_in_words
from reports.text import plain
from reports.wording import listed
from storage.failures import Failure
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    HelperAnswer,
    HelperEndpoint,
    Lookup,
    Step,
    Verdict,
    corrected_seconds,
)

MOST_STEPS = 40
_WHOSE = {"system": "the system's resolver", "udp": "a public resolver"}
_ARMS = {
    "neutral@site": ("a neutral name", "the site's address"),
    "none@site": ("no name", "the site's address"),
    "name@site": ("the site's name", "the site's address"),
    "neutral@neutral": ("a neutral name", "an unrelated address"),
    "foreign@neutral": ("a foreign, harmless name", "an unrelated address"),
    "name@neutral": ("the site's name", "an unrelated address"),
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a sheet. `ok` None: it neither worked nor failed."""

    what: str
    where: str
    result: str
    ok: bool | None
    took: str = ""


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement laid out: its steps, its helpers, its contrast experiment."""

    id: str
    follow_ups: tuple[str, ...]
    seconds: float
    network: str
    certainty: str | None
    reasons: tuple[str, ...]
    steps: tuple[Row, ...]
    left_out: int
    arms: tuple[Row, ...]
    helpers: tuple[Row, ...]


def sheet_of(case: Case, verdict: Verdict) -> Sheet:
    """Lay out one judged case."""
    steps = case.measurement.steps
    followed = [step for stored in case.follow_ups for step in stored.record.steps]
    contrast = contrast_of([*steps, *followed])
    plain_steps = sorted(
        (step for step in steps if step.arm is None),
        key=lambda step: (step.attempt, step.hop, step.start),
    )
    return Sheet(
        id=case.id,
        follow_ups=tuple(stored.id for stored in case.follow_ups),
        seconds=corrected_seconds(case.measurement),
        network=plain(network_name(case.measurement.vantage)),
        certainty=verdict.certainty,
        reasons=tuple(verdict.reasons),
        steps=tuple(_row(step) for step in plain_steps[:MOST_STEPS]),
        left_out=max(0, len(plain_steps) - MOST_STEPS),
        arms=tuple(_arm(result) for result in contrast.results),
        helpers=tuple(_helper(answer) for answer in case.measurement.helpers),
    )


def representative(
    episode: Episode,
    readings: Iterable[Reading],
    cases: Mapping[str, Case],
) -> Case | None:
    """Return the case to show: of the strongest certainty, with an experiment, the earliest."""
    inside = set(episode.readings)
    strength = {"confirmed": 2, "likely": 1}
    chosen = [reading for reading in readings if reading.id in inside and reading.id in cases]
    if not chosen:
        return None
    best = min(
        chosen,
        key=lambda r: (
            -strength.get(r.certainty or "", 0),
            not cases[r.id].follow_ups,
            r.seconds,
            r.id,
        ),
    )
    return cases[best.id]


def took(microseconds: int) -> str:
    """Return a duration such as "9 ms" or "2.0 s"."""
    milliseconds = microseconds / 1000
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _row(step: Step) -> Row:
    load = f"reload {step.attempt}: " if step.attempt else ""
    hop = f" (redirect {step.hop})" if step.hop else ""
    if isinstance(step, Lookup):
        what, where, result, ok = _lookup(step)
    elif isinstance(step, Connect):
        what, where = "connect", _endpoint(step.address, step.port)
        result = failure_in_words(step.failure) if step.failure else "connected"
        ok = step.failure is None
    elif isinstance(step, Handshake):
        what, where, result, ok = _handshake(step)
    elif isinstance(step, Exchange):
        what, where, result, ok = _exchange(step)
    else:
        what, where = type(step).__name__.lower(), _endpoint(step.address, step.port)
        result = failure_in_words(step.failure) if step.failure else "done"
        ok = step.failure is None
    return Row(
        what=f"{load}{what}{hop}",
        where=plain(where),
        result=plain(result, 200),
        ok=ok,
        took=took(step.duration_us),
    )


def _lookup(step: Lookup) -> tuple[str, str, str, bool | None]:
    whose = _WHOSE.get(step.resolver, "an encrypted resolver")
    what = f"look up {plain(step.name)} {plain(step.type)}"
    if step.type == "AAAA" and step.failure in (None, Failure.DNS_NO_ANSWER) and not step.answers:
        return what, whose, "no IPv6 address", None  # most sites have none
    if step.failure is not None:
        return what, whose, failure_in_words(step.failure), False
    return what, whose, listed(step.answers) or "no address", bool(step.answers)


def _handshake(step: Handshake) -> tuple[str, str, str, bool]:
    sent = f"name {plain(step.server_name)} sent" if step.server_name else "no name sent"
    where = f"{_endpoint(step.address, step.port)}, {sent}"
    if step.valid:
        return "TLS", where, f"valid certificate, {step.version or 'TLS'}", step.failure is None
    result = failure_in_words(step.failure) if step.failure else "no valid certificate"
    if step.chain:
        result += f"; issued by {plain(step.chain[0].issuer or 'nobody')}"
    elif step.bytes_received == 0:
        result += "; not one byte came back"
    return "TLS", where, result, False


def _exchange(step: Exchange) -> tuple[str, str, str, bool]:
    if step.status is None:
        result = failure_in_words(step.failure) if step.failure else "no answer"
        return "request", step.url, result, False
    result = f"status {step.status}"
    if step.title:
        result += f", title “{plain(step.title, 80)}”"
    if step.failure:
        result += f", {step.failure}"
    return "request", step.url, result, step.failure is None and step.status < 400


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _arm(result: ArmResult) -> Row:
    name, address = _ARMS[result.arm]
    outcome = {True: "answered", False: "cut off", None: "says nothing"}[result.passed]
    if result.passed is False and result.failure:
        outcome += f": {failure_in_words(result.failure)}"
    sent = f"{name}, {plain(result.name)}" if result.name else name
    return Row(
        what=sent + (" (again)" if result.attempt else ""),
        where=f"{address}, {plain(result.address)}",
        result=plain(outcome),
        ok=result.passed,
    )


def _helper(answer: HelperAnswer) -> Row:
    if not answer.answered:
        result, ok = f"did not answer ({answer.failure or 'no reason given'})", None
    elif answer.exchange.status is not None and answer.exchange.failure is None:
        title = f", title “{plain(answer.exchange.title, 80)}”" if answer.exchange.title else ""
        result, ok = f"reached it: status {answer.exchange.status}{title}", True
    else:
        result, ok = f"could not reach it: {_first_failure(answer)}", False
    return Row(
        what="helper abroad",
        where=plain(answer.helper),
        result=plain(result, 200),
        ok=ok,
        took=took(answer.duration_us),
    )


def _first_failure(answer: HelperAnswer) -> str:
    endpoints: Sequence[HelperEndpoint] = [*answer.connect.values(), *answer.handshake.values()]
    failures = [endpoint.failure for endpoint in endpoints if endpoint.failure]
    known = (answer.dns_failure, *failures, answer.exchange.failure)
    return next((failure_in_words(failure) for failure in known if failure), "no reason given")
