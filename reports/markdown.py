"""Markdown: the report as text that reads well as it is and that no site can write into."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from reports.alternatives import ANSWERS, left_open
from reports.annotations import NOT_EVIDENCE, Note
from reports.beside import Beside
from reports.content import MOST_LISTED, Content, EpisodeRow, Section
from reports.matrix import Matrix, MatrixRow
from reports.narrative import CERTAINTIES
from reports.records_list import digest_of, ids_of
from reports.sheets import Row, Sheet
from reports.techniques import in_words
from reports.text import plain

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~$&@])")
_OF_URLS = "%!#$&'()*+,/:;=?@[]~"  # what has a meaning of its own in addresses


def markdown(content: Content) -> str:
    """Return report.md."""
    return "\n".join(_Writer(content).lines()) + "\n"


def escaped(text: str) -> str:
    """Return text on one line in which nothing is Markdown, HTML or a link."""
    quoted = _SPECIAL.sub(r"\\\1", plain(text, limit=2000))
    # An address that stands alone is made a link by many readers.
    return re.sub(r"(?i)\b(https?|ftp|mailto|www)([:.])", "\\1\u2060\\2", quoted)


class _Writer:
    """One report in its own language."""

    def __init__(self, content: Content) -> None:
        self.content, self.words, self.text = content, content.words, content.words.text

    def lines(self) -> list[str]:
        content, text = self.content, self.text
        many = len(content.sections) > 1
        lines = [*self._top(), f"{escaped(content.country)}, {escaped(content.period)}", ""]
        if many:
            lines += self._incidents()
        for section in content.full:
            lines += self._section(section, many=many)
        lines += self._annotations(enumerate(content.annotations, start=1), "## ")
        lines += self._possible() + self._targets()
        lines += self._list(text("Cut lines"), content.outages)
        lines += self._list(text("Lines that were down"), content.line_gaps)
        lines += ["## " + escaped(text("Method")), "", *_paragraphs(content.method)]
        lines += ["### " + escaped(text("Versions and thresholds")), ""]
        lines += _table((text("What"), text("Value")), content.versions)
        lines += self._list(text("Limitations"), (*content.warnings, *content.limitations))
        lines += self._records()
        written = text(
            "Data up to {time}; by {tool}, rules {rules}.",
            time=content.generated,
            tool=content.tool,
            rules=content.rules_version,
        )
        end = " " + text("Simulated data.") if content.simulated else ""
        return [*lines, escaped(written + end)]

    def _top(self) -> list[str]:
        content = self.content
        lines: list[str] = []
        if content.simulated:
            told = self.text(
                "Every measurement in this report was made in a simulated network. Nothing in it "
                "is a statement about the real world."
            )
            lines += [f"**SIMULATED.** {escaped(told)}", ""]
        if self.words.is_draft:
            told = self.text(
                "This translation is a draft that nobody has reviewed. The English text is the "
                "one that counts."
            )
            english = f"In English: {content.english}"
            lines += [f"**{escaped(told)}** {escaped(english)}", ""]
        lines += [f"# {escaped(content.title)}", "", escaped(content.headline), ""]
        return [*lines, escaped(content.cite), ""] if content.cite else lines

    def _incidents(self) -> list[str]:
        columns = (0, 2, 5, 6, 7, 9)
        facts = [section.story.facts for section in self.content.sections]
        rows = [[fact[column][1] for column in columns] for fact in facts]
        header = [facts[0][column][0] for column in columns]
        return [f"## {escaped(self.text('Incidents'))}", "", *_table(header, rows)]

    # --- one incident ----------------------------------------------------------------------

    def _section(self, section: Section, *, many: bool) -> list[str]:
        text = self.text
        h = "###" if many else "##"
        lines: list[str] = []
        if many:
            lines += [f"## {escaped(section.story.title)}", "", escaped(section.story.headline), ""]
        lines += _paragraphs(section.story.paragraphs)
        lines += [f"{h} {escaped(text('Key facts'))}", ""]
        lines += _table((text("Fact"), text("Value")), section.story.facts)
        lines += self._list(text("What we do not know"), section.unknowns, h)
        lines += [f"{h} {escaped(text('Networks and techniques'))}", ""]
        lines += self._matrix(section.matrix)
        lines += [f"{h} {escaped(text('Evidence'))}", ""]
        lines += self._episodes(section.episodes, certain=True)
        for row in section.episodes:
            lines += self._evidence(row, h)
        lines += [f"{h} {escaped(text('What stayed reachable'))}", ""]
        lines += self._beside(section.beside)
        lines += [f"{h} {escaped(text('Did the networks act together?'))}", ""]
        alone = text("One network alone blocked the site, so there is nothing to compare.")
        return lines + _paragraphs(section.together or (alone,))

    def _matrix(self, matrix: Matrix) -> list[str]:
        text = self.text
        header = [text("Network"), *matrix.paths, text("Together"), text("Vantages")]
        rows = [self._matrix_row(row) for row in matrix.rows]
        meanings = [f"{path}: {text(in_words(path))}" for path in matrix.paths]
        return [*_table(header, rows), *(f"- {escaped(line)}" for line in meanings), ""]

    def _matrix_row(self, row: MatrixRow) -> list[str]:
        blocked = row.part in ("blocked", "possible")
        cells = [self._of(n, row.measurements) if n and blocked else "–" for n in row.counts]
        together = {
            "blocked": self.text("blocked"),
            "possible": self.text("suspicions"),
            "not-blocked": self.text("not blocked"),
            "too-little": self.text("too little data"),
        }[row.part]
        counted = self._of(row.failing, row.measurements)
        return [row.network, *cells, f"{together}, {counted}", self.words.number(row.vantages)]

    def _of(self, failing: int, all: int) -> str:
        number = self.words.number
        return self.text("{failing} of {all}", failing=number(failing), all=number(all))

    def _episodes(self, rows: Iterable[EpisodeRow], *, certain: bool) -> list[str]:
        text = self.text
        header = [text("Network"), text("Site"), text("Began"), text("Ended"), text("Failed")]
        header += [text("Technique"), text("Certainty")]
        cells = [
            (
                row.network,
                row.episode.url,
                row.onset,
                row.end,
                self._of(row.episode.failing, row.episode.measurements),
                row.techniques,
                row.certainty,
            )
            for row in rows
        ]
        kept = len(header) if certain else 6
        return _table(header[:kept], [cell[:kept] for cell in cells])

    def _evidence(self, row: EpisodeRow, h: str) -> list[str]:
        text = self.text
        lines = [f"{h}# {escaped(row.network)}, {escaped(row.episode.url)}", ""]
        if row.episode.vantages == 1:
            warning = text("Only one vantage is the witness on this network.")
            lines += [f"**{escaped(warning)}**", ""]
        lines += _paragraphs([*filter(None, (row.coverage, row.likely_onset)), *row.remarks])
        for sheet in row.sheets:
            lines += self._sheet(sheet, h)
        answers = [
            (other.question, text(ANSWERS[other.answer]), other.because)
            for other in row.alternatives
        ]
        if not row.alternatives:
            told = "This episode is not laid out in full; its records are named in the annex."
            return [*lines, escaped(text(told)), ""]
        header = text("Explanation"), text("Answer"), text("Because")
        title = escaped(text("What else it could have been"))
        said = _paragraphs([left_open(row.alternatives, self.words)])
        return [*lines, f"{h}## {title}", "", *_table(header, answers), *said]

    def _sheet(self, sheet: Sheet, h: str) -> list[str]:
        text = self.text
        time = self.words.stamp(sheet.seconds, year=True)
        certainty = text(CERTAINTIES[sheet.certainty]) if sheet.certainty else ""
        lines = [f"{h}## {escaped(text('Measurement of {time}', time=time))}", ""]
        lines += [f"{escaped(certainty)} `{sheet.id}`", "", *_paragraphs(sheet.reasons)]
        if sheet.arms:
            title = text("The experiment that decides: only the name, or only the address, differs")
            lines += [f"**{escaped(title)}**", "", *self._rows(sheet.arms)]
        if sheet.hop:
            lines += [f"**{escaped(text('Where on the way'))}**: {escaped(sheet.hop)}", ""]
        title = escaped(text("The measurement, step by step"))
        lines += [f"**{title}**", "", *self._rows(sheet.steps)]
        if sheet.helpers:
            title = escaped(text("Helpers abroad, asked at the same time"))
            lines += [f"**{title}**", "", *self._rows(sheet.helpers)]
        return lines

    def _rows(self, rows: Iterable[Row]) -> list[str]:
        text = self.text
        results = {True: text("worked"), False: text("failed"), None: text("says nothing")}
        cells = [(row.what, row.where, row.result, results[row.ok], row.took) for row in rows]
        header = text("Step"), text("With"), text("Result"), text("Did it work?"), text("Took")
        return _table(header, cells)

    def _beside(self, beside: Beside) -> list[str]:
        lines = _paragraphs(beside.sentences)
        if not beside.sites:
            return lines
        rows = [(site.host, self._of(site.opened, site.measured)) for site in beside.sites]
        return [*lines, *_table((self.text("Site"), self.text("Answered")), rows)]

    # --- the rest --------------------------------------------------------------------------

    def _annotations(self, numbered: Iterable[tuple[int, Note]], h: str) -> list[str]:
        notes = list(numbered)
        if not notes:
            return []
        title = escaped(self.text("What was said and done at the time"))
        lines = [f"{h}{title}", "", escaped(self.text(NOT_EVIDENCE)), ""]
        for number, note in notes:
            when = self.words.days(note.seconds, note.until)
            if note.until - note.seconds < 86400:
                when = self.words.stamp(note.seconds, year=True)
            lines.append(f"{number}. {escaped(when)}: {escaped(note.text)} {_link(note.source)}")
        return [*lines, ""]

    def _possible(self) -> list[str]:
        if not self.content.possible:
            return []
        rows = [row for section in self.content.possible for row in section.episodes]
        title = escaped(self.text("Possible, and not counted"))
        return [f"## {title}", "", *self._episodes(rows, certain=False)]

    def _targets(self) -> list[str]:
        content, text = self.content, self.text
        if not content.targets:
            return []
        statuses = ("accessible", "restricted", "down", "inconclusive", "blocked")
        cells = [
            (row.url, str(row.measurements), *(str(row.counts.get(s, "–")) for s in statuses))
            for row in content.targets
        ]
        header = [text("Site"), text("Measured"), text("Open"), text("Refused by the site")]
        header += [text("Down"), text("Inconclusive"), text("Blocked")]
        title = escaped(text("All sites in the same time"))
        return [f"## {title}", "", *_table(header, cells)]

    def _records(self) -> list[str]:
        content, text = self.content, self.text
        lines = [f"## {escaped(text('Annex: records'))}", ""]
        ids = ids_of(content)
        if not ids:
            return [*lines, escaped(text("No incident, so no record is cited.")), ""]
        told = text("All of them stand in the file records.txt beside this page, whose SHA-256 is")
        lines += [f"{escaped(told)} `{digest_of(content)}`.", ""]
        for section in content.sections:
            host = escaped(section.incident.host)
            lines += [f"- {host}: {escaped(text('Incident'))} `{section.incident.id}`"]
        return [*lines, "", *(f"- `{id}`" for id in ids[:MOST_LISTED]), ""]

    def _list(self, title: str, items: Sequence[str], h: str = "##") -> list[str]:
        if not items:
            return []
        return [f"{h} {escaped(title)}", "", *(f"- {escaped(item)}" for item in items), ""]


def _link(url: str) -> str:
    """Return an address that was made for readers to follow; nothing in it can end the link."""
    return f"<{quote(url, safe=_OF_URLS)}>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(escaped(cell) for cell in header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(escaped(cell) for cell in row)} |" for row in rows]
    return [*lines, ""]


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in (escaped(text), "")]
