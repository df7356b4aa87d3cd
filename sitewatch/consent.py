"""Consent: what it covers, whether it is there, asking for it, remembering it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TextIO, TypeAlias

import msgspec

from probes.settings import Settings, Tier
from probes.targets import host_of
from sitewatch.language import N_

TEXT_VERSION = 2  # raised whenever the text says more than it did
FILE_NAME = "sitewatch-consent.json"

Consent: TypeAlias = Literal["given", "ask", "missing"]

QUESTION = N_('Type "yes" and press Enter to agree; anything else stops here')
_TIERS: tuple[Tier, ...] = ("browser-like", "probing", "conspicuous")


class ConsentError(Exception):
    """The given consent cannot be remembered; the message is one line naming the file."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What consent is asked for."""

    targets: int
    categories: frozenset[str]  # codes of the targets that will be measured
    tier: Tier
    services: frozenset[str]  # outside services that learn the own address, as shown


class ConsentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was consented to. A larger scope or a later text needs a new answer."""

    text_version: int
    categories: frozenset[str]
    tier: Tier
    services: frozenset[str] = frozenset()

    @classmethod
    def of(cls, scope: Scope, earlier: ConsentRecord | None = None) -> ConsentRecord:
        """Return the record of a yes to `scope`, and still to an earlier one of the same manner."""
        record = cls(
            text_version=TEXT_VERSION,
            categories=scope.categories,
            tier=scope.tier,
            services=scope.services,
        )
        # With another tier the earlier yes would come to mean more than was asked then.
        if earlier is None or (earlier.text_version, earlier.tier) != (TEXT_VERSION, scope.tier):
            return record
        return msgspec.structs.replace(
            record,
            categories=record.categories | earlier.categories,
            services=record.services | earlier.services,
        )

    def covers(self, scope: Scope) -> bool:
        """Tell whether `scope` needs no new answer: nothing in it is more than was agreed to."""
        return (
            self.text_version >= TEXT_VERSION
            and self.categories >= scope.categories
            and self.services >= scope.services
            and _TIERS.index(self.tier) >= _TIERS.index(scope.tier)
        )

    def save(self, path: Path) -> None:
        """Write the record for its owner's eyes only. Raises ConsentError."""
        data = msgspec.json.encode(self, order="sorted")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp makes the file 0600; the rename keeps a half-written one from counting.
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).replace(path)
        except OSError as error:
            raise ConsentError(f"{path}: cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> ConsentRecord | None:
        """Return the remembered consent, None where there is none that can be read."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError):
            return None  # whatever is wrong with it, asking again is the safe answer


def services_of(settings: Settings) -> frozenset[str]:
    """Return the outside services that learn the own address, each as it is shown."""
    return frozenset(
        [
            *(f"public resolver {address}" for address in settings.resolvers.public),
            *(f"encrypted resolver {host_of(server.url)}" for server in settings.resolvers.doh),
            *(f"whoami server {w.server}" for w in settings.resolvers.whoami if w.server),
            *(f"helper {host_of(url)}" for url in settings.helpers.urls),
            *(f"neutral site {host_of(url)}" for url in settings.neutral.home),
            *(f"neutral site {host_of(url)}" for url in settings.neutral.abroad),
        ]
    )


def consented(
    flag: bool,
    environment: Mapping[str, str],
    interactive: bool,
    *,
    scope: Scope | None = None,
    record: ConsentRecord | None = None,
) -> Consent:
    """Tell whether consent is given, must be asked for, or is missing and cannot be asked for.

    It is given by --consent (`flag`), by SITEWATCH_CONSENT=yes, or by a remembered yes that
    covers `scope`.
    """
    if flag or environment.get("SITEWATCH_CONSENT") == "yes":
        return "given"
    if record is not None and scope is not None and record.covers(scope):
        return "given"
    return "ask" if interactive else "missing"


def ask(text: str, answers: TextIO, screen: TextIO, question: str = QUESTION) -> bool:
    """Show `text` on `screen` and wait for one line of `answers`; only a typed "yes" is a yes."""
    screen.write(f"{text}\n{question}: ")
    screen.flush()
    return answers.readline().strip().lower() == "yes"
