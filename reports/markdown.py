"""Markdown: the report as text that reads well as it is and that no site can write into."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from reports.annotations import NOT_EVIDENCE
from reports.content import Content, EpisodeRow, Section
from reports.sheets import Row
from reports.text import plain
from reports.wording import counted, stamp

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~$&@])")
_OF_URLS = "%!#$&'()*+,/:;=?@[]~"  # what has a meaning of its own in addresses
_RESULT = {True: "worked", False: "failed", None: "no answer"}


def markdown(content: Content) -> str:
    """Return report.md."""
    lines = [f"# {escaped(content.title)}", "", escaped(content.headline), ""]
    if content.simulated:
        lines[:0] = ["**SIMULATED: every measurement here was made in a simulated network.**", ""]
    lines += [f"{escaped(content.country)}, {escaped(content.period)}", ""]
    for section in content.sections:
        lines += _section(section, many=len(content.sections) > 1)
    lines += _possible(content.possible)
    lines += _targets(content)
    lines += _annotations(content)
    lines += _list("Cut lines", content.outages) + _list("Lines that were down", content.line_gaps)
    lines += ["## Method", "", *_paragraphs(content.method)]
    lines += _list("Limitations", content.limitations)
    for section in content.sections:
        lines += ["## Annex: records", "", f"Incident `{section.incident.id}`", ""]
        lines += [f"- `{id}`" for id in section.records] + [""]
    end = " Simulated data." if content.simulated else ""
    written = f"Written {content.generated} by {content.tool}, rules {content.rules_version}."
    return "\n".join([*lines, escaped(written + end)]) + "\n"


def escaped(text: str) -> str:
    """Return text on one line in which nothing is Markdown, HTML or a link."""
    quoted = _SPECIAL.sub(r"\\\1", plain(text, limit=2000))
    # An address that stands alone is made a link by many readers.
    return re.sub(r"(?i)\b(https?|ftp|mailto|www)([:.])", "\\1\u2060\\2", quoted)


def _section(section: Section, *, many: bool) -> list[str]:
    lines: list[str] = []
    if many:
        lines += [f"## {escaped(section.story.title)}", "", escaped(section.story.headline), ""]
    lines += _paragraphs(section.story.paragraphs)
    lines += ["## Key facts", "", *_table(("Fact", "Value"), section.story.facts)]
    lines += _list("What we do not know", section.unknowns)
    lines += ["## Episodes", "", *_episodes(section.episodes, certainty=True)]
    lines += ["## Evidence", ""]
    for row in section.episodes:
        lines += _evidence(row)
    others = [(other.question, other.answer, other.because) for other in section.alternatives]
    lines += ["## What else it could have been", ""]
    return lines + _table(("Explanation", "Answer", "Because"), others)


def _episodes(rows: Iterable[EpisodeRow], *, certainty: bool) -> list[str]:
    header = ("Network", "Site", "Began", "Ended", "Failed", "Technique", "Certainty", "Coverage")
    cells = [
        (
            row.network,
            row.episode.url,
            row.onset,
            row.end,
            f"{row.episode.failing} of {row.episode.measurements}",
            row.techniques,
            row.episode.certainty,
            row.coverage,
        )
        for row in rows
    ]
    kept = len(header) if certainty else 6
    return _table(header[:kept], [cell[:kept] for cell in cells])


def _evidence(row: EpisodeRow) -> list[str]:
    sheet = row.sheet
    if sheet is None:
        return []
    lines = [f"### {escaped(row.network)}", ""]
    lines += [f"Representative measurement of {stamp(sheet.seconds, year=True)}: `{sheet.id}`", ""]
    lines += _paragraphs(sheet.reasons)
    if sheet.arms:
        lines += ["#### The experiment that decides", "", *_rows(sheet.arms)]
    lines += ["#### The measurement, step by step", "", *_rows(sheet.steps)]
    if sheet.helpers:
        lines += ["#### Helpers abroad", "", *_rows(sheet.helpers)]
    return lines


def _rows(rows: Iterable[Row]) -> list[str]:
    cells = [(row.what, row.where, row.result, _RESULT[row.ok], row.took) for row in rows]
    return _table(("What", "With", "Result", "", "Took"), cells)


def _possible(sections: Sequence[Section]) -> list[str]:
    if not sections:
        return []
    rows = [row for section in sections for row in section.episodes]
    return ["## Possible, and not counted", "", *_episodes(rows, certainty=False)]


def _targets(content: Content) -> list[str]:
    if not content.targets:
        return []
    statuses = ("accessible", "restricted", "down", "inconclusive", "blocked")
    cells = [
        (row.url, str(row.measurements), *(str(row.counts.get(s, "–")) for s in statuses))
        for row in content.targets
    ]
    header = ("Site", "Measured", "Open", "Refused by the site", "Down", "Inconclusive", "Blocked")
    measured = counted(sum(row.measurements for row in content.targets), "measurement")
    return ["## All sites in the same time", "", f"{measured}.", "", *_table(header, cells)]


def _annotations(content: Content) -> list[str]:
    if not content.annotations:
        return []
    lines = ["## What was said and done at the time", "", escaped(NOT_EVIDENCE), ""]
    for note in content.annotations:
        lines.append(f"- {escaped(note.when)}: {escaped(note.text)} {_link(note.source)}")
    return [*lines, ""]


def _link(url: str) -> str:
    """Return an address that was made for readers to follow; nothing in it can end the link."""
    return f"<{quote(url, safe=_OF_URLS)}>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(escaped(cell) for cell in row)} |" for row in rows]
    return [*lines, ""]


def _list(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    return [f"## {title}", "", *(f"- {escaped(item)}" for item in items), ""]


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in (escaped(text), "")]
