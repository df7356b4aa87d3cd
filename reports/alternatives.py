"""Alternatives: what else a block could have been, what rules it out, and what stays open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from reports.catalogue import N_
from reports.contrasts import Support
from reports.episodes import Episode
from reports.incidents import Incident
from reports.text import plain
from reports.wording import ENGLISH, Words, capital

Answer: TypeAlias = Literal["ruled out", "unlikely", "not ruled out"]

ANSWERS: dict[Answer, str] = {
    "ruled out": N_("ruled out"),
    "unlikely": N_("unlikely"),
    "not ruled out": N_("not ruled out"),
}


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """Another explanation, whether it is ruled out, and by what."""

    question: str
    answer: Answer
    because: str


def alternatives(
    incident: Incident, episodes: Sequence[Episode], support: Support, words: Words = ENGLISH
) -> list[Alternative]:
    """Return every other explanation of some of an incident's episodes that was considered.

    `support` is of those episodes.
    """
    weighed = _Weighed(incident, episodes, support, words)
    return [
        weighed.down(),
        weighed.own_line(),
        weighed.refusal(),
        weighed.address(),
        weighed.dns(),
        weighed.own_computer(),
        weighed.defect(),
    ]


def left_open(found: Sequence[Alternative], words: Words = ENGLISH) -> str:
    """Return in a sentence how many of the explanations nothing speaks against."""
    number = sum(other.answer == "not ruled out" for other in found)
    if not number:
        return words.text("Each of these explanations is ruled out or unlikely.")
    return words.plural(
        "Nothing that was measured rules out {n} of these explanations.",
        "Nothing that was measured rules out {n} of these explanations.",
        number,
    )


class _Weighed:
    """Each explanation, weighed against what was seen."""

    def __init__(
        self, incident: Incident, episodes: Sequence[Episode], support: Support, words: Words
    ) -> None:
        self.incident, self.episodes, self.support = incident, episodes, support
        self.words, self.text, self.plural = words, words.text, words.plural

    def down(self) -> Alternative:
        question, support = self.text("The site was down."), self.support
        free = self.incident.parts("not-blocked")
        reasons = []
        if support.reached_abroad:
            reasons.append(
                self.plural(
                    "during {reached} of {n} failing measurement a view from abroad reached it in "
                    "the same minutes",
                    "during {reached} of {n} failing measurements a view from abroad reached it in "
                    "the same minutes",
                    support.failing,
                    reached=support.reached_abroad,
                )
            )
        if free:
            names = self.words.listed([plain(part.name) for part in free])
            reasons.append(self.text("it was reached on {networks} meanwhile", networks=names))
        if support.name_alone:
            reasons.append(
                self.plural(
                    "its address answered other names in {n} experiment",
                    "its address answered other names in {n} experiments",
                    support.name_alone,
                )
            )
        if not reasons:
            return self._open(
                question, self.text("no view from abroad or from another network is at hand")
            )
        many = 2 * support.reached_abroad >= support.failing or bool(free)
        return self._answer(question, "ruled out" if many else "unlikely", reasons)

    def own_line(self) -> Alternative:
        question, support = self.text("The volunteers' own lines were broken."), self.support
        because = self.plural(
            "within 15 minutes of {worked} of {n} failing measurement another site worked on that "
            "line",
            "within 15 minutes of {worked} of {n} failing measurements another site worked on "
            "that line",
            support.failing,
            worked=support.others_worked,
        )
        if support.others_worked == support.failing > 0:
            return self._answer(question, "ruled out", [because])
        if 2 * support.others_worked > support.failing:
            return self._answer(question, "unlikely", [because])
        return self._open(question, because)

    def refusal(self) -> Alternative:
        country = self.words.country(self.incident.country)
        question = self.text(
            "The site itself turned visitors away by their country ({country}).", country=country
        )
        support = self.support
        if support.cut_elsewhere:
            because = self.plural(
                "in {n} experiment the name was cut off at an address of another operator too, "
                "where the site's server has no part",
                "in {n} experiments the name was cut off at an address of another operator too, "
                "where the site's server has no part",
                support.cut_elsewhere,
            )
            return self._answer(question, "ruled out", [because])
        if support.reached_inside:
            because = self.plural(
                "it was reached from another network of the country within the hour of {reached} "
                "of {n} failing measurement",
                "it was reached from another network of the country within the hour of {reached} "
                "of {n} failing measurements",
                support.failing,
                reached=support.reached_inside,
            )
            return self._answer(question, "unlikely", [because])
        return self._open(
            question,
            self.text("no experiment and no other network of the country speaks against it"),
        )

    def address(self) -> Alternative:
        question = self.text("The site's address failed, and not its name.")
        if self.support.name_alone:
            because = self.plural(
                "in {n} experiment other names passed at the very same address in the same minutes",
                "in {n} experiments other names passed at the very same address in the same "
                "minutes",
                self.support.name_alone,
            )
            return self._answer(question, "ruled out", [because])
        return self._open(
            question, self.text("no experiment shows other names passing at that address")
        )

    def dns(self) -> Alternative:
        question = self.text("The resolver gave a wrong address.")
        if any(path.startswith("dns.") for episode in self.episodes for path in episode.techniques):
            return self._open(question, self.text("it did: this is how the block worked"))
        if self.support.address_known:
            because = self.plural(
                "in {known} of {n} failing measurement the address was one that helpers or "
                "encrypted resolvers gave as well",
                "in {known} of {n} failing measurements the address was one that helpers or "
                "encrypted resolvers gave as well",
                self.support.failing,
                known=self.support.address_known,
            )
            return self._answer(question, "ruled out", [because])
        return self._open(question, self.text("no other resolver's answer is at hand"))

    def own_computer(self) -> Alternative:
        question = self.text("A filter on a volunteer's own computer or router.")
        if self.support.vantages > 1:
            because = self.plural(
                "{n} vantage saw the same independently; for each of them alone nothing measured "
                "rules it out",
                "{n} vantages saw the same independently; for each of them alone nothing measured "
                "rules it out",
                self.support.vantages,
            )
            return self._answer(question, "unlikely", [because])
        blocked = len(self.incident.parts("blocked"))
        if blocked > 1:
            because = self.plural(
                "one vantage saw it here, but {n} other network of the country blocked the site "
                "in the same incident",
                "one vantage saw it here, but {n} other networks of the country blocked the site "
                "in the same incident",
                blocked - 1,
            )
            return self._answer(question, "unlikely", [because])
        return self._open(
            question, self.text("one vantage saw it, and only a second one could tell")
        )

    def defect(self) -> Alternative:
        question = self.text("A defect of the measuring program.")
        reasons = []
        if any(episode.onset_earliest is not None for episode in self.episodes):
            reasons.append(
                self.text("the same program reached the site on the same network before")
            )
        if any(episode.end_latest is not None for episode in self.episodes):
            reasons.append(self.text("it reached the site on the same network afterwards"))
        if self.incident.parts("not-blocked"):
            reasons.append(self.text("it reached the site on another network meanwhile"))
        if not reasons:
            return self._open(question, self.text("it never reached the site in this time"))
        return self._answer(question, "unlikely", reasons)

    def _answer(self, question: str, answer: Answer, reasons: list[str]) -> Alternative:
        because = capital(f"{self.words.listed(reasons)}.")
        return Alternative(question=question, answer=answer, because=because)

    def _open(self, question: str, because: str) -> Alternative:
        return self._answer(question, "not ruled out", [because])
