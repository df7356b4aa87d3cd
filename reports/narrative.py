"""Narrative: an incident in plain words, with counts and brackets, nothing but what was seen."""

from __future__ import annotations

import msgspec

from reports.contrasts import Support
from reports.incidents import Incident, NetworkPart
from reports.places import Place, moment, place
from reports.techniques import in_words
from reports.text import plain
from reports.wording import between, capital, counted, duration, listed, stamp_with_local

_CERTAIN = {
    "confirmed": "confirmed: an experiment or artefact leaves interference as the explanation",
    "likely": "likely: two independent kinds of evidence speak for interference",
    "suspected": "suspected only: too little speaks for or against interference",
}


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """An incident told: a title, one headline sentence, paragraphs, and a table of key facts."""

    title: str
    headline: str
    lead: str  # the headline without the title
    paragraphs: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def tell(incident: Incident, support: Support) -> Story:
    """Return the story of `incident`."""
    where = place(incident.country)
    lead = _lead(incident, support, where)
    return Story(
        title=title(incident, where),
        headline=f"{title(incident, where)}, {lead}",
        lead=capital(lead),
        paragraphs=tuple(_paragraphs(incident, support, where)),
        facts=tuple(_facts(incident, where)),
    )


def title(incident: Incident, where: Place) -> str:
    """Return "foreignpolicy.com was blocked on 2 of 3 networks in Kazakhstan"."""
    host = plain(incident.host)
    if incident.status == "possible":
        return f"{host} may have been blocked in {where.name}; too little speaks for it"
    blocked, free = incident.parts("blocked"), incident.parts("not-blocked")
    total = len(blocked) + len(free)
    verb = "is" if incident.status == "ongoing" else "was"
    if total == 1:
        return f"{host} {verb} blocked on the only measured network in {where.name}"
    share = f"all {total}" if len(blocked) == total else f"{len(blocked)} of {total}"
    return f"{host} {verb} blocked on {share} networks in {where.name}"


def _lead(incident: Incident, support: Support, where: Place) -> str:
    """The rest of the one sentence that must be defensible word by word."""
    failing = sum(episode.failing for episode in incident.episodes)
    measured = sum(episode.measurements for episode in incident.episodes)
    parts = [f"{onset_words(incident, where)}{_until(incident, where)}"]
    if incident.techniques:
        parts.append(in_words(next(iter(incident.techniques))))
    parts.append(f"{failing} of {counted(measured, 'measurement')} failed there in that time")
    if support.others_worked == support.failing > 0:
        parts.append("other sites worked in the same minutes")
    elif support.others_worked:
        parts.append(
            f"other sites worked in the same minutes as {support.others_worked} of "
            f"{support.failing} failures"
        )
    return "; ".join(parts) + "."


def onset_words(incident: Incident, where: Place) -> str:
    """Return "from 19 June 2017 between 15:10 and 15:40 UTC (21:10–21:40 in Astana)"."""
    if incident.onset_earliest is None:
        moment = stamp_with_local(incident.onset_latest, where, year=True)
        return f"at the latest from {moment}"
    text = between(incident.onset_earliest, incident.onset_latest, where, year=True)
    return f"from {text}" if not text.startswith("between") else f"from a moment {text}"


def _until(incident: Incident, where: Place) -> str:
    if incident.end_earliest is None or incident.end_latest is None:
        last = stamp_with_local(incident.last_failing, where)
        return f", and still at the last measurement, {last}"
    another_year = moment(incident.end_latest).year != moment(incident.onset_latest).year
    text = between(incident.end_earliest, incident.end_latest, where, year=another_year)
    return f" until {text}" if not text.startswith("between") else f" until a moment {text}"


def _paragraphs(incident: Incident, support: Support, where: Place) -> list[str]:
    paragraphs = [_networks(incident, where)]
    if incident.techniques:
        paragraphs.append(_technique(incident, support))
    if incident.end_earliest is not None and incident.end_latest is not None:
        least = incident.end_earliest - incident.onset_latest
        text = f"The block lasted at least {duration(least)}"
        if incident.onset_earliest is not None:
            most = incident.end_latest - incident.onset_earliest
            text += f" and at most {duration(most)}"
        paragraphs.append(f"{text}, from the first network that blocked to the last that stopped.")
    return paragraphs


def _networks(incident: Incident, where: Place) -> str:
    sentences = [_failed(part) for part in incident.parts("blocked") + incident.parts("possible")]
    free = incident.parts("not-blocked")
    if free:
        names = listed([f"{plain(p.name)}" for p in free])
        measured = counted(sum(part.measurements for part in free), "measurement")
        sentences.append(
            f"Over the same time {names} did not block it ({measured}, none of them blocked)."
        )
    thin = incident.parts("too-little")
    if thin:
        names = listed([plain(part.name) for part in thin])
        sentences.append(f"Too little was measured on {names} to say anything.")
    return " ".join(sentences)


def _failed(part: NetworkPart) -> str:
    what = "found it blocked" if part.part == "blocked" else "failed without explanation"
    measured = counted(part.measurements, "measurement")
    return f"On {plain(part.name)} {part.failing} of {measured} {what}."


def _technique(incident: Incident, support: Support) -> str:
    ways = [f"{in_words(p)} ({p}, {counted(n, 'time')})" for p, n in incident.techniques.items()]
    sentences = [f"How it showed: {listed(ways)}."]
    if support.name_alone:
        times = counted(support.name_alone, "experiment")
        sentences.append(
            f"In {times} only the name made the difference: it was cut off at the site's own "
            "address and at an unrelated one, while other names passed at both."
        )
    return " ".join(sentences)


def _facts(incident: Incident, where: Place) -> list[tuple[str, str]]:
    blocked, free = incident.parts("blocked"), incident.parts("not-blocked")
    failing = sum(episode.failing for episode in incident.episodes)
    measured = sum(episode.measurements for episode in incident.episodes)
    facts = [
        ("Site", plain(incident.host)),
        ("Country", where.name),
        ("Networks that blocked", _names(blocked)),
        ("Networks that did not", _names(free)),
        ("Too little data", _names(incident.parts("too-little"))),
        ("Began", capital(onset_words(incident, where).removeprefix("from "))),
        ("Ended", _ended(incident, where)),
        ("Failing measurements", f"{failing:,} of {measured:,}"),
        ("Technique", listed([f"{path} ({n})" for path, n in incident.techniques.items()]) or "–"),
        ("Certainty", capital(_CERTAIN[incident.certainty])),
    ]
    if incident.status == "possible":
        facts[2:5] = [("Networks with suspicions", _names(incident.parts("possible")))]
    return facts


def _names(parts: list[NetworkPart]) -> str:
    return listed([plain(part.name) for part in parts]) or "none"


def _ended(incident: Incident, where: Place) -> str:
    if incident.end_earliest is None or incident.end_latest is None:
        return f"Not seen; last failing {stamp_with_local(incident.last_failing, where, year=True)}"
    return capital(between(incident.end_earliest, incident.end_latest, where, year=True))
