"""Content: the whole report as one value, from which every format is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from reports.alternatives import Alternative, alternatives, unknowns
from reports.analysis import Analysis
from reports.annotations import Note
from reports.cases import Case
from reports.contrasts import TargetRow, support_of, target_rows
from reports.episodes import Episode
from reports.incidents import Incident
from reports.lines import LineSpan
from reports.narrative import Story, tell
from reports.places import moment, place
from reports.readings import Reading
from reports.rounding import earlier
from reports.rules import RULES_VERSION
from reports.sheets import Sheet, representative, sheet_of
from reports.text import plain
from reports.timeline import Timeline, close_up, lay_out
from reports.wording import between, capital, counted, day, listed, stamp

WIDE, NARROW = 900.0, 348.0  # widths of a timeline on paper and desktop, and on a phone


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One timeline in both widths."""

    caption: str
    wide: Timeline
    narrow: Timeline


class EpisodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One episode for the table and its evidence sheet."""

    episode: Episode
    network: str
    onset: str
    end: str
    techniques: str
    coverage: str
    sheet: Sheet | None


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one incident."""

    incident: Incident
    story: Story
    figures: tuple[Figure, ...]
    episodes: tuple[EpisodeRow, ...]
    alternatives: tuple[Alternative, ...]
    unknowns: tuple[str, ...]
    records: tuple[str, ...]


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The report. Text from the network in it is plain, and not yet escaped for any format."""

    title: str
    headline: str
    lead: str  # the headline without what the title says already
    period: str
    country: str
    generated: str
    tool: str
    rules_version: str
    simulated: bool
    exact: bool
    sections: tuple[Section, ...]
    possible: tuple[Section, ...]
    targets: tuple[TargetRow, ...]
    line_gaps: tuple[str, ...]
    outages: tuple[str, ...]
    method: tuple[str, ...]
    limitations: tuple[str, ...]
    analysis: Analysis
    annotations: tuple[Note, ...] = ()


Writer: TypeAlias = Callable[[Content], str]  # one format: content in, the file's text out


def content_of(
    analysis: Analysis, *, generated: str, tool: str, annotations: Sequence[Note] = ()
) -> Content:
    """Return the content of a report on `analysis`, with the annotations that belong to it."""
    sections = tuple(_section(incident, analysis) for incident in analysis.incidents)
    certain = tuple(s for s in sections if s.incident.status != "possible")
    country = place(analysis.country).name if analysis.country else "all countries"
    title, headline = _top(certain, analysis, country)
    lead = certain[0].story.lead if len(certain) == 1 else headline
    return Content(
        title=title,
        headline=headline,
        lead=lead,
        period=_period(analysis),
        country=country,
        generated=generated,
        tool=plain(tool),
        rules_version=RULES_VERSION,
        simulated=analysis.simulated,
        exact=analysis.exact,
        sections=certain,
        possible=tuple(s for s in sections if s.incident.status == "possible"),
        targets=tuple(target_rows(_shown(analysis))),
        line_gaps=tuple(_line(span) for span in analysis.line_spans if not span.is_outage),
        outages=tuple(_line(span) for span in analysis.line_spans if span.is_outage),
        method=_method(analysis, tool),
        limitations=_limitations(analysis),
        analysis=analysis,
        annotations=tuple(annotations),
    )


def _period(analysis: Analysis) -> str:
    return _days((analysis.since, analysis.until))


def _days(span: tuple[float, float]) -> str:
    first, last = moment(span[0]), moment(span[1] - 1)
    if first.date() == last.date():
        return day(first, year=True)
    return f"{day(first, year=first.year != last.year)} to {day(last, year=True)}"


# --- the top of the page -------------------------------------------------------------------------


def _top(sections: Sequence[Section], analysis: Analysis, country: str) -> tuple[str, str]:
    if len(sections) == 1:
        return sections[0].story.title, sections[0].story.headline
    if sections:
        hosts = list(dict.fromkeys(plain(section.incident.host) for section in sections))
        where = country if analysis.country else listed(_countries(sections))
        title = f"{capital(counted(len(hosts), 'site'))} blocked in {where}"
        return title, f"Blocking was found of {listed(hosts)}; each is told below."
    return _nothing(analysis, country)


def _countries(sections: Sequence[Section]) -> list[str]:
    return sorted({place(section.incident.country).name for section in sections})


def _nothing(analysis: Analysis, country: str) -> tuple[str, str]:
    if not analysis.rounds and not analysis.readings:
        return "Nothing was measured", f"No measurement of {country} lies in this time."
    if not analysis.readings:
        rounds = counted(len(analysis.rounds), "round")
        return "No site was measured", f"In {rounds} the line was never up, so no site was asked."
    networks = counted(len({reading.network_key for reading in analysis.readings}), "network")
    targets = counted(len({reading.url for reading in analysis.readings}), "site")
    measured = counted(len(analysis.readings), "measurement")
    return (
        "No blocking was found",
        f"{measured} of {targets} on {networks} gave no episode of blocking. What was not "
        "measured is not known.",
    )


# --- incidents -----------------------------------------------------------------------------------


def _section(incident: Incident, analysis: Analysis) -> Section:
    support = support_of(incident, analysis)
    follow_ups = [
        stored.id
        for episode in incident.episodes
        for id in episode.readings
        if id in analysis.cases
        for stored in analysis.cases[id].follow_ups
    ]
    cited = [id for e in incident.episodes for id in (*e.readings, *e.bounds)]
    return Section(
        incident=incident,
        story=tell(incident, support),
        figures=tuple(_figures(incident, analysis)),
        episodes=tuple(_episode_row(e, incident, analysis) for e in incident.episodes),
        alternatives=tuple(alternatives(incident, support)),
        unknowns=tuple(unknowns(incident)),
        records=tuple(dict.fromkeys([*cited, *follow_ups])),
    )


def _figures(incident: Incident, analysis: Analysis) -> list[Figure]:
    views = [("All days of this report", (analysis.since, analysis.until))]
    onset, end = close_up(incident.episodes, end=False), close_up(incident.episodes, end=True)
    views += [(f"The hours around the onset, {_days(onset)}", onset)] if onset else []
    views += [(f"The hours around the end, {_days(end)}", end)] if end else []
    readings = _shown(analysis)
    figures = []
    for number, (caption, (since, until)) in enumerate(views):
        layouts = [
            lay_out(
                incident,
                readings,
                analysis.line_spans,
                since=since,
                until=until,
                width=width,
                id=f"t{incident.id[-8:]}-{number}-{width:.0f}",
            )
            for width in (WIDE, NARROW)
        ]
        figures.append(Figure(caption=caption, wide=layouts[0], narrow=layouts[1]))
    return figures


def _shown(analysis: Analysis) -> Sequence[Reading]:
    """The readings with the times that may be shown."""
    if analysis.exact:
        return analysis.readings
    return [msgspec.structs.replace(r, seconds=earlier(r.seconds)) for r in analysis.readings]


def _episode_row(episode: Episode, incident: Incident, analysis: Analysis) -> EpisodeRow:
    where = place(episode.country)
    case = representative(episode, analysis.readings, analysis.cases)
    if episode.onset_earliest is None:
        onset = f"at the latest {stamp(episode.onset_latest, year=True)}"
    else:
        onset = between(episode.onset_earliest, episode.onset_latest, where)
    if episode.end_earliest is None or episode.end_latest is None:
        end = f"not seen; last failing {stamp(episode.last_failing)}"
    else:
        end = between(episode.end_earliest, episode.end_latest, where)
    share = "not known" if episode.coverage is None else f"{100 * episode.coverage:.0f} % of rounds"
    return EpisodeRow(
        episode=episode,
        network=_network(episode, incident),
        onset=capital(onset),
        end=capital(end),
        techniques=listed([f"{path} ({n})" for path, n in episode.techniques.items()]),
        coverage=share,
        sheet=None if case is None else _sheet(case, analysis),
    )


def _sheet(case: Case, analysis: Analysis) -> Sheet:
    sheet = sheet_of(case, analysis.verdicts[case.id])
    if analysis.exact:
        return sheet
    return msgspec.structs.replace(sheet, seconds=earlier(sheet.seconds))


def _network(episode: Episode, incident: Incident) -> str:
    names = [plain(part.name) for part in incident.networks if part.key == episode.network_key]
    return names[0] if names else "an unknown network"


# --- the rest ------------------------------------------------------------------------------------


def _line(span: LineSpan) -> str:
    network = plain(span.network or "a network")
    number = f" (AS{span.asn})" if span.asn is not None else ""
    states = " and ".join(span.states)
    before = "" if span.begin_earliest is None else f"after {stamp(span.begin_earliest)}, "
    after = "not up again" if span.end_latest is None else f"up again by {stamp(span.end_latest)}"
    seen = f"seen {states} from {stamp(span.begin_latest)} to {stamp(span.end_earliest)}"
    return f"{network}{number}: {before}{seen}, {after} ({counted(span.rounds, 'round')})."


def _method(analysis: Analysis, tool: str) -> tuple[str, ...]:
    rounding = (
        "Times in this report are exact."
        if analysis.exact
        else "Times in this report are rounded outward to ten minutes."
    )
    return (
        "Volunteers' computers load each site as a browser would: they ask the system's resolver "
        "for its address, connect, open TLS with the site's name and request the page. Public and "
        "encrypted resolvers are asked beside it, and helpers abroad load the same page at the "
        "same time. A load that fails is repeated twice.",
        "Where a failure repeats, an experiment follows in which only one thing differs: the "
        "site's name and other names at the site's address, the site's name and other names at an "
        "unrelated address. If only the site's name fails, at both, it is the name that is "
        "blocked.",
        "A measurement is called blocked only if the failure repeated and two independent kinds "
        "of evidence speak for interference, or if an experiment or an artefact shows it. A lone "
        "unexplained failure is suspected and never makes a headline.",
        "An episode begins between the last measurement that found the site open and the first "
        "that found it blocked, and ends likewise. Times are corrected by the measured offset of "
        f"each volunteer's clock. {rounding}",
        f"Rules {RULES_VERSION}; program {plain(tool)}; format sitewatch-measurement/1. The "
        "records named in the annex are identified by the SHA-256 of their canonical form, so "
        "that nobody can change them unnoticed, and can be judged again by other rules.",
    )


def _limitations(analysis: Analysis) -> tuple[str, ...]:
    vantages = {r.vantage for r in analysis.readings if r.vantage_kind == "field"}
    networks = {r.network_key for r in analysis.readings if r.vantage_kind == "field"}
    return (
        f"This report rests on {counted(len(vantages), 'vantage')} on "
        f"{counted(len(networks), 'network')}. Networks differ within themselves by place and "
        "kind of line; what a vantage saw need not hold for every customer.",
        "Only the sites on the list were measured, at the times of the rounds. A block shorter "
        "than the time between two rounds can be missed.",
        "Volunteers run the program on lines of their own choice; they are no sample of the "
        "country.",
        "Measurements show what happened to connections. They do not show who decided it.",
    )
