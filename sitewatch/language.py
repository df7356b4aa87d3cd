"""The languages in which volunteers are spoken to: gettext catalogues, drafts marked as such."""

from __future__ import annotations

import gettext
import io
import re
import textwrap
from collections.abc import Mapping
from importlib import resources
from typing import Any

# The first is the language that the program is written in.
LANGUAGES = {"en": "English", "ru": "Русский", "kk": "Қазақша"}


def N_(message: str) -> str:
    """Mark a text for translation where it is written; it is translated where it is shown."""
    return message


DRAFT = N_(
    "This translation is a draft that nobody has reviewed. The English text beside it is the one "
    "that counts."
)


class Language:
    """Shows texts in one language; `reviewed_by` says who has read the catalogue, "" nobody."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.reviewed_by = ""
        self._catalogue: gettext.NullTranslations = gettext.NullTranslations()
        if code != "en":
            self._load(code)

    @property
    def is_draft(self) -> bool:
        return self.code != "en" and not self.reviewed_by

    def show(self, message: str, **values: Any) -> str:
        """Return `message` filled in; a draft with the English below it."""
        english = message.format(**values)
        own = self._catalogue.gettext(message).format(**values)
        if not self.is_draft or own == english:
            return own
        beside = textwrap.indent(english, "  | ", lambda _: True)
        return f"{own}\n{beside}"

    def _load(self, code: str) -> None:
        # Babel is large, and the daemon speaks no language but the log's.
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import read_po

        file = resources.files("sitewatch") / "locales" / code / "LC_MESSAGES" / "sitewatch.po"
        catalogue = read_po(io.BytesIO(file.read_bytes()), locale=code)
        found = re.search(r"^# *reviewed-by: *(\S.*)$", catalogue.header_comment, re.MULTILINE)
        self.reviewed_by = found[1].strip() if found else ""
        compiled = io.BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        self._catalogue = gettext.GNUTranslations(compiled)


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
