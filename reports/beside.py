"""Beside: what stayed reachable while an incident lasted: other sites, networks, views from abroad.

This is the contrast without which a failure says nothing about blocking.
"""

from __future__ import annotations

import msgspec

from reports.contrasts import Support
from reports.incidents import Incident, NetworkPart
from reports.ledger import Ledger
from reports.text import plain
from reports.wording import ENGLISH, Words

MOST_SITES = 12


class OtherSite(msgspec.Struct, frozen=True, kw_only=True):
    """One other site on the networks that blocked, in the time of the incident."""

    host: str
    opened: int
    measured: int


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """The contrast of one incident, in sentences and counts."""

    sentences: tuple[str, ...]
    sites: tuple[OtherSite, ...]
    left_out: int  # further sites


def beside(incident: Incident, support: Support, ledger: Ledger, words: Words = ENGLISH) -> Beside:
    """Return what worked while `incident` lasted."""
    sites = _other_sites(incident, ledger)
    sentences = [
        *_of_sites(sites, words),
        *_of_networks(incident, words),
        *_of_abroad(incident, support, ledger, words),
    ]
    return Beside(
        sentences=tuple(sentences),
        sites=tuple(sites[:MOST_SITES]),
        left_out=max(0, len(sites) - MOST_SITES),
    )


def _other_sites(incident: Incident, ledger: Ledger) -> list[OtherSite]:
    """Sites measured most first, while and where the incident's own was blocked."""
    counts: dict[str, list[int]] = {}
    for key in {episode.network_key for episode in incident.episodes}:
        own = [episode for episode in incident.episodes if episode.network_key == key]
        since = min(episode.onset_latest for episode in own)
        until = max(episode.last_failing for episode in own)
        for series in ledger.on_network(key):
            if series.host in incident.hosts:
                continue
            opened, measured = series.open_between(since, until)
            if measured:
                count = counts.setdefault(series.host, [0, 0])
                count[0] += opened
                count[1] += measured
    sites = [
        OtherSite(host=plain(host), opened=opened, measured=measured)
        for host, (opened, measured) in counts.items()
    ]
    return sorted(sites, key=lambda site: (-site.opened, -site.measured, site.host))


def _of_sites(sites: list[OtherSite], words: Words) -> list[str]:
    if not sites:
        return [words.text("No other site was measured on the networks that blocked.")]
    always = sum(site.opened == site.measured for site in sites)
    never = sum(site.opened == 0 for site in sites)
    sentences = [
        words.plural(
            "On the networks that blocked, {n} other site was measured in that time; {always} of "
            "them answered in every measurement.",
            "On the networks that blocked, {n} other sites were measured in that time; {always} "
            "of them answered in every measurement.",
            len(sites),
            always=words.number(always),
        )
    ]
    if never:
        sentences.append(
            words.plural("{n} of them never answered.", "{n} of them never answered.", never)
        )
    return sentences


def _of_networks(incident: Incident, words: Words) -> list[str]:
    free, thin = incident.parts("not-blocked"), incident.parts("too-little")
    sentences = []
    if free:
        sentences.append(
            words.plural(
                "{n} network did not block the site: {networks}.",
                "{n} networks did not block the site: {networks}.",
                len(free),
                networks=words.listed([_counted(part, words) for part in free], most=12),
            )
        )
    else:
        sentences.append(words.text("No measured network is known that did not block the site."))
    if thin:
        sentences.append(
            words.plural(
                "{n} network is counted apart, because too little was measured there: {networks}.",
                "{n} networks are counted apart, because too little was measured there: "
                "{networks}.",
                len(thin),
                networks=words.listed([_counted(part, words) for part in thin], most=12),
            )
        )
    return sentences


def _counted(part: NetworkPart, words: Words) -> str:
    return words.plural(
        "{network} ({n} measurement)",
        "{network} ({n} measurements)",
        part.measurements,
        network=plain(part.name),
    )


def _of_abroad(incident: Incident, support: Support, ledger: Ledger, words: Words) -> list[str]:
    sentences = []
    if support.reached_abroad:
        sentences.append(
            words.plural(
                "In the minutes of {reached} of {n} failing measurement the site was reached from "
                "abroad.",
                "In the minutes of {reached} of {n} failing measurements the site was reached "
                "from abroad.",
                support.failing,
                reached=words.number(support.reached_abroad),
            )
        )
    opened = measured = 0
    for series in ledger.from_reference(incident.hosts):
        a, b = series.open_between(incident.onset_latest, incident.last_failing)
        opened, measured = opened + a, measured + b
    if measured:
        sentences.append(
            words.plural(
                "Reference vantages, where nothing is blocked, found it open in {opened} of {n} "
                "measurement in that time.",
                "Reference vantages, where nothing is blocked, found it open in {opened} of {n} "
                "measurements in that time.",
                measured,
                opened=words.number(opened),
            )
        )
    if not sentences:
        sentences.append(words.text("No view from abroad is at hand for that time."))
    return sentences
