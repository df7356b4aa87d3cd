"""Conditions about experiments: contrasts, paired downloads, questions to no resolver."""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

from reports.attempts import host_of, same_site
from reports.conditions import Finding, found
from reports.contrast import ArmResult, Contrast
from reports.evidence import Evidence
from reports.filter_evidence import CHANCE_DOES, may_be_own_filter
from reports.name_conditions import lied_again, lies_by
from reports.strangers import is_a_strangers
from reports.techniques import TLS_TECHNIQUES, dns_technique, in_words
from reports.text import plain
from storage.records import Exchange, Handshake, Lookup

# What a page says of itself: status, title, where it leads, its bytes where it has no title.
_Signature: TypeAlias = tuple[int | None, str, str, str]


def hello_blocked(e: Evidence) -> Finding | None:
    """The experiment in ClientHellos."""
    return _name_blocked(e) if e.failed is not None and e.failed.layer == "tls" else None


def hello_blocked_beside(e: Evidence) -> Finding | None:
    """The same experiment, where something else had failed before the name was sent.

    The resolver led elsewhere, or to addresses of which not all are silent.
    """
    contrast = e.contrasts("hello")
    if e.failed is None or not contrast.name_alone_decides(e.name):
        return None
    led = contrast.address("name@site") in e.answers("system")
    if led and e.failed.layer in ("tls", "http"):
        return None
    cut = next(arm for arm in contrast.results if arm.arm == "name@site" and arm.passed is False)
    technique = TLS_TECHNIQUES.get(cut.failure or "")
    if technique is None:
        return None
    words = {
        "name": plain(e.name),
        "what": in_words(f"tls.{technique}"),
        "site": plain(cut.address),
        "neutral": plain(contrast.address("name@neutral") or ""),
        "led": "gave" if led else "did not give",
    }
    return Finding(layer="tls", technique=technique, words=words)


def resolver_lies_too(e: Evidence) -> Finding | None:
    """The site is cut off by its name, and the resolver had denied it already."""
    failed, beyond = e.failed, hello_blocked_beside(e)
    if failed is None or beyond is None or may_be_own_filter(e):
        return None
    address, site = failed.address, beyond.words["site"]
    if failed.layer == "dns" and failed.technique not in CHANCE_DOES:
        return found(failed, site=site)
    if address is None or address in e.named_elsewhere or not is_a_strangers(e, address):
        return None
    forged = msgspec.structs.replace(failed, layer="dns", technique="forged-address")
    return found(forged, site=site)


def request_blocked(e: Evidence) -> Finding | None:
    """The experiment in requests in clear."""
    return _name_blocked(e) if e.failed is not None and e.failed.layer == "http" else None


def _name_blocked(e: Evidence) -> Finding | None:
    """The name is cut off, refused or answered for at both addresses, and other names are not.

    A chain that the machine's own root store accepts is somebody's here, not the network's.
    """
    failed = e.failed
    if failed is None or failed.technique is None or failed.layer not in ("tls", "http"):
        return None
    if failed.layer == "http" and failed.secure:
        return None
    if failed.technique == "mitm" and _own_business(e):
        return None
    if not e.contrast.name_alone_decides(e.name) or _one_network_of_servers(e):
        return None
    site, neutral = e.contrast.address("name@site"), e.contrast.address("name@neutral")
    return found(failed, site=plain(site or ""), neutral=plain(neutral or ""))


def _one_network_of_servers(e: Evidence) -> bool:
    """Can both addresses belong to one network of servers that has nothing for the name?

    Such a one completes TLS for the neutral name at the site's address, too, and refuses a name
    that it does not serve at every address, abroad as well as here.
    """
    failed = e.failed
    shared = any(
        arm.arm == "neutral@site" and isinstance(arm.step, Handshake) and arm.step.valid
        for arm in e.contrast.results
    )
    if failed is None or not shared or e.reached_abroad:
        return False
    return bool(e.failed_abroad) or failed.technique in ("alert", "mitm", "not-tls")


def _own_business(e: Evidence) -> bool:
    chain = e.foreign_chain
    return bool(e.measurement.line.intercepted) or (
        chain is not None and chain.valid_by_system is True
    )


