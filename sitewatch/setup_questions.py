"""The questions of `sitewatch init`, asked at a terminal in the volunteer's language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TextIO, get_args

from probes.settings import Limits, Tier
from sitewatch.config_checks import problems
from sitewatch.kind_words import kind_of_sites
from sitewatch.language import DRAFT, N_, Language
from sitewatch.preview import DAYS, Preview
from sitewatch.sections import Schedule, Sections, Vantage
from sitewatch.setup_choices import ChoiceError, Choices, switched

_COUNTRY = N_("The country you are in, two capital letters like KZ; Enter leaves it out")
_KINDS = N_(
    "Kinds of sites, and how many there are. Those that are off may endanger who opens them."
)
_SWITCH = N_("Kinds to switch on or off, like +ANON -NEWS; Enter keeps them as they are")
_TIER_WHY = N_(
    """\
Manner: "browser-like" opens sites as a browser would. "probing" adds experiments where
something looks wrong, few in a day: only they can prove that it is the name of a site that
is blocked, and they send it to other addresses, as no browser does. "conspicuous" also
sends names again and again, and stands out on the line. Probing is proposed."""
)
_TIER = N_("The manner")
_HELPERS_WHY = N_(
    """\
OONI's public helpers open each site from abroad at the same time. That tells a site that is
down from one that is blocked. They learn your internet address and the URLs."""
)
_HELPERS = N_("Ask these helpers? (yes or no)")
_HOURS = N_("The hours in which rounds may start")
_EVERY = N_("The time between rounds, like 4h")
_MEGABYTES = N_("The megabytes that may be used in a month")
_NOT_UNDERSTOOD = N_("That was not understood.")
_PREVIEW = N_(
    """\
A usual day: about {rounds} rounds, {visits} visits to {names} names, {lookups} look-ups,
{requests} requests, {megabytes} MB.
A month: about {month_visits} visits, {month_megabytes} MB."""
)
_STRETCHED = N_("That is more than {budget} MB a month, so rounds will be {stretch} times slower.")


class Interview:
    """Asks on `screen` and reads lines from `answers`; what cannot be taken is asked for again."""

    def __init__(self, language: Language, answers: TextIO, screen: TextIO) -> None:
        self._language, self._answers, self._screen = language, answers, screen

    def ask(self, proposed: Choices, counts: Counter[str]) -> Choices:
        """Return what the volunteer chooses; `counts` are the sites of each category.

        Raises EOFError where the answers end too early.
        """
        if self._language.is_draft:
            self._say(DRAFT)
        country = self._ask_for(_COUNTRY, proposed.country or "", _is_country).upper()
        skip = self._categories(proposed.skip, counts)
        self._say(_TIER_WHY)
        tier = self._tier(proposed.tier)
        self._say(_HELPERS_WHY)
        helpers = self._ask_for(_HELPERS, "yes" if proposed.helpers else "no", _is_yes_or_no)
        hours = self._ask_for(_HOURS, proposed.waking_hours, _are_hours)
        every = self._ask_for(_EVERY, proposed.every, _is_cadence)
        megabytes = self._ask_for(_MEGABYTES, str(proposed.month_megabytes), _are_megabytes)
        return Choices(
            country=country or None,
            skip=skip,
            tier=tier,
            helpers=helpers.lower() in _YES,
            waking_hours=hours,
            every=every,
            month_megabytes=int(megabytes),
        )

    def _categories(self, skip: frozenset[str], counts: Counter[str]) -> frozenset[str]:
        while True:
            self._say(_KINDS)
            for code, count in sorted(counts.items()):
                on = "off" if code in skip else "on "
                self._write(f"  {on} {code:5} {count:4} {kind_of_sites(code, self._language)}\n")
            changes = self._ask(_SWITCH, "").split()
            if not changes:
                return skip
            try:
                skip = switched(skip, changes)
            except ChoiceError:
                self._say(_NOT_UNDERSTOOD)

    def _tier(self, proposed: Tier) -> Tier:
        tiers: dict[str, Tier] = {tier: tier for tier in get_args(Tier)}
        return tiers[self._ask_for(_TIER, proposed, tiers.__contains__)]

    def _ask_for(self, question: str, default: str, can_be_taken: Callable[[str], bool]) -> str:
        while not can_be_taken(answer := self._ask(question, default)):
            self._say(_NOT_UNDERSTOOD)
        return answer

    def _ask(self, question: str, default: str) -> str:
        shown = self._language.show(question)
        self._write(f"{shown} [{default}]: " if default else f"{shown}: ")
        line = self._answers.readline()
        if not line:
            raise EOFError
        return line.strip() or default

    def _say(self, text: str) -> None:
        self._write(f"\n{self._language.show(text)}\n")

    def _write(self, text: str) -> None:
        self._screen.write(text)
        self._screen.flush()


_YES = frozenset({"yes", "y", "да", "д", "иә", "ия"})
_NO = frozenset({"no", "n", "нет", "н", "жоқ", "жок"})


def _is_yes_or_no(answer: str) -> bool:
    return answer.lower() in _YES | _NO


def _is_country(answer: str) -> bool:
    return not answer or _is_possible(Sections(vantage=Vantage(country=answer.upper())))


def _are_hours(answer: str) -> bool:
    return _is_possible(Sections(schedule=Schedule(waking_hours=answer)))


def _is_cadence(answer: str) -> bool:
    return _is_possible(Sections(schedule=Schedule(every=answer)))


def _are_megabytes(answer: str) -> bool:
    if not (answer.isascii() and answer.isdigit() and len(answer) < 20):
        return False
    return _is_possible(Sections(limits=Limits(month_megabytes=int(answer))))


def _is_possible(sections: Sections) -> bool:
    return not any(problems(sections))


def preview_text(preview: Preview, language: Language) -> str:
    """Return the preview of a day and a month."""
    text = language.show(
        _PREVIEW,
        rounds=round(preview.rounds),
        visits=round(preview.visits),
        names=preview.names,
        lookups=round(preview.lookups),
        requests=round(preview.requests),
        megabytes=round(preview.bytes / 1e6),
        month_visits=round(preview.visits * DAYS),
        month_megabytes=round(preview.bytes * DAYS / 1e6),
    )
    if preview.stretch > 1:
        budget = round(preview.budget / 1e6)
        text += "\n" + language.show(_STRETCHED, budget=budget, stretch=f"{preview.stretch:.1f}")
    return text
