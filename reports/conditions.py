"""Conditions: for each rule, what must have been seen for it to fire, and what fills its sentence.

A condition returns None (it does not fire) or a `Finding`. Names and issuers in a finding come
from the network: they are stripped of control characters here and escaped by every writer.
"""

from __future__ import annotations

import msgspec

from reports.address_evidence import address_lives, cut_of
from reports.attempts import Outcome
from reports.evidence import Evidence
from reports.techniques import in_words
from reports.text import plain
from storage.records import Handshake, Layer

# Failures that a server can cause by itself, by the visitor's country (design, two witnesses).
SERVER_CAN_CAUSE = frozenset(
    [
        "timeout",
        "reset",
        "closed",
        "alert",
        "not-tls",
        "refused",
        "unreachable",
        "stalled",
        "truncated",
    ]
)
ROOTS_MAY_BE = 365  # days: an older root store does not know the newest public authorities


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """That a rule fired: the technique it found and the words for its sentence."""

    layer: Layer | None = None
    technique: str | None = None
    words: dict[str, str] = {}


def found(outcome: Outcome, **words: str) -> Finding:
    path = f"{outcome.layer}.{outcome.technique}"
    standard = {"name": plain(outcome.name), "path": path, "what": in_words(path)}
    return Finding(layer=outcome.layer, technique=outcome.technique, words=standard | words)


# --- what cannot be judged --------------------------------------------------------------------


def incomplete(e: Evidence) -> Finding | None:
    return None if e.measurement.complete else Finding()


def line_not_up(e: Evidence) -> Finding | None:
    state = e.measurement.line.state
    return None if state == "up" else Finding(words={"state": state})


def nothing_tried(e: Evidence) -> Finding | None:
    return Finding() if e.outcome is None else None


# --- the page did not come: experiments and artefacts -------------------------------------------


def _strange_chain(e: Evidence) -> Handshake | None:
    """A chain that is not the site's, at an address that others know as the site's."""
    failed = e.failed
    if failed is None or failed.address not in e.named_elsewhere:
        return None
    return e.foreign_chain


def state_interception(e: Evidence) -> Finding | None:
    """A known state's authority in any load; where no load failed it is `state_chain_seen`."""
    return None if e.failed is None else _state_chain(e)


def state_chain_seen(e: Evidence) -> Finding | None:
    """The same where the page came all the same: often only some paths are intercepted."""
    return None if e.failed is not None else _state_chain(e)


def _state_chain(e: Evidence) -> Finding | None:
    if not (e.reached_abroad or e.reached_inside):
        return None
    where = "from abroad" if e.reached_abroad else "from another network of the country"
    for certificate in (each for step in e.strange_chains for each in step.chain):
        issuer = certificate.issuer or ""
        rows = e.fingerprints.of_text("tls.issuer", issuer)
        if any(row.is_innocent for row in rows):
            continue
        if any(row.is_trusted and row.scope == "nat" for row in rows):
            words = {"name": plain(e.name), "issuer": plain(issuer), "where": where}
            return Finding(layer="tls", technique="mitm", words=words)
    return None


def interception_likely(e: Evidence) -> Finding | None:
    """Unknown issuer at the site's own address, while this machine's other TLS is untouched."""
    handshake = _strange_chain(e)
    if handshake is None or e.failed is None or not (e.repeated and e.reached_abroad):
        return None
    if e.failed_abroad:  # one helper's word against another's
        return None
    # An expired chain or another host's may be the site's own mistake.
    if handshake.failure != "ssl_unknown_authority" or not _untouched_elsewhere(e):
        return None
    # Only the experiment tells a forger from an authority that our roots do not know yet.
    if not e.contrast.passes("neutral@site"):
        return None
    if handshake.valid_by_system or _roots_are_old(e) or _shown_to_all_names(e):
        return None
    return found(e.failed, issuer=plain(handshake.chain[-1].issuer or "an unnamed authority"))


def _shown_to_all_names(e: Evidence) -> bool:
    """Does the authority belong to the address, and not to the name?

    Where it vouches there for any name or none, and not for this name at another address, it may be
    the server's own: an authority too new for our roots, or one that only others know.
    """
    contrast = e.contrast
    at_site = contrast.fails("neutral@site") or contrast.fails("none@site")
    return at_site and contrast.passes("name@neutral")


def _roots_are_old(e: Evidence) -> bool:
    instrument = e.case.round.instrument if e.case.round is not None else None
    age = instrument.roots_age_days if instrument is not None else None
    return age is not None and age > ROOTS_MAY_BE


