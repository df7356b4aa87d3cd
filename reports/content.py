"""Content: the whole report as one value, from which every format is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from reports.analysis import Analysis
from reports.annotations import Note
from reports.contrasts import Examiner, TargetRow, target_rows
from reports.drawing import LINES
from reports.front import top
from reports.ledger import Ledger
from reports.lines import LineSpan
from reports.method import limitations, lone_witnesses, method, versions
from reports.readings import Network
from reports.rounding import earlier
from reports.rules import RULES_VERSION
from reports.sections import EpisodeRow as EpisodeRow
from reports.sections import Section as Section
from reports.sections import Sections
from reports.text import plain
from reports.wording import ENGLISH, Words

MOST_SECTIONS = 30  # incidents that are told in full; the others stand in the table
MOST_LISTED = 300  # ids of records that the annex of a page lists


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The report. Text from the network in it is plain, and not yet escaped for any format."""

    words: Words
    english: str  # the beginning in English, for drafts of other languages
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
    annotations: tuple[Note, ...]
    targets: tuple[TargetRow, ...]
    networks: dict[Network, str]  # every measured network and how it is called
    line_gaps: tuple[str, ...]
    outages: tuple[str, ...]
    method: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    limitations: tuple[str, ...]
    analysis: Analysis
    cite: str = ""  # how to cite a report on one incident

    @property
    def full(self) -> tuple[Section, ...]:
        """The incidents that are told in full; the others stand in the table of all."""
        return self.sections[:MOST_SECTIONS]


Writer: TypeAlias = Callable[[Content], str]  # one format: content in, the file's text out


def content_of(
    analysis: Analysis,
    *,
    generated: str,
    tool: str,
    annotations: Sequence[Note] = (),
    words: Words = ENGLISH,
) -> Content:
    """Return the content of a report on `analysis`, with the annotations that belong to it."""
    ledger, examiner = Ledger(analysis.readings), Examiner(analysis)
    makes = Sections(analysis, ledger, examiner, annotations, words)
    every = [makes.of(incident) for incident in analysis.incidents]
    certain = tuple(section for section in every if section.incident.status != "possible")
    title, headline = top(analysis, examiner, words)
    english = top(analysis, examiner, ENGLISH) if words.is_draft else (title, headline)
    twice = english[1].startswith(english[0])
    spans = analysis.line_spans
    return Content(
        words=words,
        english=english[1] if twice else f"{english[0]}. {english[1]}",
        title=title,
        headline=headline,
        lead=certain[0].story.lead if len(certain) == 1 else headline,
        period=words.days(analysis.since, analysis.until),
        country=words.country(analysis.country)
        if analysis.country
        else words.text("all countries"),
        generated=generated,
        tool=plain(tool),
        rules_version=", ".join(analysis.rules) or RULES_VERSION,
        simulated=analysis.simulated,
        exact=analysis.exact,
        sections=certain,
        possible=tuple(s for s in every if s.incident.status == "possible"),
        annotations=tuple(annotations),
        targets=tuple(_targets(analysis)),
        networks=dict(sorted(ledger.names.items(), key=lambda item: item[1])),
        line_gaps=tuple(_line(span, words) for span in spans if not span.is_outage),
        outages=tuple(_line(span, words) for span in spans if span.is_outage),
        method=method(analysis, words),
        versions=tuple(versions(analysis, tool, words)),
        warnings=lone_witnesses(ledger, words),
        limitations=limitations(ledger, words),
        analysis=analysis,
    )


def _targets(analysis: Analysis) -> list[TargetRow]:
    rows = target_rows(analysis.readings)
    if analysis.exact:
        return rows
    return [
        msgspec.structs.replace(
            row, first_down=earlier(row.first_down), last_down=earlier(row.last_down)
        )
        for row in rows
    ]


def _line(span: LineSpan, words: Words) -> str:
    """One span in which a line was not up, as a sentence."""
    number = f" (AS{span.asn})" if span.asn is not None else ""
    values = {
        "network": plain(span.network or words.text("a network")) + number,
        "states": words.listed([words.text(LINES[state]) for state in span.states]),
        "when": _seen(words.stamp(span.begin_latest), words.stamp(span.end_earliest), words),
    }
    if span.begin_earliest is None and span.end_latest is None:
        return words.plural(
            "{network}: seen {states} {when}, not up again ({n} round).",
            "{network}: seen {states} {when}, not up again ({n} rounds).",
            span.rounds,
            **values,
        )
    if span.begin_earliest is None:
        return words.plural(
            "{network}: seen {states} {when}, up again by {up} ({n} round).",
            "{network}: seen {states} {when}, up again by {up} ({n} rounds).",
            span.rounds,
            up=words.stamp(span.end_latest or 0),
            **values,
        )
    before = words.stamp(span.begin_earliest)
    if span.end_latest is None:
        return words.plural(
            "{network}: after {before}, seen {states} {when}, not up again ({n} round).",
            "{network}: after {before}, seen {states} {when}, not up again ({n} rounds).",
            span.rounds,
            before=before,
            **values,
        )
    return words.plural(
        "{network}: after {before}, seen {states} {when}, up again by {up} ({n} round).",
        "{network}: after {before}, seen {states} {when}, up again by {up} ({n} rounds).",
        span.rounds,
        before=before,
        up=words.stamp(span.end_latest),
        **values,
    )


def _seen(first: str, last: str, words: Words) -> str:
    if first == last:
        return words.text("at {time}", time=first)
    return words.text("from {first} to {last}", first=first, last=last)
