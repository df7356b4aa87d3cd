"""The questions of `sitewatch init`, asked at a terminal in the volunteer's language."""

from __future__ import annotations

from collections import Counter
from typing import TextIO, get_args

from probes.settings import Tier
from probes.targets import CATEGORIES
from sitewatch.language import DRAFT, N_, Language
from sitewatch.preview import DAYS, Preview
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
    """Asks on `screen` and reads lines from `answers`; the end of those takes every default."""

    def __init__(self, language: Language, answers: TextIO, screen: TextIO) -> None:
        self._language, self._answers, self._screen = language, answers, screen

    def ask(self, proposed: Choices, counts: Counter[str]) -> Choices:
        """Return what the volunteer chooses; `counts` are the sites of each category."""
        if self._language.is_draft:
            self._say(DRAFT)
        country = self._ask(_COUNTRY, proposed.country or "").upper()
        skip = self._categories(proposed.skip, counts)
        self._say(_TIER_WHY)
        tier = self._tier(proposed.tier)
        self._say(_HELPERS_WHY)
        helpers = self._ask(_HELPERS, "yes" if proposed.helpers else "no").lower() in _YES
        hours = self._ask(_HOURS, proposed.waking_hours)
        every = self._ask(_EVERY, proposed.every)
        return Choices(
            country=country or None,
            skip=skip,
            tier=tier,
            helpers=helpers,
            waking_hours=hours,
            every=every,
            month_megabytes=self._megabytes(proposed.month_megabytes),
        )

    def _categories(self, skip: frozenset[str], counts: Counter[str]) -> frozenset[str]:
        while True:
            self._say(_KINDS)
            for code, count in sorted(counts.items()):
                on = "off" if code in skip else "on "
                self._write(f"  {on} {code:5} {count:4} {CATEGORIES[code]}\n")
            changes = self._ask(_SWITCH, "").split()
            if not changes:
                return skip
            try:
                skip = switched(skip, changes)
            except ChoiceError:
                self._say(_NOT_UNDERSTOOD)

    def _tier(self, proposed: Tier) -> Tier:
        while True:
            answer = self._ask(_TIER, proposed)
            for tier in get_args(Tier):
                if answer == tier:
                    return proposed if answer == proposed else tier
            self._say(_NOT_UNDERSTOOD)

    def _megabytes(self, proposed: int) -> int:
        while True:
            answer = self._ask(_MEGABYTES, str(proposed))
            if answer.isascii() and answer.isdigit():
                return int(answer)
            self._say(_NOT_UNDERSTOOD)

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
