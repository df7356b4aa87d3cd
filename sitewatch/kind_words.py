"""The kinds of sites, and of services that learn the own address, in the volunteer's language."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from sitewatch.language import N_, Language

# By category code; `probes.targets` has the same in English, which no other package translates.
_KINDS = {
    "ALDR": N_("Alcohol & Drugs"),
    "ANON": N_("Anonymization and circumvention tools"),
    "COMM": N_("E-commerce"),
    "COMT": N_("Communication Tools"),
    "CTRL": N_("Control content"),
    "CULTR": N_("Culture"),
    "DATE": N_("Online Dating"),
    "ECON": N_("Economics"),
    "ENV": N_("Environment"),
    "FILE": N_("File-sharing"),
    "GAME": N_("Gaming"),
    "GMB": N_("Gambling"),
    "GOVT": N_("Government"),
    "GRP": N_("Social Networking"),
    "HACK": N_("Hacking Tools"),
    "HATE": N_("Hate Speech"),
    "HOST": N_("Hosting and Blogging Platforms"),
    "HUMR": N_("Human Rights Issues"),
    "IGO": N_("Intergovernmental Organizations"),
    "LGBT": N_("LGBT"),
    "MILX": N_("Terrorism and Militants"),
    "MISC": N_("Miscellaneous content"),
    "MMED": N_("Media sharing"),
    "NEWS": N_("News Media"),
    "POLR": N_("Political Criticism"),
    "PORN": N_("Pornography"),
    "PROV": N_("Provocative Attire"),
    "PUBH": N_("Public Health"),
    "REL": N_("Religion"),
    "SRCH": N_("Search Engines"),
    "XED": N_("Sex Education"),
}
_SERVICES = {
    "public resolver": N_("public resolver"),
    "encrypted resolver": N_("encrypted resolver"),
    "whoami server": N_("whoami server"),
    "helper": N_("helper"),
    "neutral site": N_("neutral site"),
}


def kind_of_sites(code: str, language: Language) -> str:
    """Return what a category is called; its code where it is none that is known."""
    return language.name(_KINDS.get(code, code))


def kinds_of_sites(codes: Iterable[str], language: Language) -> str:
    """Return what these are called, as part of a text."""
    kinds = ", ".join(sorted(language.text(_KINDS.get(code, code)) for code in codes))
    return textwrap.fill(kinds, 80, subsequent_indent="    ")


def service(shown: str, language: Language) -> str:
    """Return an outside service, as the consent record has it, in that language."""
    kind, _, name = shown.rpartition(" ")
    return f"{language.name(_SERVICES.get(kind, kind))} {name}"
