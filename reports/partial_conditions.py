"""Conditions about parts: what was interfered with although the page came, and what was not."""

from __future__ import annotations

from collections import defaultdict

from reports.attempts import family_counts
from reports.conditions import Finding
from reports.evidence import Evidence
from reports.techniques import QUIC_TECHNIQUES, TCP_TECHNIQUES, TLS_TECHNIQUES, in_words
from reports.text import plain
from reports.wording import listed
from storage.records import Connect


def some_addresses(e: Evidence) -> Finding | None:
    """Addresses of the site failed at every try here, while a helper opened the very same ones.

    An address that is dead for everybody is the site's own business.
    """
    if e.failed is not None or e.outcome is None:
        return None
    here: dict[str, list[Connect]] = defaultdict(list)
    for step in e.connects:
        if step.hop == 0 and family_counts(e.measurement.line, step.address):
            here[step.address].append(step)
    dead = {
        address: steps
        for address, steps in here.items()
        if all(step.failure in TCP_TECHNIQUES for step in steps)
        and any(e.opened_abroad(step.address, step.port) for step in steps)
    }
    if not dead or len(dead) == len(here):
        return None
    first = next(iter(dead.values()))[0]
    words = {
        "name": plain(e.name),
        "addresses": listed([plain(a) for a in sorted(dead)]),
        "others": listed([plain(a) for a in sorted(here.keys() - dead.keys())]),
    }
    return Finding(layer="tcp", technique=TCP_TECHNIQUES[first.failure or ""], words=words)


def some_connections(e: Evidence) -> Finding | None:
    """The page came, and yet the experiment shows that the name is cut off."""
    contrast = e.contrasts("hello")
    if e.failed is not None or not contrast.name_alone_decides(e.name):
        return None
    cut = next(arm for arm in contrast.results if arm.arm == "name@site" and arm.passed is False)
    technique = TLS_TECHNIQUES.get(cut.failure or "")
    if technique is None:
        return None
    path = f"tls.{technique}"
    words = {"name": plain(e.name), "site": plain(cut.address), "what": in_words(path)}
    return Finding(layer="tls", technique=technique, words=words)


def quic_alone(e: Evidence) -> Finding | None:
    """QUIC with the name got no word, again and again, where a neutral name's did in between.

    At the same address: without that, a line or a server that lets no UDP by looks the same.
    """
    own = [s for s in e.quic if s.arm in (None, "name@site")]
    neutral = [s for s in e.quic if s.arm == "neutral@site"]
    here = {step.address for step in own if step.purpose == "contrast"}
    answered = [s for s in neutral if s.datagrams_received and s.address in here]
    if len(own) < _FEWEST_QUIC or not answered or any(s.datagrams_received for s in own):
        return None
    techniques = {QUIC_TECHNIQUES.get(step.failure or "") for step in own}
    technique = techniques.pop()
    if techniques or technique is None:
        return None
    return Finding(layer="quic", technique=technique, words={"name": plain(own[0].server_name)})


_FEWEST_QUIC = 2  # silent handshakes: that of the visit, and one beside the neutral name's
