"""Follow-ups: which experiments the facts of a measurement call for, each a record of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol
from urllib.parse import urlsplit

from probes.agreement import agreement_of
from probes.arms import DNS_PORT, HTTP_PORT, try_hello, try_question
from probes.contrasts import MOST_TRIES, TryArm, plan, run_contrasts
from probes.deadline import in_time
from probes.locate import Place, locate, see_where_it_ends
from probes.paired import run_paired
from probes.prober import Prober
from probes.quic import run_quic
from probes.requests_in_clear import run_requests
from probes.suspicion import (
    Endpoint,
    Suspect,
    doubted_lookup,
    failed_beside,
    failed_handshake,
    failed_request,
    is_opened_outside,
    looks_wrong,
    no_name_passed,
    silent_quic,
    slow_exchange,
    stalled_exchange,
    unopened_endpoint,
)
from probes.trace import Trace
from storage.records import Connect, HelperAnswer, Measurement, Record, Step, utc_text

Keep = Callable[[Record, Mapping[str, bytes]], Awaitable[str]]


class Budget(Protocol):
    """How many follow-ups a target may still cost today."""

    def take(self, url: str, at: float) -> bool:
        """Take one follow-up at `at` (seconds since the epoch); False where none is left."""

    def take_walk(self, url: str, at: float) -> bool:
        """Take the one walk of the day that shows the name of `url`."""


@dataclass(frozen=True)
class Experiment:
    """One follow-up that is wanted; `run` adds its steps to a trace."""

    run: Callable[[Trace], Awaitable[None]]
    walks: bool = False
    # Do the steps of the follow-ups before it call for it?
    called_for: Callable[[Sequence[Step]], bool] = lambda _: True


def experiments(prober: Prober, measured: Measurement) -> list[Experiment]:
    """Return the follow-ups that the facts call for and the tier allows."""
    if prober.settings.tier == "browser-like" or not prober.line_is_up or not measured.complete:
        return []
    last = max((step.attempt for step in measured.steps), default=0)
    wrong = looks_wrong(measured.steps, measured.helpers, last)  # no reload went well
    wrong = wrong or failed_handshake(measured.steps, last) is not None  # or a single one did
    of_pages = _of_what_failed if wrong else _of_what_came
    return [*of_pages(prober, measured, last), *_of_quic(prober, measured)]


def _of_quic(prober: Prober, measured: Measurement) -> list[Experiment]:
    silent = silent_quic(measured.steps)
    return [] if silent is None else [Experiment(partial(run_quic, prober, suspect=silent))]


def _of_what_failed(prober: Prober, measured: Measurement, attempt: int) -> list[Experiment]:
    steps, helpers = measured.steps, measured.helpers
    beside = failed_beside(steps)
    hello = beside or failed_handshake(steps, attempt)
    request, unopened = failed_request(steps, helpers, attempt), None
    question, stalled = doubted_lookup(steps, helpers), stalled_exchange(steps, attempt)
    if request is None and (hello is None or beside is not None):
        unopened = unopened_endpoint(steps, helpers, attempt)  # no name came to the system's own
    wanted: list[Experiment] = []
    if hello is not None:
        wanted += _contrast(prober, hello, try_hello)
    elif request is not None:
        wanted += _requests(prober, request)
    if unopened is not None:
        wanted.append(Experiment(partial(see_where_it_ends, prober, endpoint=unopened)))
    wanted += _deaf_address(prober, hello or request, helpers)
    if question is not None:
        wanted += _contrast(prober, question, try_question, DNS_PORT, tries=1)
    if stalled is not None:
        wanted.append(Experiment(partial(run_paired, prober, suspect=stalled, stopped=True)))
    place = _doubted_place(prober, question, hello, request)
    return wanted if place is None else [*wanted, _walk(prober, place)]


def _doubted_place(
    prober: Prober, question: Suspect | None, hello: Suspect | None, request: Suspect | None
) -> Place | None:
    """Return what the day's walk with the name is made for: the first on a browser's way.

    A walk of questions repeats the name, so that it is made at tier conspicuous alone.
    """
    if question is not None and prober.settings.tier == "conspicuous":
        return Place(question, "question")
    if hello is not None:
        return Place(hello, "hello")
    return None if request is None else Place(request, "request")


def _of_what_came(prober: Prober, measured: Measurement, attempt: int) -> list[Experiment]:
    """Return the experiments on a page that came, but not as it should."""
    name = urlsplit(measured.url).hostname or ""
    slow = slow_exchange(measured.steps, attempt, prober.pace_beside(name))
    if slow is None:
        return []
    return [Experiment(partial(run_paired, prober, suspect=slow, stopped=False))]


def _deaf_address(
    prober: Prober, suspect: Suspect | None, helpers: Sequence[HelperAnswer]
) -> list[Experiment]:
    """Return the look where packets end, for an address at which every name turned out to fail."""
    if suspect is None:
        return []
    place = Endpoint(suspect.address, suspect.port)
    if not is_opened_outside(place, helpers):
        return []
    run = partial(see_where_it_ends, prober, endpoint=place)
    return [Experiment(run, called_for=partial(no_name_passed, place=place))]


def walk_anyway(prober: Prober, measured: Measurement) -> Experiment | None:
    """Return the walk to what failed, else to the first address that the name was sent to.

    None where no address is known at all.
    """
    steps, helpers = measured.steps, measured.helpers
    last = max((step.attempt for step in steps), default=0)
    hello = failed_beside(steps) or failed_handshake(steps, last)
    request, question = failed_request(steps, helpers, last), doubted_lookup(steps, helpers)
    doubted = _doubted_place(prober, question, hello, request)
    if doubted is not None:
        return _walk(prober, doubted)
    tried = next((step for step in steps if isinstance(step, Connect) and step.port), None)
    if tried is None:
        return None
    name = urlsplit(measured.url).hostname or tried.address
    kind: Literal["hello", "request"] = "hello" if measured.url.startswith("https:") else "request"
    return _walk(prober, Place(Suspect(name, tried.address, tried.port), kind))


def _contrast(
    prober: Prober,
    suspect: Suspect,
    try_arm: TryArm,
    neutral_port: int | None = None,
    tries: int = MOST_TRIES,
) -> list[Experiment]:
    """Return the experiment, or none where no neutral host could play its part."""
    arms = plan(suspect, prober.neutrals, neutral_port)

    async def run(trace: Trace) -> None:
        await run_contrasts(prober, trace, arms=arms, try_arm=try_arm, tries=tries)

    return [Experiment(run)] if arms else []


def _requests(prober: Prober, suspect: Suspect) -> list[Experiment]:
    """Return the experiment on a request in clear, or none, as above."""
    arms = plan(suspect, prober.neutrals, HTTP_PORT)
    run = partial(run_requests, prober, suspect=suspect, arms=arms)
    return [Experiment(run)] if arms else []


def _walk(prober: Prober, place: Place) -> Experiment:
    return Experiment(partial(locate, prober, place=place), walks=True)


async def follow_up(
    prober: Prober,
    measured: Measurement,
    measured_id: str,
    experiment: Experiment,
    keep: Keep,
    budget: Budget,
) -> tuple[str, Measurement] | None:
    """Run one experiment and keep it; None where the budget or the line allows it no more.

    One that takes too long is given up and kept as incomplete.
    """
    now = prober.clock.wall()
    if not prober.line_is_up:
        return None
    if experiment.walks and not budget.take_walk(measured.url, now):
        return None
    if not budget.take(measured.url, now):
        return None
    own, started = prober.trace(), utc_text(now)
    ended, complete, kept = False, False, ""
    try:
        complete = await in_time(experiment.run(own))
        ended = True
    finally:
        record = record_of(
            prober,
            own,
            measured.url,
            started,
            measured.round,
            complete=complete,
            follows=measured_id,
        )
        if ended or own.steps:
            kept = await keep(record, prober.own.scrub_blobs(own.blobs))
    return kept, record


def record_of(
    prober: Prober,
    trace: Trace,
    url: str,
    started: str,
    round_id: str,
    *,
    complete: bool,
    follows: str | None = None,
) -> Measurement:
    """Return what was found so far as a record, without the volunteer's own addresses."""
    assert prober.line is not None, "a round looks at its line first"
    record = Measurement(
        simulated=prober.simulated,
        tool=prober.tool,
        url=url,
        time=started,
        round=round_id,
        follows=follows,
        complete=complete,
        tier=prober.settings.tier,
        vantage=prober.vantage,
        line=prober.line,
        steps=list(trace.steps),
        helpers=list(trace.helpers),
        agreement=agreement_of(trace.helpers),
    )
    return prober.own.scrub_record(record)
