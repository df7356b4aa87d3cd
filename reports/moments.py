"""Moments: the steps and helpers' answers behind one verdict, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from reports.cases import Case
from reports.steps_in_words import step_in_words
from reports.text import plain
from reports.wording import listed
from storage.records import HelperAnswer, Measurement, utc_seconds


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One step or helper's answer: when since the first of them, in microseconds."""

    after_us: int
    duration_us: int
    group: str  # "load", "reload 1", "contrast", "walk", "helper"
    text: str
    failed: bool


def moments(case: Case) -> list[Moment]:
    """Return every step of the measurement and its follow-ups, in the order of time."""
    records = [case.measurement, *(stored.record for stored in case.follow_ups)]
    start = min(
        (utc_seconds(step.start) for record in records for step in record.steps),
        default=utc_seconds(case.measurement.time),
    )
    found = [moment for record in records for moment in _moments_of(record, start)]
    return sorted(found, key=lambda moment: moment.after_us)


def _moments_of(record: Measurement, start: float) -> Iterator[Moment]:
    for step in record.steps:
        group = {"contrast": "contrast", "ttl-walk": "walk"}.get(step.purpose)
        load = f"reload {step.attempt}" if step.attempt else "load"
        yield Moment(
            after_us=round((utc_seconds(step.start) - start) * 1e6),
            duration_us=step.duration_us,
            group=group or load,
            text=step_in_words(step),
            failed=step.failure is not None,
        )
    for answer in record.helpers:
        yield Moment(
            after_us=round((utc_seconds(answer.start) - start) * 1e6),
            duration_us=answer.duration_us,
            group="helper",
            text=f"{plain(answer.helper)}: {plain(_told_by(answer), 200)}",
            failed=not answer.answered,
        )


def _told_by(answer: HelperAnswer) -> str:
    """Return what a helper said, of TLS too where its page failed."""
    page = answer.exchange
    if not answer.answered:
        return f"no answer ({answer.failure})"
    if page.status is not None:
        return f"status {page.status}, title “{page.title or ''}”"
    said = f"failed: {page.failure or answer.dns_failure or 'no word'}"
    if any(shaken.status for shaken in answer.handshake.values()):
        return f"{said}; TLS was completed"
    failures = {shaken.failure for shaken in answer.handshake.values() if shaken.failure}
    return f"{said}; TLS failed: {listed(sorted(failures))}" if failures else said