def _untouched_elsewhere(e: Evidence) -> bool:
    """Did a neutral site show a valid chain on this line, in the contrast or in the round?"""
    if e.measurement.line.intercepted:
        return False
    steps = [step for stored in e.case.follow_ups for step in stored.record.steps]
    own = [s for s in steps if isinstance(s, Handshake) and s.arm == "neutral@neutral"]
    neutral = e.case.round.steps if e.case.round is not None else []
    return any(s.valid for s in [*own, *(s for s in neutral if isinstance(s, Handshake))])


def intercepted_here(e: Evidence) -> Finding | None:
    """This machine trusts the unknown authority, or may, as it vouches for neutral sites as well.

    Then the chain tells of a program here or of an office (virus scanners install their root), and
    nothing of the site.
    """
    chain = e.foreign_chain
    if chain is None or chain.valid_by_system is False:
        return None
    return _opened_up(e) if chain.valid_by_system or _everywhere(e) else None


def intercepted_on_the_line(e: Evidence) -> Finding | None:
    """The same unknown authority opens up everything, and this machine does not trust it.

    No program of this machine's own does that, but a gateway of the local network might.
    """
    chain = e.foreign_chain
    return _opened_up(e) if chain and chain.valid_by_system is False and _everywhere(e) else None


def _everywhere(e: Evidence) -> bool:
    """Does the authority of the chain vouch for neutral sites on this line as well?"""
    neutral = e.case.round.steps if e.case.round is not None else []
    shown = [s for s in neutral if isinstance(s, Handshake) and s.chain]
    strange = {s.chain[-1].issuer for s in shown if s.valid is False}
    return e.foreign_issuer in strange or bool(e.measurement.line.intercepted and not shown)


def _opened_up(e: Evidence) -> Finding:
    words = {"name": plain(e.name), "issuer": plain(e.foreign_issuer or "")}
    return Finding(layer="tls", technique="mitm", words=words)


# --- the page did not come: others could not reach it either ------------------------------------


def down_abroad(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or failed.technique is None or e.reached_abroad or not e.failed_abroad:
        return None
    if _lives_here(e):
        return None
    return found(failed, helpers=str(len(e.failed_abroad)))


def no_such_name(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or failed.kind != ("dns", "nxdomain") or e.reached_abroad:
        return None
    encrypted = [x for x in e.lookups if x.resolver.startswith("https:") and x.type == "A"]
    nowhere = bool(encrypted) and all(x.failure == "dns_nxdomain_error" for x in encrypted)
    return found(failed) if nowhere else None


def trouble_abroad(e: Evidence) -> Finding | None:
    """Outside views failed too, but otherwise: something is wrong, and not provably here."""
    others = [view for view in e.abroad if not view.reached and view.layer is not None]
    if e.failed is None or e.reached_abroad or not others or _lives_here(e):
        return None
    return Finding(words={"helpers": str(len(others)), "name": plain(e.name)})


def _lives_here(e: Evidence) -> bool:
    """Was the site reached in this country, or at an address that the resolver did not give?

    Many sites turn all foreigners away: then helpers fail for a reason of their own.
    """
    return bool(e.reached_inside or e.proven - e.answers("system"))


# --- the page did not come: two witnesses -------------------------------------------------------


def two_witnesses(e: Evidence) -> Finding | None:
    """The failure repeated, the site is reached from abroad, and a second kind of evidence from
    inside the country says that the server is not what refuses it."""
    failed = e.failed
    if failed is None or failed.technique is None or failed.layer == "dns":
        return None
    if failed.technique in ("mitm", "forged-address") or failed.address is None:
        return None
    if not (e.repeated and e.reached_abroad) or e.false_answers:
        return None
    cut = cut_of(e) if failed.technique == "reset" else None
    if cut is not None and cut.how == "reset":
        failed = msgspec.structs.replace(failed, layer="tcp")  # no name had been sent there
    second = _second_witness(e, failed)
    return None if second is None else found(failed, second=second)


def _second_witness(e: Evidence, failed: Outcome) -> str | None:
    if failed.layer in ("tls", "http") and e.blocked_elsewhere:
        return "the same name was cut off at another operator's address"
    if e.reached_inside:
        others = sorted({view.who for view in e.reached_inside})
        return f"{plain(others[0])} in the same country reached it within the hour"
    if failed.layer == "tcp":
        return address_lives(e)
    if failed.technique not in SERVER_CAN_CAUSE and len(e.reached_abroad) >= 2:
        return "a second view from abroad agreed"
    return None


# --- what remains ---------------------------------------------------------------------------------


def unexplained(e: Evidence) -> Finding | None:
    failed = e.failed
    return None if failed is None or failed.technique is None else found(failed)


def own_machine(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or failed.technique is not None or failed.failure is None:
        return None
    return Finding(words={"failure": plain(failed.failure), "name": plain(e.name)})


def anything(e: Evidence) -> Finding | None:
    return Finding(words={"name": plain(e.name)})
