"""Conditions: for each rule, what must have been seen for it to fire, and what fills its sentence.

A condition returns None (it does not fire) or a `Finding`. Names and issuers in a finding come
from the network: they are stripped of control characters here and escaped by every writer.
"""

from __future__ import annotations

import msgspec

from reports.attempts import Outcome
from reports.evidence import Evidence
from reports.techniques import in_words, is_special
from reports.text import plain
from storage.records import Handshake, Layer

# Failures that a server can cause by itself, by the visitor's country (design, two witnesses).
SERVER_CAN_CAUSE = frozenset(
    ["timeout", "reset", "closed", "alert", "refused", "unreachable", "stalled", "truncated"]
)
STATE_AUTHORITIES = ("Information Security Certification Authority", "Qaznet Trust Network")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """That a rule fired: the technique it found and the words for its sentence."""

    layer: Layer | None = None
    technique: str | None = None
    words: dict[str, str] = {}


def _found(outcome: Outcome, **words: str) -> Finding:
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


def name_blocked(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or failed.layer != "tls" or failed.technique == "mitm":
        return None
    if not e.contrast.name_alone_decides(e.name):
        return None
    site, neutral = e.contrast.address("name@site"), e.contrast.address("name@neutral")
    return _found(failed, site=plain(site or ""), neutral=plain(neutral or ""))


def injected(e: Evidence) -> Finding | None:
    """The race is one kind of evidence, the encrypted resolver's answer the other."""
    failed = e.failed
    if failed is None or not (e.repeated and e.racing and e.false_answers):
        return None
    words = {"name": plain(e.name), "address": plain(min(e.false_answers))}
    return Finding(layer="dns", technique="injected", words=words)


def race_seen(e: Evidence) -> Finding | None:
    if not e.racing:
        return None
    return Finding(layer="dns", technique="injected", words={"name": plain(e.name)})


def forged_artefact(e: Evidence) -> Finding | None:
    """The same reserved address from two resolvers, so that it is not one resolver's mistake."""
    failed = e.failed
    if failed is None or not e.repeated or not e.reached_abroad:
        return None
    twice = {address for address in e.false_answers if is_special(address)} & e.answers("udp")
    if not twice:
        return None
    words = {"name": plain(e.name), "address": plain(min(twice))}
    return Finding(layer="dns", technique="forged-address", words=words)


def forged_likely(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or not e.repeated or not e.false_answers or not e.reached_abroad:
        return None
    words = {"name": plain(e.name), "address": plain(min(e.false_answers))}
    return Finding(layer="dns", technique="forged-address", words=words)


def resolver_lies(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or failed.layer != "dns" or failed.technique in (None, "forged-address"):
        return None
    if not (e.repeated and e.encrypted_works and e.reached_abroad):
        return None
    return _found(failed)


def _foreign_chain(e: Evidence) -> Handshake | None:
    """A chain that is not the site's, at an address that others know as the site's."""
    failed = e.failed
    if failed is None or failed.kind != ("tls", "mitm") or failed.address is None:
        return None
    steps = (s for s in e.measurement.steps if isinstance(s, Handshake))
    chains = [s for s in steps if s.address == failed.address and s.valid is False and s.chain]
    return chains[0] if chains and failed.address in e.named_elsewhere else None


def state_interception(e: Evidence) -> Finding | None:
    handshake = _foreign_chain(e)
    if handshake is None or e.failed is None or not e.reached_abroad:
        return None
    issuers = [plain(certificate.issuer or "") for certificate in handshake.chain]
    known = [i for i in issuers if any(authority in i for authority in STATE_AUTHORITIES)]
    return _found(e.failed, issuer=known[0]) if known else None


def interception_likely(e: Evidence) -> Finding | None:
    """Unknown issuer at the site's own address, while this machine's other TLS is untouched."""
    handshake = _foreign_chain(e)
    if handshake is None or e.failed is None or not (e.repeated and e.reached_abroad):
        return None
    # An expired chain or another host's may be the site's own mistake.
    if handshake.failure != "ssl_unknown_authority" or not _neutral_chain_valid(e):
        return None
    return _found(e.failed, issuer=plain(handshake.chain[-1].issuer or "an unnamed authority"))


def _neutral_chain_valid(e: Evidence) -> bool:
    steps = (step for stored in e.case.follow_ups for step in stored.record.steps)
    return any(isinstance(s, Handshake) and s.arm == "neutral@neutral" and s.valid for s in steps)


# --- the page did not come: others could not reach it either ------------------------------------


def down_abroad(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or failed.technique is None or e.reached_abroad or not e.failed_abroad:
        return None
    return _found(failed, helpers=str(len(e.failed_abroad)))


def no_such_name(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or failed.kind != ("dns", "nxdomain") or e.reached_abroad:
        return None
    encrypted = [x for x in e.lookups if x.resolver.startswith("https:") and x.type == "A"]
    nowhere = bool(encrypted) and all(x.failure == "dns_nxdomain_error" for x in encrypted)
    return _found(failed) if nowhere else None


def trouble_abroad(e: Evidence) -> Finding | None:
    """Outside views failed too, but otherwise: something is wrong, and not provably here."""
    others = [view for view in e.abroad if not view.reached and view.layer is not None]
    if e.failed is None or e.reached_abroad or not others:
        return None
    return Finding(words={"helpers": str(len(others)), "name": plain(e.name)})


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
    second = _second_witness(e, failed)
    return None if second is None else _found(failed, second=second)


def _second_witness(e: Evidence, failed: Outcome) -> str | None:
    if failed.layer == "tls" and e.blocked_elsewhere:
        return "the same name was cut off at another operator's address"
    if e.reached_inside:
        others = sorted({view.who for view in e.reached_inside})
        return f"{plain(others[0])} in the same country reached it within the hour"
    if failed.layer == "tcp":
        return "another port of the same address answered" if e.other_port_answers else None
    if failed.technique not in SERVER_CAN_CAUSE and len(e.reached_abroad) >= 2:
        return "a second view from abroad agreed"
    return None


# --- what remains ---------------------------------------------------------------------------------


def unexplained(e: Evidence) -> Finding | None:
    failed = e.failed
    return None if failed is None or failed.technique is None else _found(failed)


def own_machine(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or failed.technique is not None or failed.failure is None:
        return None
    return Finding(words={"failure": plain(failed.failure), "name": plain(e.name)})


def anything(e: Evidence) -> Finding | None:
    return Finding(words={"name": plain(e.name)})
