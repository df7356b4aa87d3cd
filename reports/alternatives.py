"""Alternatives: what else an incident could have been, what rules it out, and what stays open."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from reports.contrasts import Support
from reports.episodes import Episode
from reports.incidents import Incident
from reports.places import place
from reports.text import plain
from reports.wording import counted, duration, listed, stamp

Answer: TypeAlias = Literal["ruled out", "unlikely", "not ruled out"]


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """Another explanation, whether it is ruled out, and by what."""

    question: str
    answer: Answer
    because: str


def alternatives(incident: Incident, support: Support) -> list[Alternative]:
    """Return every other explanation that was considered."""
    return [
        _down(incident, support),
        _own_line(support),
        _refusal(incident, support),
        _address(incident, support),
        _dns(incident, support),
        _own_computer(support),
        _defect(incident),
    ]


def _down(incident: Incident, support: Support) -> Alternative:
    question = "The site was down."
    free = incident.parts("not-blocked")
    reasons = []
    if support.reached_abroad:
        reasons.append(
            f"during {support.reached_abroad} of {support.failing} failing measurements a view "
            "from abroad reached it in the same minutes"
        )
    if free:
        reasons.append(f"{listed([plain(part.name) for part in free])} reached it meanwhile")
    if support.name_alone:
        reasons.append(f"its address answered other names in {support.name_alone} experiments")
    if not reasons:
        return _open(question, "no view from abroad or from another network is at hand")
    many = 2 * support.reached_abroad >= support.failing or bool(free)
    return Alternative(
        question=question,
        answer="ruled out" if many else "unlikely",
        because=_sentence(reasons),
    )


def _own_line(support: Support) -> Alternative:
    question = "The volunteers' own lines were broken."
    share = f"{support.others_worked} of {support.failing}"
    because = f"within 15 minutes of {share} failing measurements another site worked on that line"
    if support.others_worked == support.failing > 0:
        return Alternative(question=question, answer="ruled out", because=_sentence([because]))
    if 2 * support.others_worked > support.failing:
        return Alternative(question=question, answer="unlikely", because=_sentence([because]))
    return _open(question, because)


def _refusal(incident: Incident, support: Support) -> Alternative:
    question = f"The site itself turned visitors from {place(incident.country).name} away."
    if support.cut_elsewhere:
        because = (
            f"in {counted(support.cut_elsewhere, 'experiment')} the name was cut off at an address "
            "of another operator too, where the site's server has no part"
        )
        return Alternative(question=question, answer="ruled out", because=_sentence([because]))
    if support.reached_inside:
        because = (
            f"another network of the country reached it within the hour of "
            f"{support.reached_inside} of {support.failing} failing measurements"
        )
        return Alternative(question=question, answer="unlikely", because=_sentence([because]))
    return _open(question, "no experiment and no other network of the country speaks against it")


def _address(incident: Incident, support: Support) -> Alternative:
    question = "The site's address failed, and not its name."
    if support.name_alone:
        because = (
            f"in {counted(support.name_alone, 'experiment')} other names passed at the very same "
            "address in the same minutes"
        )
        return Alternative(question=question, answer="ruled out", because=_sentence([because]))
    return _open(question, "no experiment shows other names passing at that address")


def _dns(incident: Incident, support: Support) -> Alternative:
    question = "The resolver gave a wrong address."
    if any(path.startswith("dns.") for path in incident.techniques):
        return _open(question, "it did: this is how the block worked")
    if support.address_known:
        because = (
            f"in {support.address_known} of {support.failing} failing measurements the address was "
            "one that helpers or encrypted resolvers gave as well"
        )
        return Alternative(question=question, answer="ruled out", because=_sentence([because]))
    return _open(question, "no other resolver's answer is at hand")


def _own_computer(support: Support) -> Alternative:
    question = "A filter on a volunteer's own computer or router."
    if support.vantages > 1:
        because = (
            f"{support.vantages} vantages saw the same independently; for each of them alone "
            "nothing measured rules it out"
        )
        return Alternative(question=question, answer="unlikely", because=_sentence([because]))
    return _open(question, "one vantage saw it, and only a second one could tell")


def _defect(incident: Incident) -> Alternative:
    question = "A defect of the measuring program."
    reasons = []
    if incident.onset_earliest is not None:
        reasons.append("the same program reached the site on the same network before")
    if incident.end_latest is not None:
        reasons.append("reached it again afterwards" if reasons else "reached it afterwards")
    if incident.parts("not-blocked"):
        reasons.append("reached it on another network meanwhile")
    if not reasons:
        return _open(question, "it never reached the site in this time")
    return Alternative(question=question, answer="unlikely", because=_sentence(reasons))


def _open(question: str, because: str) -> Alternative:
    return Alternative(question=question, answer="not ruled out", because=_sentence([because]))


def _sentence(reasons: list[str]) -> str:
    text = listed(reasons)
    return f"{text[:1].upper()}{text[1:]}."


def unknowns(incident: Incident) -> list[str]:
    """Return what the measurements do not tell about `incident`."""
    country = place(incident.country).name
    lines = [_onset(incident), *_end(incident)]
    for part in incident.parts("blocked"):
        if part.vantages == 1:
            lines.append(
                f"One vantage is the only witness on {plain(part.name)}; a second one would show "
                "whether the whole network was affected."
            )
    thin = incident.parts("too-little")
    if thin:
        names = listed([plain(part.name) for part in thin])
        lines.append(f"What happened on {names}: too little was measured.")
    lines += [_gap(episode) for episode in incident.episodes if episode.gaps]
    lines.append(f"What happened on networks in {country} that nobody measured.")
    lines.append("Where on the way the connections were cut: the hop was not located.")
    lines.append("Who ordered or carried it out: measurements show how and when, not who.")
    return lines


def _onset(incident: Incident) -> str:
    if incident.onset_earliest is None:
        return "When it began: no earlier measurement found the site open."
    width = duration(incident.onset_latest - incident.onset_earliest)
    return f"When exactly it began within the bracket of {width}."


def _end(incident: Incident) -> list[str]:
    if incident.end_earliest is None or incident.end_latest is None:
        return ["Whether and when it ended after the last measurement."]
    width = duration(incident.end_latest - incident.end_earliest)
    return [f"When exactly it ended within the bracket of {width}."]


def _gap(episode: Episode) -> str:
    start, end = max(episode.gaps, key=lambda gap: gap[1] - gap[0])
    network = episode.network or f"AS{episode.asn}"
    return (
        f"What happened on {plain(network)} in {counted(len(episode.gaps), 'gap')} without "
        f"measurements, the longest from {stamp(start)} to {stamp(end)}."
    )
