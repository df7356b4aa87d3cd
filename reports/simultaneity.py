"""Simultaneity: how close in time networks began and stopped, and what that can and cannot tell.

Only hard brackets are compared. That brackets overlap shows that one moment could explain them all,
never that one did; who acted cannot be read from times at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from reports.catalogue import NN_
from reports.episodes import Episode
from reports.incidents import Incident
from reports.places import place
from reports.readings import Network
from reports.techniques import in_words
from reports.text import plain
from reports.wording import ENGLISH, Words

Bracket: TypeAlias = tuple[float, float]


def together(incident: Incident, others: Iterable[Incident], words: Words = ENGLISH) -> list[str]:
    """Return what can be said of the times of `incident` over its networks, in sentences.

    `others` are the other incidents of the same report. Empty where one network alone blocked.
    """
    by_network: dict[Network, list[Episode]] = {}
    for episode in incident.episodes:
        by_network.setdefault(episode.network_key, []).append(episode)
    if len(by_network) < 2:
        return []
    onsets = [_onset(episodes) for episodes in by_network.values()]
    ends = [_end(episodes) for episodes in by_network.values()]
    return [
        *_compared(incident, onsets, _ONSETS, words),
        *(_compared(incident, ends, _ENDS, words) if any(ends) else []),
        _techniques(by_network.values(), words),
        *_others(incident, others, words),
        words.text(
            "An order to several networks, a filter or an upstream that they share, or one "
            "supplier's list would each show as onsets close together and one technique; networks "
            "that act by themselves would be expected to differ by hours or days. Times and "
            "techniques alone do not tell which it was, and this report claims none of them."
        ),
    ]


class _Messages(msgspec.Struct, frozen=True, kw_only=True):
    """The sentences for one side of a block."""

    overlap: tuple[str, str]
    apart: tuple[str, str]
    unknown: tuple[str, str]


_ONSETS = _Messages(
    overlap=NN_(
        "The brackets of the onset overlap on {n} network: {when}; one moment could be the onset "
        "on all of them.",
        "The brackets of the onset overlap on {n} networks: {when}; one moment could be the onset "
        "on all of them.",
    ),
    apart=NN_(
        "The brackets of the onset on {n} network do not overlap: between the first and the last "
        "onset lay at least {least} and at most {most}.",
        "The brackets of the onset on {n} networks do not overlap: between the first and the last "
        "onset lay at least {least} and at most {most}.",
    ),
    unknown=NN_(
        "On {n} network nobody saw the onset; it is left out of the comparison.",
        "On {n} networks nobody saw the onset; they are left out of the comparison.",
    ),
)
_ENDS = _Messages(
    overlap=NN_(
        "The brackets of the end overlap on {n} network: {when}; one moment could be the end on "
        "all of them.",
        "The brackets of the end overlap on {n} networks: {when}; one moment could be the end on "
        "all of them.",
    ),
    apart=NN_(
        "The brackets of the end on {n} network do not overlap: between the first and the last "
        "end lay at least {least} and at most {most}.",
        "The brackets of the end on {n} networks do not overlap: between the first and the last "
        "end lay at least {least} and at most {most}.",
    ),
    unknown=NN_(
        "On {n} network nobody saw the end; it is left out of the comparison.",
        "On {n} networks nobody saw the end; they are left out of the comparison.",
    ),
)


def _onset(episodes: Sequence[Episode]) -> Bracket | None:
    first = min(episodes, key=lambda episode: episode.onset_latest)
    if first.onset_earliest is None:
        return None
    return first.onset_earliest, first.onset_latest


def _end(episodes: Sequence[Episode]) -> Bracket | None:
    last = max(episodes, key=lambda episode: episode.last_failing)
    if last.end_earliest is None or last.end_latest is None:
        return None
    return last.end_earliest, last.end_latest


def _compared(
    incident: Incident, brackets: Sequence[Bracket | None], messages: _Messages, words: Words
) -> list[str]:
    known = [bracket for bracket in brackets if bracket is not None]
    unknown = len(brackets) - len(known)
    sentences = []
    if len(known) > 1:
        latest_begin = max(begin for begin, _ in known)
        earliest_end = min(end for _, end in known)
        if latest_begin <= earliest_end:
            when = words.between(latest_begin, earliest_end, place(incident.country), year=True)
            sentences.append(words.plural(*messages.overlap, len(known), when=when))
        else:
            least = words.duration(latest_begin - earliest_end)
            most = max(end for _, end in known) - min(begin for begin, _ in known)
            sentences.append(
                words.plural(*messages.apart, len(known), least=least, most=words.duration(most))
            )
    if unknown:
        sentences.append(words.plural(*messages.unknown, unknown))
    return sentences


def _techniques(networks: Iterable[Sequence[Episode]], words: Words) -> str:
    ways = {frozenset(path for e in episodes for path in e.techniques) for episodes in networks}
    if len(ways) == 1:
        paths = [words.text(in_words(path)) for path in sorted(next(iter(ways)))]
        return words.text(
            "The technique was the same on all of them: {ways}.", ways=words.listed(paths)
        )
    return words.text("The techniques differed between the networks; see the matrix.")


def _others(incident: Incident, others: Iterable[Incident], words: Words) -> list[str]:
    """Other sites of the country whose onset may have been at the same time."""
    if incident.onset_earliest is None:
        return []
    hosts = {
        plain(other.host)
        for other in others
        if other.country == incident.country
        and other.host != incident.host
        and other.status != "possible"
        and other.onset_earliest is not None
        and other.onset_earliest <= incident.onset_latest
        and incident.onset_earliest <= other.onset_latest
    }
    if not hosts:
        return []
    return [
        words.plural(
            "{n} other site may have begun to be blocked at the same time: {hosts}.",
            "{n} other sites may have begun to be blocked at the same time: {hosts}.",
            len(hosts),
            hosts=words.listed(sorted(hosts)),
        )
    ]
