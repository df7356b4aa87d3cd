"""Explaining one verdict: its steps in time, the rules, and what else it could have been."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from reports.address_evidence import cut_of
from reports.alternatives import Alternative, Answer
from reports.attempts import family_counts
from reports.cases import Case
from reports.evidence import Evidence
from reports.experiment_conditions import hello_blocked_beside, page_forged
from reports.filter_evidence import may_be_own_filter
from reports.fingerprints import Table
from reports.steps_in_words import step_in_words
from reports.text import plain
from reports.wording import counted, listed
from storage.records import Handshake, Measurement, utc_seconds

_WRONG_CLOCK = 24 * 3600  # seconds; smaller ones bring no chain out of its dates


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
        page = answer.exchange
        if not answer.answered:
            said = f"no answer ({answer.failure})"
        elif page.status is not None:
            said = f"status {page.status}, title “{plain(page.title or '')}”"
        else:
            said = f"failed: {page.failure or answer.dns_failure or 'no word'}"
        yield Moment(
            after_us=round((utc_seconds(answer.start) - start) * 1e6),
            duration_us=answer.duration_us,
            group="helper",
            text=f"{plain(answer.helper)}: {plain(said, 200)}",
            failed=not answer.answered,
        )


def alternatives_of(case: Case, table: Table) -> list[Alternative]:
    """Return what else the verdict could have been, and why each was dropped or could not be."""
    e = Evidence(case, table)
    return [
        _down(e),
        _own_line(e),
        _captive(e),
        _refusal(e),
        _other_addresses(e),
        _ipv6(e),
        _clock(e),
        _own_machine(e),
        _own_filter(e),
        _helper_fault(e),
    ]


def _answer(question: str, answer: Answer, because: str) -> Alternative:
    return Alternative(
        question=question, answer=answer, because=f"{because[:1].upper()}{because[1:]}."
    )


def _proved(e: Evidence) -> bool:
    """Did an experiment show that the name alone decides?"""
    by_failure = e.failed is not None and e.contrast.name_alone_decides(e.name)
    beside = hello_blocked_beside(e) is not None
    return by_failure or beside or page_forged(e) is not None


def _down(e: Evidence) -> Alternative:
    question = "The site was down."
    if e.outcome is not None and e.outcome.page is not None and e.outcome.verified:
        return _answer(question, "ruled out", "it answered inside TLS that is valid for its name")
    if e.reached_abroad:
        who = listed([plain(view.who) for view in e.reached_abroad[:3]])
        return _answer(question, "ruled out", f"from abroad {who} reached it in the same minutes")
    if e.reached_inside:
        return _answer(
            question, "ruled out", f"{plain(e.reached_inside[0].who)} reached it within the hour"
        )
    if e.proven:
        because = f"the address from {e.who_proved} completed valid TLS"
        return _answer(question, "ruled out", because)
    if _proved(e):
        return _answer(question, "unlikely", "its address answered other names in the experiment")
    if e.failed_abroad:
        return _answer(question, "not ruled out", "views from abroad failed in the same way")
    return _answer(question, "not ruled out", "nobody abroad could be asked, or none could say")


def _own_line(e: Evidence) -> Alternative:
    question = "The volunteer's own line was broken."
    line, contrast = e.measurement.line, e.contrasts("hello")
    if line.state != "up":
        return _answer(question, "not ruled out", f"the line was {line.state}")
    if contrast.passes("neutral@neutral") or contrast.passes("foreign@neutral"):
        return _answer(question, "ruled out", "other names passed in the experiment beside it")
    if e.failed is None:
        return _answer(question, "ruled out", "the page came")
    return _answer(question, "unlikely", "neutral sites answered when the round began")


def _captive(e: Evidence) -> Alternative:
    question = "A login page of the local network answered."
    if e.measurement.line.state == "captive":
        return _answer(question, "not ruled out", "no neutral site passed, and something answered")
    if e.measurement.line.state == "up":
        return _answer(
            question, "ruled out", "neutral sites passed inside valid TLS in the same round"
        )
    return _answer(question, "unlikely", "nothing answered in the neutral sites' place")


def _refusal(e: Evidence) -> Alternative:
    question = "The site itself refused this visitor."
    if e.failed is None and e.outcome is not None and e.outcome.verified:
        return _answer(question, "ruled out" if _fine(e) else "not ruled out", "its own page came")
    if _proved(e) or e.blocked_elsewhere:
        return _answer(
            question,
            "ruled out",
            "the name met the same at another operator's address, where the site has no part",
        )
    if e.failed is not None and e.failed.layer == "dns":
        return _answer(question, "ruled out", "the site was not asked: its name did not resolve")
    if e.reached_inside:
        return _answer(question, "unlikely", "another network of the country reached it")
    if cut_of(e) is not None:
        return _answer(
            question, "unlikely", "packets to its address end on the way, before others' do"
        )
    return _answer(
        question,
        "not ruled out",
        "no experiment and no other network of the country speaks against it",
    )


def _fine(e: Evidence) -> bool:
    page = e.outcome.page if e.outcome is not None else None
    return page is not None and (page.status or 0) < 400


def _other_addresses(e: Evidence) -> Alternative:
    question = "The site has other addresses here (a content network)."
    if not e.false_answers:
        return _answer(question, "ruled out", "no address was held against the site")
    if e.failed is not None and e.repeated:
        addresses = listed([plain(address) for address in sorted(e.false_answers)[:3]])
        return _answer(
            question,
            "ruled out",
            f"{addresses} completed no TLS that is valid for the name, and others' addresses did",
        )
    return _answer(question, "not ruled out", "it was tried only once")


def _ipv6(e: Evidence) -> Alternative:
    question = "IPv6 is broken on this line."
    failed = e.failed
    if failed is None or failed.address is None or ":" not in failed.address:
        return _answer(question, "ruled out", "what decided was not met over IPv6")
    if family_counts(e.measurement.line, failed.address):
        return _answer(question, "ruled out", "a neutral site passed over IPv6 in the same minutes")
    return _answer(question, "not ruled out", "no neutral site passed over IPv6")


def _clock(e: Evidence) -> Alternative:
    question = "The machine's clock was wrong."
    offset = e.measurement.line.clock_offset_us
    dated = any(
        isinstance(s, Handshake) and s.failure == "ssl_invalid_certificate"
        for s in e.measurement.steps
    )
    if not dated:
        return _answer(question, "ruled out", "no certificate was refused for its dates")
    if offset is None:
        return _answer(question, "not ruled out", "the clock could not be compared")
    off = abs(offset) / 1e6
    return _answer(
        question,
        "ruled out" if off < _WRONG_CLOCK else "unlikely",
        f"chains were judged by the time corrected for {off:.0f} seconds",
    )


def _own_machine(e: Evidence) -> Alternative:
    question = "A program on this machine (a virus scanner) looked into the connection."
    if e.foreign_chain is None:
        return _answer(question, "ruled out", "no certificate of another party was shown")
    if e.measurement.line.intercepted or e.foreign_chain.valid_by_system:
        return _answer(
            question, "not ruled out", "the authority is trusted here or met at neutral sites too"
        )
    if e.contrasts("hello").passes("neutral@neutral") or e.case.round is not None:
        return _answer(question, "unlikely", "neutral sites showed their own certificates")
    return _answer(question, "not ruled out", "no neutral site's certificate is at hand")


def _own_filter(e: Evidence) -> Alternative:
    question = "A filter on the volunteer's own resolver, router or tunnel."
    if e.failed is None or not (e.failed.layer == "dns" or e.false_answers):
        return _answer(question, "ruled out", "the resolver's answer was not what failed")
    if e.contrasts("question").answered_for(e.name):
        return _answer(question, "ruled out", "an answer came from where no resolver is")
    if may_be_own_filter(e):
        return _answer(
            question,
            "not ruled out",
            "the resolver is in the volunteer's own network or tunnel, is one that he chose, or "
            "nobody knows where it stands",
        )
    if e.measurement.line.resolver_at_home is False:
        return _answer(question, "unlikely", "the resolver is the network's own")
    return _answer(question, "unlikely", "others that were asked in clear were answered for too")


def _helper_fault(e: Evidence) -> Alternative:
    question = "A helper was wrong."
    asked = len(e.measurement.helpers)
    if not e.helpers:
        return _answer(
            question,
            "ruled out",
            f"{counted(asked, 'helper')} asked, none answered, and no verdict rests on them"
            if asked
            else "none was asked",
        )
    if _proved(e):
        return _answer(question, "ruled out", "the experiment needs no helper")
    agreeing = len({(view.reached, view.layer, view.status) for view in e.helpers}) == 1
    if len(e.helpers) > 1 and agreeing:
        return _answer(question, "unlikely", f"{counted(len(e.helpers), 'helper')} said the same")
    return _answer(
        question, "not ruled out", "one helper alone answered, or they said different things"
    )
