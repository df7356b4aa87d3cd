"""Narrative: an incident in plain words, with counts and brackets, nothing but what was seen."""

from __future__ import annotations

import msgspec

from reports.catalogue import N_, NN_
from reports.contrasts import Support
from reports.incidents import Incident, NetworkPart
from reports.places import Place, moment, place
from reports.techniques import in_words
from reports.text import plain
from reports.wording import ENGLISH, Words, capital

CERTAINTIES = {
    "confirmed": N_("confirmed: an experiment or artefact leaves interference as the explanation"),
    "likely": N_("likely: two independent kinds of evidence speak for interference"),
    "suspected": N_("suspected only: too little speaks for or against interference"),
}


# By whether it goes on: on the only network, on all of them, on some.
_FEW = 3  # networks that are told in a sentence each
_TITLES = {
    True: (
        N_("{host} is blocked on the only measured network in {country}"),
        NN_(
            "{host} is blocked on all {n} network in {country}",
            "{host} is blocked on all {n} networks in {country}",
        ),
        NN_(
            "{host} is blocked on {blocked} of {n} network in {country}",
            "{host} is blocked on {blocked} of {n} networks in {country}",
        ),
    ),
    False: (
        N_("{host} was blocked on the only measured network in {country}"),
        NN_(
            "{host} was blocked on all {n} network in {country}",
            "{host} was blocked on all {n} networks in {country}",
        ),
        NN_(
            "{host} was blocked on {blocked} of {n} network in {country}",
            "{host} was blocked on {blocked} of {n} networks in {country}",
        ),
    ),
}


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """An incident told: a title, one headline sentence, paragraphs, and a table of key facts."""

    title: str
    headline: str
    lead: str  # the headline without the title
    paragraphs: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def tell(incident: Incident, support: Support, words: Words = ENGLISH) -> Story:
    """Return the story of `incident`."""
    return _Teller(incident, support, words).story()


