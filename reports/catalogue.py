"""Catalogue: texts in one language by gettext, and whether anybody has reviewed them."""

from __future__ import annotations

import gettext
import io
import re
from importlib import resources

# The first is the language that the program is written in.
LANGUAGES = {"en": "English", "ru": "Русский", "kk": "Қазақша"}


def N_(message: str) -> str:
    """Mark a text for translation where it is written; it is translated where it is shown."""
    return message


def NN_(one: str, many: str) -> tuple[str, str]:
    """Mark a message with its plural; {n} in it is the number."""
    return one, many


class Catalogue:
    """The texts of one package in one language; `reviewed_by` names who read them, "" nobody.

    They stand in `<package>/locales/<code>/LC_MESSAGES/<package>.po`. English needs no file.
    """

    def __init__(self, package: str, code: str) -> None:
        self.code = code
        self.reviewed_by = ""
        self._texts = gettext.NullTranslations()
        if code != "en":
            self._load(package)

    @property
    def is_draft(self) -> bool:
        return self.code != "en" and not self.reviewed_by

    def text(self, message: str) -> str:
        """Return `message` in this language, as it is where it has no translation."""
        return self._texts.gettext(message)

    def plural(self, one: str, many: str, number: int) -> str:
        """Return the form of a message that goes with `number`."""
        return self._texts.ngettext(one, many, number)

    def _load(self, package: str) -> None:
        # Babel is large, and the daemon speaks no language but the log's.
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import read_po

        file = resources.files(package) / "locales" / self.code / "LC_MESSAGES" / f"{package}.po"
        catalogue = read_po(io.BytesIO(file.read_bytes()), locale=self.code)
        found = re.search(r"^# *reviewed-by: *(\S.*)$", catalogue.header_comment, re.MULTILINE)
        self.reviewed_by = found[1].strip() if found else ""
        compiled = io.BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        self._texts = gettext.GNUTranslations(compiled)
