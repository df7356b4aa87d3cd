"""Unknowns: what the measurements of an incident do not tell, said as plainly as what they do."""

from __future__ import annotations

from collections.abc import Collection

from reports.episodes import Episode
from reports.incidents import Incident
from reports.text import plain
from reports.wording import ENGLISH, Words


def unknowns(
    incident: Incident, words: Words = ENGLISH, located: Collection[str] = ()
) -> list[str]:
    """Return what the measurements do not tell; `located` names the networks whose hop is known."""
    lines = [_onset(incident, words), _end(incident, words)]
    blocked = incident.parts("blocked") + incident.parts("possible")
    lone = [plain(part.name) for part in blocked if part.vantages <= 1]
    if len(lone) == 1:
        lines.append(
            words.text(
                "Whether the whole network was affected: one vantage is the only witness on "
                "{network}.",
                network=lone[0],
            )
        )
    elif lone:
        lines.append(
            words.text(
                "Whether whole networks were affected: one vantage is the only witness on each of "
                "{networks}.",
                networks=words.listed(lone, most=12),
            )
        )
    thin = incident.parts("too-little")
    if thin:
        names = words.listed([plain(part.name) for part in thin])
        lines.append(
            words.text("What happened on {networks}: too little was measured.", networks=names)
        )
    lines += [_gap(episode, words) for episode in incident.episodes if episode.gaps]
    country = words.country(incident.country)
    lines.append(
        words.text("What happened on networks that nobody measured ({country}).", country=country)
    )
    lost = [plain(part.name) for part in blocked if plain(part.name) not in located]
    if lost:
        lines.append(
            words.text(
                "Where on the way the connections were cut: the hop was not located on {networks}.",
                networks=words.listed(lost, most=12),
            )
        )
    lines.append(
        words.text("Who ordered or carried it out: measurements show how and when, not who.")
    )
    return lines


def _onset(incident: Incident, words: Words) -> str:
    if incident.onset_earliest is None:
        return words.text("When it began: no earlier measurement found the site open.")
    width = words.duration(incident.onset_latest - incident.onset_earliest)
    return words.text("When exactly it began within the bracket of {width}.", width=width)


def _end(incident: Incident, words: Words) -> str:
    if incident.end_earliest is None or incident.end_latest is None:
        return words.text("Whether and when it ended after the last measurement.")
    width = words.duration(incident.end_latest - incident.end_earliest)
    return words.text("When exactly it ended within the bracket of {width}.", width=width)


def _gap(episode: Episode, words: Words) -> str:
    start, end = max(episode.gaps, key=lambda gap: gap[1] - gap[0])
    return words.plural(
        "What happened on {network} in {n} gap without measurements, from {start} to {end}.",
        "What happened on {network} in {n} gaps without measurements, the longest from {start} "
        "to {end}.",
        len(episode.gaps),
        network=plain(episode.network or f"AS{episode.asn}"),
        start=words.stamp(start),
        end=words.stamp(end),
    )
