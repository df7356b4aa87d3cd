"""Front: the title and the headline of a report, with counts, also where nothing was found."""

from __future__ import annotations

from reports.analysis import Analysis
from reports.contrasts import Examiner
from reports.narrative import tell
from reports.text import plain
from reports.wording import Words


def top(analysis: Analysis, examiner: Examiner, words: Words) -> tuple[str, str]:
    """Return the title and the headline sentence."""
    certain = [incident for incident in analysis.incidents if incident.status != "possible"]
    if len(certain) == 1:
        story = tell(certain[0], examiner.support(certain[0].episodes), words)
        return story.title, story.headline
    if not certain:
        return _nothing(analysis, words)
    hosts = list(dict.fromkeys(plain(incident.host) for incident in certain))
    countries = sorted({words.country(incident.country) for incident in certain})
    networks = {e.network_key for incident in certain for e in incident.episodes}
    where = words.listed(countries)
    if len(hosts) == 1:
        title = words.text("{host} blocked more than once: {where}", host=hosts[0], where=where)
    else:
        title = words.plural(
            "{n} site blocked: {where}", "{n} sites blocked: {where}", len(hosts), where=where
        )
    headline = words.text(
        "Blocking was found of {hosts}, in {incidents} on {networks}; each is told below.",
        hosts=words.listed(hosts),
        incidents=words.plural("{n} incident", "{n} incidents", len(certain)),
        networks=words.plural("{n} network", "{n} networks", len(networks)),
    )
    return title, headline


def _nothing(analysis: Analysis, words: Words) -> tuple[str, str]:
    if not analysis.rounds and not analysis.readings:
        country = words.country(analysis.country) if analysis.country else ""
        where = country or words.text("all countries")
        return (
            words.text("Nothing was measured"),
            words.text("No measurement lies in this time ({where}).", where=where),
        )
    if not analysis.readings:
        return (
            words.text("No site was measured"),
            words.plural(
                "In {n} round the line was never up, so no site was asked.",
                "In {n} rounds the line was never up, so no site was asked.",
                len(analysis.rounds),
            ),
        )
    urls, names = analysis.urls, analysis.readings.names
    wanted = [number for number, name in enumerate(names) if urls is None or name.url in urls]
    if not wanted:
        return (
            words.text("The site was not measured"),
            words.text("Other sites were measured in this time, and this one was not."),
        )
    networks = len({names[number].network for number in wanted})
    sites = len({names[number].url for number in wanted})
    return (
        words.text("No blocking was found"),
        words.plural(
            "{n} measurement ({sites}, {networks}) gave no episode of blocking. What was not "
            "measured is not known.",
            "{n} measurements ({sites}, {networks}) gave no episode of blocking. What was not "
            "measured is not known.",
            sum(len(analysis.readings.series(number)) for number in wanted),
            sites=words.plural("{n} site", "{n} sites", sites),
            networks=words.plural("{n} network", "{n} networks", networks),
        ),
    )
