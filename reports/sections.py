"""Sections: everything that a report says of one incident."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from reports.alternatives import Alternative, alternatives
from reports.analysis import Analysis
from reports.annotations import Note
from reports.beside import Beside, beside
from reports.catalogue import N_
from reports.contrasts import Examiner, Support
from reports.drawing import Timeline
from reports.episodes import Episode
from reports.incidents import Incident
from reports.ledger import Ledger
from reports.matrix import Matrix, matrix_of
from reports.narrative import Story, tell
from reports.places import place
from reports.readings import Network, Reading
from reports.rounding import earlier
from reports.sheets import MOST_OF_AN_EPISODE, Sheet, representatives, sheet_of
from reports.simultaneity import together
from reports.text import plain
from reports.timeline import close_up, lay_out
from reports.unknowns import unknowns
from reports.wording import Words, capital

WIDE, NARROW = 900.0, 348.0  # widths of a timeline on paper and desktop, and on a phone
MOST_SHEETS = 40  # representative measurements in one report
MOST_WEIGHED = 40  # episodes with the other explanations weighed
MOST_OF_A_BRACKET = 0.75  # a credible interval that is wider tells no more than its bracket
MOST_CLOSE = 12  # incidents with timelines of the hours around their onset and end
_CERTAINTIES = {
    "confirmed": N_("confirmed"),
    "likely": N_("likely"),
    "suspected": N_("suspected"),
}


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One timeline in both widths; without a narrow one the wide one is scrolled on a phone."""

    caption: str
    wide: Timeline
    narrow: Timeline | None


class EpisodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One episode for the table and its evidence sheets."""

    episode: Episode
    network: str
    onset: str
    likely_onset: str  # the credible interval, "" where it tells no more than the bracket
    end: str
    techniques: str
    certainty: str
    coverage: str  # a sentence, "" where it is not known
    remarks: tuple[str, ...]  # of the analysis, in English
    sheets: tuple[Sheet, ...]
    alternatives: tuple[Alternative, ...]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one incident. `records` are the ids that it rests on."""

    incident: Incident
    story: Story
    unknowns: tuple[str, ...]
    figures: tuple[Figure, ...]
    notes: tuple[tuple[int, Note], ...]
    matrix: Matrix
    episodes: tuple[EpisodeRow, ...]
    weighed: tuple[Alternative, ...]  # of all its episodes together
    beside: Beside
    together: tuple[str, ...]
    records: tuple[str, ...]

    @property
    def anchor(self) -> str:
        return f"i{self.incident.id[-12:]}"

    @property
    def targets(self) -> tuple[str, ...]:
        """The hosts that it is about, as the filter names them."""
        return tuple(dict.fromkeys((self.incident.host, *self.incident.hosts)))

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks with an episode in it."""
        return tuple(dict.fromkeys(e.network_key for e in self.incident.episodes))


class Sections:
    """Makes the sections of one report, and keeps to its bounds."""

    def __init__(
        self,
        analysis: Analysis,
        ledger: Ledger,
        examiner: Examiner,
        notes: Sequence[Note],
        words: Words,
    ) -> None:
        self.analysis, self.ledger, self.words = analysis, ledger, words
        self.examiner = examiner
        self.notes = tuple(enumerate(notes, start=1))
        episodes = sum(len(incident.episodes) for incident in analysis.incidents)
        fair = MOST_SHEETS // max(1, episodes)
        self.sheets_each = max(1, min(MOST_OF_AN_EPISODE, fair))
        self.sheets_left, self.close_left = MOST_SHEETS, MOST_CLOSE
        self.weighed_left = MOST_WEIGHED

    def of(self, incident: Incident) -> Section:
        """Return the section on `incident`."""
        words = self.words
        support = self.examiner.support(incident.episodes)
        readings = self.ledger.of_site(incident.hosts, incident.country)
        notes = self._notes(incident, readings)
        rows = tuple(self._row(episode, incident) for episode in incident.episodes)
        found = {row.network for row in rows if any(sheet.hop for sheet in row.sheets)}
        return Section(
            incident=incident,
            story=tell(incident, support, words),
            unknowns=tuple(unknowns(incident, words, located=found)),
            figures=tuple(self._figures(incident, readings, notes)),
            notes=notes,
            matrix=matrix_of(incident),
            episodes=rows,
            weighed=self._weighed(incident, support),
            beside=beside(incident, support, self.ledger, words),
            together=tuple(together(incident, self.analysis.incidents, words)),
            records=tuple(self._records(incident)),
        )

    def _notes(
        self, incident: Incident, readings: Sequence[Reading]
    ) -> tuple[tuple[int, Note], ...]:
        urls = {reading.url for reading in readings}
        return tuple(
            (number, note) for number, note in self.notes if note.is_about(incident.country, urls)
        )

    def _figures(
        self,
        incident: Incident,
        readings: Sequence[Reading],
        notes: Sequence[tuple[int, Note]],
    ) -> list[Figure]:
        text, analysis = self.words.text, self.analysis
        if incident.status == "possible":
            return []
        close = self.close_left > 0
        views = [(text("All days of this report"), (analysis.since, analysis.until))]
        if close:
            self.close_left -= 1
            onset, end = (close_up(incident.episodes, end=side) for side in (False, True))
            if onset and self._is_close(onset):
                views.append((text("Around the onset, {days}", days=self._days(onset)), onset))
            if end and self._is_close(end):
                views.append((text("Around the end, {days}", days=self._days(end)), end))
        return [
            Figure(
                caption=caption,
                wide=self._drawn(incident, readings, notes, view, WIDE, number),
                narrow=self._drawn(incident, readings, notes, view, NARROW, number)
                if close
                else None,
            )
            for number, (caption, view) in enumerate(views)
        ]

    def _is_close(self, view: tuple[float, float]) -> bool:
        """Tell whether a view shows more than the drawing of all days does."""
        return 2 * (view[1] - view[0]) <= self.analysis.until - self.analysis.since

    def _days(self, view: tuple[float, float]) -> str:
        return self.words.days(*view)

    def _drawn(
        self,
        incident: Incident,
        readings: Sequence[Reading],
        notes: Sequence[tuple[int, Note]],
        view: tuple[float, float],
        width: float,
        number: int,
    ) -> Timeline:
        return lay_out(
            incident,
            readings,
            self.analysis.line_spans,
            since=view[0],
            until=view[1],
            width=width,
            id=f"t{incident.id[-8:]}-{number}-{width:.0f}",
            notes=notes,
            words=self.words,
            exact=self.analysis.exact,
        )

    # --- episodes --------------------------------------------------------------------------

    def _row(self, episode: Episode, incident: Incident) -> EpisodeRow:
        words, where = self.words, place(episode.country)
        if episode.onset_earliest is None:
            onset = words.text(
                "At the latest {time}", time=words.stamp(episode.onset_latest, year=True)
            )
        else:
            onset = words.between(episode.onset_earliest, episode.onset_latest, where)
        if episode.end_earliest is None or episode.end_latest is None:
            end = words.text(
                "Not seen; last failing {time}", time=words.stamp(episode.last_failing)
            )
        else:
            end = words.between(episode.end_earliest, episode.end_latest, where)
        counted = [f"{path} ({words.number(n)})" for path, n in episode.techniques.items()]
        possible = episode.status == "possible"
        return EpisodeRow(
            episode=episode,
            network=self._network(episode, incident),
            onset=capital(onset),
            likely_onset=self._likely_onset(episode),
            end=capital(end),
            techniques=words.listed(counted),
            certainty=words.text(_CERTAINTIES[episode.certainty]),
            coverage=self._coverage(episode),
            remarks=tuple(plain(reason, 500) for reason in episode.reasons),
            sheets=() if possible else tuple(self._sheets(episode)),
            alternatives=() if possible else tuple(self._alternatives(episode, incident)),
        )

    def _alternatives(self, episode: Episode, incident: Incident) -> list[Alternative]:
        if self.weighed_left <= 0:
            return []
        self.weighed_left -= 1
        support = self.examiner.support([episode])
        return alternatives(incident, [episode], support, self.words)

    def _weighed(self, incident: Incident, support: Support) -> tuple[Alternative, ...]:
        if incident.status == "possible":
            return ()
        return tuple(alternatives(incident, incident.episodes, support, self.words))

    def _likely_onset(self, episode: Episode) -> str:
        if episode.onset_p05 is None or episode.onset_p95 is None:
            return ""
        if episode.onset_earliest is not None:
            bracket = episode.onset_latest - episode.onset_earliest
            if episode.onset_p95 - episode.onset_p05 > MOST_OF_A_BRACKET * bracket:
                return ""
        return self.words.text(
            "By the model, the onset lies between {first} and {last} with a probability of nine in "
            "ten.",
            first=self.words.stamp(episode.onset_p05),
            last=self.words.stamp(episode.onset_p95),
        )

    def _coverage(self, episode: Episode) -> str:
        if episode.coverage is None:
            return ""
        share = f"{100 * episode.coverage:.0f}"
        return self.words.text("Of the rounds in that time {share} % measured it.", share=share)

    def _network(self, episode: Episode, incident: Incident) -> str:
        names = [plain(p.name) for p in incident.networks if p.key == episode.network_key]
        return names[0] if names else self.words.text("an unknown network")

    def _sheets(self, episode: Episode) -> list[Sheet]:
        analysis = self.analysis
        failing = self.examiner.failing_of(episode)
        most = min(self.sheets_each, self.sheets_left)
        sheets = []
        for reading in representatives(failing, analysis.cases, most):
            sheet = sheet_of(
                analysis.cases[reading.id], analysis.cases.verdict(reading.id), self.words
            )
            if not analysis.exact:
                sheet = msgspec.structs.replace(sheet, seconds=earlier(sheet.seconds))
            sheets.append(sheet)
        self.sheets_left -= len(sheets)
        return sheets

    def _records(self, incident: Incident) -> list[str]:
        """All failing measurements, their follow-ups, and the open ones that bound episodes.

        In the order of their ids, which does not tell in which order they were made.
        """
        cited = [id for e in incident.episodes for id in (*e.readings, *e.bounds)]
        cases = self.analysis.cases
        follow_ups = [
            follow_up
            for episode in incident.episodes
            for id in episode.readings
            for follow_up in cases.follow_ups(id)
        ]
        return sorted({*cited, *follow_ups})
