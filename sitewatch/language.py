"""The languages in which volunteers are spoken to: gettext catalogues, drafts marked as such."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from reports.catalogue import LANGUAGES as LANGUAGES
from reports.catalogue import N_ as N_
from reports.catalogue import Catalogue

DRAFT = N_(
    "This translation is a draft that nobody has reviewed. The English text beside it is the one "
    "that counts."
)


class Language:
    """Shows texts in one language; `reviewed_by` says who has read the catalogue, "" nobody."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._catalogue = Catalogue("sitewatch", code)

    @property
    def reviewed_by(self) -> str:
        return self._catalogue.reviewed_by

    @property
    def is_draft(self) -> bool:
        return self._catalogue.is_draft

    def show(self, message: str, *, english: Mapping[str, Any] | None = None, **values: Any) -> str:
        """Return `message` filled in; a draft with the English below it.

        Values that are words themselves come in this language, and once more as `english`.
        """
        beside = message.format(**{**values, **(english or {})})
        own = self._catalogue.text(message).format(**values)
        if not self.is_draft or own == beside:
            return own
        return f"{own}\n{textwrap.indent(beside, '  | ', lambda _: True)}"

    def text(self, message: str) -> str:
        """Return a few words that stand within a text which is shown."""
        return self._catalogue.text(message)

    def name(self, message: str) -> str:
        """Return a name that stands by itself; a draft with the English in brackets."""
        own = self.text(message)
        return f"{own} ({message})" if self.is_draft and own != message else own


ENGLISH = Language("en")


def preferred(environment: Mapping[str, str]) -> str:
    """Return the code of the language that the environment asks for, else English."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        code = environment.get(name, "").split("_")[0].split(".")[0]
        if code in LANGUAGES:
            return code
        if environment.get(name):
            return "en"
    return "en"
