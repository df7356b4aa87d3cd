"""Conditions about names: what resolvers answered, and what of it cannot be the site's."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reports.conditions import Finding, found
from reports.evidence import Evidence
from reports.filter_evidence import CHANCE_DOES, filters_by_itself, may_be_own_filter
from reports.fingerprints import Fingerprint
from reports.strangers import is_a_strangers
from reports.techniques import in_words, is_special
from reports.text import plain
from storage.failures import Failure

# Of RFC 8914: bogus or missing signatures and keys, no reachable authority, a network error.
TROUBLE_OF_A_ZONE = frozenset({6, 7, 8, 9, 10, 11, 12, 22, 23})


def injected(e: Evidence) -> Finding | None:
    """The race is one kind of evidence, an address that others gave and that works the other."""
    failed = e.failed
    if failed is None or not (lied_again(e) and e.racing and e.proven):
        return None
    if e.false_answers:
        said = f"it named {plain(min(e.false_answers))}, which is not the site's"
    elif failed.kind == ("dns", "nxdomain"):
        said = in_words("dns.nxdomain")
    else:
        return None
    return Finding(layer="dns", technique="injected", words=_words(e, said=said))


def lied_again(e: Evidence) -> bool:
    """Did the failure repeat, or were false addresses met again that fail in other ways?"""
    return e.repeated or e.led_astray_again


def _words(e: Evidence, **words: str) -> dict[str, str]:
    return {"name": plain(e.name), "source": e.who_proved, **words}


def lies_by(e: Evidence, kind: str) -> str:
    """Return how a false answer came: what races is injected, else its own kind holds."""
    return "injected" if e.racing and kind in ("nxdomain", "forged-address") else kind


def race_seen(e: Evidence) -> Finding | None:
    if not e.racing:
        return None
    return Finding(layer="dns", technique="injected", words={"name": plain(e.name)})


def forged_artefact(e: Evidence) -> Finding | None:
    """The same reserved address from two resolvers, so that it is not one resolver's mistake."""
    failed = e.failed
    if failed is None or not e.repeated or not e.reached_abroad:
        return None
    twice = {address for address in e.false_answers if is_special(address)} & _public(e)
    if not twice or may_be_own_filter(e):
        return None
    words = _words(e, address=plain(min(twice)))
    return Finding(layer="dns", technique=lies_by(e, "forged-address"), words=words)


def forged_likely(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or not e.repeated or not e.false_answers or not e.reached_abroad:
        return None
    if may_be_own_filter(e):
        return None
    public = _public(e)
    # A machine that refuses has no TLS for anybody: pages about blocks often stand on such.
    refused = {s.address for s in e.connects if s.failure == Failure.CONNECTION_REFUSED}
    telling = {a for a in e.false_answers if a in public | refused or is_a_strangers(e, a)}
    if not telling:
        return None
    words = _words(e, address=plain(min(telling)))
    return Finding(layer="dns", technique=lies_by(e, "forged-address"), words=words)


def known_address(e: Evidence) -> Finding | None:
    """The address is known as what this country's censors answer, and it is not the site's."""
    if e.failed is None or not e.repeated:
        return None
    given = e.answers("system") - e.validated - e.named_elsewhere
    known = known_lie(e, [*sorted(given), *sorted(e.further_names)])
    if known is None:
        return None
    answer, row = known
    words = {"name": plain(e.name), "address": plain(answer), "known": plain(row.name)}
    return Finding(layer="dns", technique=lies_by(e, "forged-address"), words=words)


def known_lie(e: Evidence, answers: Iterable[str]) -> tuple[str, Fingerprint] | None:
    """Return the first answer that is known as this country's lie, and what is known of it."""
    country = e.measurement.vantage.country
    for answer in answers:
        rows = e.fingerprints.of_address(answer)
        artefact = next((row for row in rows if row.is_artefact_in(country)), None)
        if artefact is not None and not any(row.is_innocent for row in rows):
            return answer, artefact
    return None


def resolver_lies(e: Evidence) -> Finding | None:
    failed = e.failed
    if failed is None or failed.layer != "dns" or failed.technique in (None, "forged-address"):
        return None
    if not (e.repeated and e.proven and e.reached_abroad):
        return None
    if may_be_own_filter(e) or _resolver_says_why(e):
        return None
    if failed.technique in CHANCE_DOES and _resolver_tells(e):
        return None
    finding = found(failed, source=e.who_proved)
    return msgspec.structs.replace(finding, technique=lies_by(e, failed.technique))


def lies_in_clear(e: Evidence) -> Finding | None:
    """The resolver's lie about a site in clear, where no TLS proves an address.

    The encrypted resolver's connection and the helper's are both authenticated; on one address
    that they agree on they stand in for the handshake.
    """
    failed = e.failed
    if failed is None or failed.secure or failed.layer != "dns" or not e.repeated:
        return None
    agreed = agreed_in_clear(e)
    if not agreed or may_be_own_filter(e) or _resolver_says_why(e):
        return None
    if failed.technique in CHANCE_DOES or e.answers("system") & e.named_elsewhere:
        return None
    return found(failed, address=plain(min(agreed)))


def agreed_in_clear(e: Evidence) -> set[str]:
    """Addresses that an encrypted resolver and a helper that reached the site both give."""
    return e.answers("encrypted") & {a for view in e.reached_abroad for a in view.addresses}


def _public(e: Evidence) -> set[str]:
    """Addresses from public resolvers that do not filter by themselves."""
    return {
        address
        for lookup in e.lookups
        if lookup.resolver == "udp" and not filters_by_itself(lookup)
        for address in lookup.answers
    }


def _resolver_tells(e: Evidence) -> bool:
    """Did the system's resolver give the site's address all the same, at any try?

    What it sent to our own question counts: programs have less patience than a poor line needs.
    """
    asked = [lookup for lookup in e.lookups if lookup.resolver == "system"]
    replies = {address for one in asked for reply in one.replies for address in reply.answers}
    return bool((replies | e.answers("system")) & (e.validated | e.named_elsewhere))


def _resolver_says_why(e: Evidence) -> bool:
    """Does the system's resolver blame the name's own servers, or their signatures?"""
    return any(
        lookup.resolver == "system" and lookup.extended_error in TROUBLE_OF_A_ZONE
        for lookup in e.lookups
    )


def filtered_at_home(e: Evidence) -> Finding | None:
    """Only the resolver in the volunteer's own home or office says so: it may be a filter there."""
    failed = e.failed
    if failed is None or failed.technique is None or not may_be_own_filter(e):
        return None
    if e.false_answers:
        address = plain(min(e.false_answers))
        path = "dns.forged-address"
        words = {"name": plain(e.name), "path": path, "what": f"{in_words(path)} ({address})"}
        return Finding(layer="dns", technique="forged-address", words=words)
    return found(failed) if failed.layer == "dns" else None
