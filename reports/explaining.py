"""Explaining one verdict: what else it could have been, and why it was not that."""

from __future__ import annotations

from reports.address_evidence import cut_of
from reports.alternatives import Alternative, Answer
from reports.attempts import family_counts
from reports.cases import Case
from reports.conditions import trouble_abroad
from reports.evidence import Evidence
from reports.experiment_conditions import hello_blocked_beside, page_forged
from reports.filter_evidence import may_be_own_filter
from reports.fingerprints import Table
from reports.locating import located
from reports.outside import failed_like, of_vantage
from reports.page_conditions import reached_plain
from reports.text import plain
from reports.wording import counted, listed
from storage.records import Connect, Handshake, Walk

_WRONG_CLOCK = 24 * 3600  # seconds; smaller ones bring no chain out of its dates


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
    page = e.outcome.page if e.outcome is not None else None
    if page is not None and e.outcome is not None and e.outcome.verified:
        if (page.status or 0) >= 500:
            return _answer(question, "not ruled out", f"its own server said {page.status}")
        return _answer(question, "ruled out", "it answered inside TLS that is valid for its name")
    if e.reached_abroad:
        who = listed([plain(view.who) for view in e.reached_abroad[:3]])
        return _answer(question, "ruled out", f"from abroad {who} reached it in the same minutes")
    if e.reached_inside:
        return _answer(
            question, "ruled out", f"{plain(e.reached_inside[0].who)} reached it within the hour"
        )
    if e.proven and not (e.failed is not None and e.failed.layer == "http"):
        because = f"the address from {e.who_proved} completed valid TLS"
        return _answer(question, "ruled out", because)
    if _proved(e):
        return _answer(question, "unlikely", "its address answered other names in the experiment")
    if e.failed_abroad:
        return _answer(question, "not ruled out", "views from abroad failed in the same way")
    if trouble_abroad(e) is not None:
        return _answer(question, "not ruled out", "views from abroad failed too, in another way")
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
    if e.measurement.line.intercepted:
        return _answer(
            question, "unlikely", "neutral sites answered, though somebody opened up their TLS"
        )
    if e.measurement.line.state == "up":
        return _answer(
            question, "ruled out", "neutral sites passed inside valid TLS in the same round"
        )
    return _answer(question, "unlikely", "nothing answered in the neutral sites' place")


def _refusal(e: Evidence) -> Alternative:
    question = "The site itself refused this visitor."
    if e.failed is None and e.outcome is not None and e.outcome.verified:
        return _refusal_by_page(question, (e.outcome.page and e.outcome.page.status) or 0)
    if reached_plain(e) is not None:
        return _answer(question, "ruled out", "the page came that views from abroad got")
    if e.proven and (e.false_answers or (e.failed is not None and e.failed.layer == "dns")):
        because = f"the address from {e.who_proved} completed valid TLS for this visitor"
        return _answer(question, "ruled out", because)
    if _proved(e) or e.blocked_elsewhere:
        return _answer(
            question,
            "ruled out",
            "the name met the same at another operator's address, where the site has no part",
        )
    if e.failed is not None and e.failed.layer == "dns" and not _was_asked(e):
        return _answer(question, "unlikely", "nothing was sent to an address of the site")
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


def _refusal_by_page(question: str, status: int) -> Alternative:
    if status >= 500:
        return _answer(question, "unlikely", f"its own server told of an error ({status})")
    if status >= 400:
        return _answer(question, "not ruled out", f"its own server said {status}")
    return _answer(question, "ruled out", "its own page came")


def _was_asked(e: Evidence) -> bool:
    """Was anything sent to an address that others know as the site's?"""
    return any(isinstance(s, Connect) and s.address in e.named_elsewhere for s in e.steps)


def _other_addresses(e: Evidence) -> Alternative:
    question = "The site has other addresses here (a content network)."
    if e.failed is not None and e.failed.kind == ("dns", "forged-address") and e.failed.address:
        because = f"{plain(e.failed.address)} can belong to no public site"
        return _answer(question, "ruled out", because)
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
    question = "A program on this machine (a virus scanner, a firewall) interfered."
    if e.failed is None:
        return _answer(question, "ruled out", "the page came")
    if e.foreign_chain is None:
        return _nearby(e, question)
    if e.measurement.line.intercepted or e.foreign_chain.valid_by_system:
        return _answer(
            question, "not ruled out", "the authority is trusted here or met at neutral sites too"
        )
    if e.contrasts("hello").passes("neutral@neutral") or e.case.round is not None:
        return _answer(question, "unlikely", "neutral sites showed their own certificates")
    return _answer(question, "not ruled out", "no neutral site's certificate is at hand")


def _own_filter(e: Evidence) -> Alternative:
    question = "A filter on the volunteer's own resolver, router or tunnel."
    if e.failed is None:
        return _answer(question, "ruled out", "the page came")
    if not (e.failed.layer == "dns" or e.false_answers):
        return _nearby(e, question)
    if e.contrasts("question").answered_for(e.name):
        return _answer(
            question,
            "unlikely",
            "an answer came from where no resolver is, which a resolver alone cannot have done",
        )
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


def _nearby(e: Evidence, question: str) -> Alternative:
    """Weigh whether what cut the connection off stands at the volunteer's own place."""
    hop = _place_beyond(e)
    if hop is not None:
        return _answer(
            question, "ruled out", f"it happens at hop {hop}, behind a router with a public address"
        )
    if _met_by_others(e):
        return _answer(question, "unlikely", "another vantage of the country met the same")
    if e.failed_abroad and not e.reached_abroad:
        return _answer(question, "unlikely", "views from abroad failed in the same way")
    return _answer(
        question, "not ruled out", "nothing that was measured tells where on the way it happens"
    )


def _place_beyond(e: Evidence) -> int | None:
    """Return the hop at which it happens, if a router with a public address stands before it."""
    for stored in e.case.follow_ups:
        walks = [step for step in stored.record.steps if isinstance(step, Walk)]
        found = located(walks)
        public = max((walk.public_from or 0 for walk in walks), default=0)
        if found is None or found.hop is None or found.what in ("reached", "unknown"):
            continue
        if 0 < public < found.hop and not e.measurement.line.tunnelled:
            return found.hop
    return None


def _met_by_others(e: Evidence) -> bool:
    """Did another field vantage of the country fail in the same way?"""
    views = [of_vantage(one) for one in e.met_inside]
    return e.failed is not None and any(view and failed_like(view, e.failed) for view in views)


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