def page_forged(e: Evidence) -> Finding | None:
    """One and the same answer came for the name from both addresses, and others for other names."""
    answer = _clear_answer(e)
    if answer is None:
        return None
    forged = _signature(answer)
    name = host_of(answer.url)

    def passes(arm: ArmResult) -> bool | None:
        if not isinstance(arm.step, Exchange) or arm.step.status is None:
            return None
        return _signature(arm.step) != forged

    contrast = e.contrasts("request").read_by(passes)
    if not contrast.name_alone_decides(name) or _could_be_honest(contrast, forged, name):
        return None
    technique = "redirect" if forged[2] else "block-page"
    words = {
        "name": plain(name),
        "page": "redirect" if forged[2] else "page",
        "site": plain(contrast.address("name@site") or ""),
        "neutral": plain(contrast.address("name@neutral") or ""),
    }
    return Finding(layer="http", technique=technique, words=words)


def _could_be_honest(contrast: Contrast, forged: _Signature, name: str) -> bool:
    """Can two servers that nobody interferes with have said this?

    Many send every name on to its own https address. And two addresses of one network of servers
    know each other's sites: then the neutral name gets its own page at the site's address too.
    """
    if forged[2]:
        host = host_of(f"//{forged[2]}")
        if not host or same_site(host, name):
            return True
    pages = {
        arm.arm: _signature(arm.step)
        for arm in contrast.results
        if isinstance(arm.step, Exchange) and arm.step.status is not None
    }
    at_home = pages.get("neutral@neutral")
    return at_home is None or pages.get("neutral@site") == at_home


def _clear_answer(e: Evidence) -> Exchange | None:
    """The first answer of the first load that came in clear, where contrasts followed it up."""
    named = {arm.name for arm in e.contrasts("request").results if arm.arm == "name@site"}
    answers = (
        step
        for step in e.measurement.steps
        if isinstance(step, Exchange)
        and step.purpose == "main"
        and step.url.startswith("http:")
        and step.status is not None
    )
    return next((step for step in answers if host_of(step.url) in named), None)


def _signature(page: Exchange) -> _Signature:
    title = " ".join((page.title or "").split())
    location = next((value for key, value in page.headers if key.lower() == "location"), "")
    if 300 <= (page.status or 0) < 400 and location:
        # A redirect to a page about the block often carries the name or the time as a parameter.
        parts = urlsplit(location)
        return page.status, "", f"{parts.netloc}{parts.path}", ""
    return page.status, title, "", "" if title else (page.body_sha256 or "")


def answered_for(e: Evidence) -> Finding | None:
    """An address that runs no resolver answered the name: evidence of its own, and a remark."""
    if not e.contrasts("question").answered_for(e.name):
        return None
    words = {
        "name": plain(e.name),
        "neutral": plain(e.contrasts("question").address("name@neutral") or ""),
    }
    return Finding(layer="dns", technique=_kind_of_answer(e), words=words)


def _kind_of_answer(e: Evidence) -> str:
    """How the answer lies: only answers that race are injected, otherwise it is their own kind."""
    if e.failed is not None and e.failed.layer == "dns" and e.failed.technique:
        return lies_by(e, e.failed.technique)  # what the visitor met
    lookups = (
        arm.step
        for arm in e.contrasts("question").results
        if arm.arm == "name@neutral" and isinstance(arm.step, Lookup)
    )
    kinds = [dns_technique(lookup) for lookup in lookups if lookup.failure or not lookup.answers]
    return lies_by(e, next((kind for kind in kinds if kind), "forged-address"))


def injected_for_certain(e: Evidence) -> Finding | None:
    """Injection shown by experiment, and it is what the visitor met."""
    failed = e.failed
    if failed is None or not lied_again(e):
        return None
    if failed.layer != "dns" and not e.false_answers:
        return None
    return answered_for(e)


def transfer_stopped(e: Evidence) -> Finding | None:
    """A page inside valid TLS never ended, while a neutral name's transfers went on beside it."""
    failed = e.failed
    if failed is None or failed.layer != "http" or failed.technique is None:
        return None
    if not (failed.secure and e.repeated and e.reached_abroad and e.pairs.name_is_slower):
        return None
    return found(
        failed,
        slower=str(e.pairs.slower),
        pairs=str(e.pairs.slower + e.pairs.fair),
        bytes=str(e.pairs.stopped_after or 0),
    )


def transfer_throttled(e: Evidence) -> Finding | None:
    """The page came, but the name was much slower than a neutral one from the same address."""
    if e.failed is not None or not e.pairs.name_is_slower:
        return None
    words = {
        "name": plain(e.name),
        "slower": str(e.pairs.slower),
        "pairs": str(e.pairs.slower + e.pairs.fair),
    }
    return Finding(layer="http", technique="throttled", words=words)