class _Teller:
    """One incident in one language."""

    def __init__(self, incident: Incident, support: Support, words: Words) -> None:
        self.incident, self.support, self.words = incident, support, words
        self.where: Place = place(incident.country)
        self.country = words.country(incident.country)
        self.failing = sum(episode.failing for episode in incident.episodes)
        self.measured = sum(episode.measurements for episode in incident.episodes)

    def story(self) -> Story:
        title, lead = self._title(), self._lead()
        return Story(
            title=title,
            headline=self.words.text("{title}, {lead}", title=title, lead=lead),
            lead=capital(lead),
            paragraphs=tuple(self._paragraphs()),
            facts=tuple(self._facts()),
        )

    def _title(self) -> str:
        """Return "foreignpolicy.com was blocked on 2 of 3 networks in Kazakhstan"."""
        words, names = self.words, {"host": plain(self.incident.host), "country": self.country}
        if self.incident.status == "possible":
            return words.text(
                "{host} may have been blocked in {country}; too little speaks for it", **names
            )
        blocked = len(self.incident.parts("blocked"))
        total = blocked + len(self.incident.parts("not-blocked"))
        only, every, some = _TITLES[self.incident.status == "ongoing"]
        if total == 1:
            return words.text(only, **names)
        if blocked == total:
            return words.plural(*every, total, **names)
        return words.plural(*some, total, blocked=blocked, **names)

    def _lead(self) -> str:
        """The rest of the one sentence that must be defensible word by word."""
        words, support = self.words, self.support
        parts = [self._span()]
        if self.incident.techniques:
            parts.append(words.text(in_words(next(iter(self.incident.techniques)))))
        parts.append(
            words.plural(
                "{failing} of {n} measurement failed there in that time",
                "{failing} of {n} measurements failed there in that time",
                self.measured,
                failing=words.number(self.failing),
            )
        )
        if support.others_worked == support.failing > 0:
            parts.append(words.text("other sites worked in the same minutes"))
        elif support.others_worked:
            parts.append(
                words.plural(
                    "other sites worked in the same minutes as {worked} of {n} failure",
                    "other sites worked in the same minutes as {worked} of {n} failures",
                    support.failing,
                    worked=words.number(support.others_worked),
                )
            )
        return "; ".join(parts) + "."

    def _span(self) -> str:
        onset, end = self.onset(moment_words=True), self._end()
        words = self.words
        if self.incident.onset_earliest is None:
            if end is not None:
                return words.text("at the latest from {onset} until {end}", onset=onset, end=end)
            return words.text(
                "at the latest from {onset}, and still at the last measurement, {last}",
                onset=onset,
                last=self._last(),
            )
        if end is not None:
            return words.text("from {onset} until {end}", onset=onset, end=end)
        return words.text(
            "from {onset}, and still at the last measurement, {last}",
            onset=onset,
            last=self._last(),
        )

    def onset(self, *, moment_words: bool) -> str:
        """Return the onset: its bracket, or the first failing measurement alone."""
        incident = self.incident
        if incident.onset_earliest is None:
            return self.words.stamp_with_local(incident.onset_latest, self.where, year=True)
        times = incident.onset_earliest, incident.onset_latest
        return self._bracket(*times, year=True, moment_words=moment_words)

    def _end(self) -> str | None:
        incident = self.incident
        if incident.end_earliest is None or incident.end_latest is None:
            return None
        another_year = moment(incident.end_latest).year != moment(incident.onset_latest).year
        times = incident.end_earliest, incident.end_latest
        return self._bracket(*times, year=another_year, moment_words=True)

    def _bracket(self, earliest: float, latest: float, *, year: bool, moment_words: bool) -> str:
        """A bracket; with `moment_words` as it stands after "from" and "until"."""
        text = self.words.between(earliest, latest, self.where, year=year)
        if moment_words and moment(earliest).date() != moment(latest).date():
            return self.words.text("a moment {bracket}", bracket=text)
        return text

    def _last(self) -> str:
        return self.words.stamp_with_local(self.incident.last_failing, self.where)

    # --- paragraphs ------------------------------------------------------------------------

    def _paragraphs(self) -> list[str]:
        paragraphs = [self._networks()]
        if self.incident.techniques:
            paragraphs.append(self._technique())
        if self.incident.end_earliest is not None and self.incident.end_latest is not None:
            paragraphs.append(self._lasted(self.incident.end_earliest, self.incident.end_latest))
        return paragraphs

    def _lasted(self, end_earliest: float, end_latest: float) -> str:
        words, incident = self.words, self.incident
        least = words.duration(end_earliest - incident.onset_latest)
        if incident.onset_earliest is None:
            return words.text(
                "The block lasted at least {least}, from the first network that blocked to the "
                "last that stopped.",
                least=least,
            )
        return words.text(
            "The block lasted at least {least} and at most {most}, from the first network that "
            "blocked to the last that stopped.",
            least=least,
            most=words.duration(end_latest - incident.onset_earliest),
        )

    def _networks(self) -> str:
        words, incident = self.words, self.incident
        parts = incident.parts("blocked") + incident.parts("possible")
        sentences = self._blocked(parts)
        free, thin = incident.parts("not-blocked"), incident.parts("too-little")
        if free:
            sentences.append(
                words.plural(
                    "Over the same time it was not blocked on {networks} ({n} measurement, not "
                    "blocked).",
                    "Over the same time it was not blocked on {networks} ({n} measurements, none "
                    "of them blocked).",
                    sum(part.measurements for part in free),
                    networks=self._names(free),
                )
            )
        if thin:
            sentences.append(
                words.text(
                    "Too little was measured on {networks} to say anything.",
                    networks=self._names(thin),
                )
            )
        return " ".join(sentences)

    def _blocked(self, parts: list[NetworkPart]) -> list[str]:
        """A sentence on each network, or one on all where there are many."""
        if len(parts) <= _FEW or self.incident.status == "possible":
            return [self._failed(part) for part in parts]
        words = self.words
        counted = [
            words.plural(
                "{network} ({failing} of {n} measurement)",
                "{network} ({failing} of {n} measurements)",
                part.measurements,
                network=plain(part.name),
                failing=words.number(part.failing),
            )
            for part in parts
        ]
        return [
            words.text("It was found blocked on {networks}.", networks=words.listed(counted, 12))
        ]

    def _failed(self, part: NetworkPart) -> str:
        values = {"network": plain(part.name), "failing": self.words.number(part.failing)}
        if part.part == "blocked":
            return self.words.plural(
                "On {network} {failing} of {n} measurement found it blocked.",
                "On {network} {failing} of {n} measurements found it blocked.",
                part.measurements,
                **values,
            )
        return self.words.plural(
            "On {network} {failing} of {n} measurement failed without explanation.",
            "On {network} {failing} of {n} measurements failed without explanation.",
            part.measurements,
            **values,
        )

    def _technique(self) -> str:
        words = self.words
        ways = [
            words.plural(
                "{what} ({path}, {n} time)",
                "{what} ({path}, {n} times)",
                number,
                what=words.text(in_words(path)),
                path=path,
            )
            for path, number in self.incident.techniques.items()
        ]
        sentences = [words.text("How it showed: {ways}.", ways=words.listed(ways))]
        if self.support.name_alone:
            sentences.append(
                words.plural(
                    "In {n} experiment only the name made the difference: it was cut off at the "
                    "site's own address and at an unrelated one, while other names passed at both.",
                    "In {n} experiments only the name made the difference: it was cut off at the "
                    "site's own address and at an unrelated one, while other names passed at both.",
                    self.support.name_alone,
                )
            )
        return " ".join(sentences)

    # --- key facts -------------------------------------------------------------------------

    def _facts(self) -> list[tuple[str, str]]:
        words, incident = self.words, self.incident
        blocked, free = incident.parts("blocked"), incident.parts("not-blocked")
        if incident.status == "possible":
            possible = incident.parts("possible")
            networks = [(words.text("Networks with suspicions"), self._names(possible))]
        else:
            networks = [
                (words.text("Networks that blocked"), self._names(blocked)),
                (words.text("Networks that did not"), self._names(free)),
                (words.text("Too little data"), self._names(incident.parts("too-little"))),
            ]
        techniques = [f"{path} ({words.number(n)})" for path, n in incident.techniques.items()]
        vantages = sum(part.vantages for part in incident.networks)
        strays = sum(episode.strays for episode in incident.episodes)
        counts = words.text(
            "{failing} of {all}; {open} in between found it open, {rest} decided nothing",
            failing=words.number(self.failing),
            all=words.number(self.measured),
            open=words.number(strays),
            rest=words.number(self.measured - self.failing - strays),
        )
        return [
            (words.text("Site"), plain(incident.host)),
            (words.text("Country"), self.country),
            *networks,
            (words.text("Began"), self._began()),
            (words.text("Ended"), self._ended()),
            (words.text("Failing measurements"), counts),
            (words.text("Vantages"), words.number(vantages)),
            (words.text("Technique"), words.listed(techniques) or "–"),
            (words.text("Certainty"), capital(words.text(CERTAINTIES[incident.certainty]))),
            *self._asked_for(),
        ]

    def _asked_for(self) -> list[tuple[str, str]]:
        """The names that were asked for, where others than the blocked one led to it."""
        hosts = self.incident.hosts
        if not set(hosts) - {self.incident.host}:
            return []
        return [(self.words.text("Asked for as"), self.words.listed([plain(h) for h in hosts]))]

    def _names(self, parts: list[NetworkPart]) -> str:
        return self.words.listed([plain(part.name) for part in parts]) or self.words.text("none")

    def _began(self) -> str:
        onset = self.onset(moment_words=False)
        if self.incident.onset_earliest is None:
            return self.words.text("At the latest {time}", time=onset)
        return capital(onset)

    def _ended(self) -> str:
        incident = self.incident
        if incident.end_earliest is None or incident.end_latest is None:
            last = self.words.stamp_with_local(incident.last_failing, self.where, year=True)
            return self.words.text("Not seen; last failing {time}", time=last)
        times = incident.end_earliest, incident.end_latest
        return capital(self._bracket(*times, year=True, moment_words=False))
