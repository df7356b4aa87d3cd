"""Get consent before the first packet: by flag, environment, an earlier yes, or by asking."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from probes.targets import Target
from sitewatch.config import Config
from sitewatch.consent import (
    FILE_NAME,
    QUESTION,
    Consent,
    ConsentError,
    ConsentRecord,
    Scope,
    ask,
    consented,
    services_of,
)
from sitewatch.consent_words import consent_text
from sitewatch.console import Failed, say, told_in_one_line
from sitewatch.installation import Installation
from sitewatch.language import ENGLISH, Language, preferred


def scope_of(installation: Installation, targets: Sequence[Target], tier: str | None) -> Scope:
    """Return what measuring these targets in that manner needs consent for."""
    settings = installation.settings(tier)
    return Scope(
        targets=len(targets),
        categories=frozenset(target.category for target in targets),
        tier=settings.tier,
        services=services_of(settings),
    )


def marker_of(config: Config) -> Path:
    """Return the file that remembers a yes."""
    return Path(config.folder) / FILE_NAME


def state_of_consent(
    installation: Installation, scope: Scope, *, flag: bool = False, interactive: bool = False
) -> Consent:
    """Tell whether there is consent to `scope`, without asking anybody."""
    record = ConsentRecord.load(marker_of(installation.config))
    return consented(flag, os.environ, interactive, scope=scope, record=record)


def require_consent(
    installation: Installation, targets: Sequence[Target], *, flag: bool, tier: str | None = None
) -> None:
    """Return once there is consent. Raises Failed, and no packet is sent, where there is none."""
    scope = scope_of(installation, targets, tier)
    interactive = sys.stdin.isatty() and sys.stderr.isatty()
    state = state_of_consent(installation, scope, flag=flag, interactive=interactive)
    if state == "given":
        return
    marker = marker_of(installation.config)
    words = Language(preferred(os.environ)) if state == "ask" else ENGLISH
    text = consent_text(scope, installation.database, marker, words)
    if state == "missing":
        say(text)
        raise Failed(
            "measuring needs your consent and there is no terminal to ask at; "
            "to agree to the text above use --consent or SITEWATCH_CONSENT=yes"
        )
    if not ask(text, sys.stdin, sys.stderr, words.show(QUESTION)):
        raise Failed("no consent, so nothing was sent")
    with told_in_one_line(ConsentError):
        ConsentRecord.of(scope, ConsentRecord.load(marker)).save(marker)
    say("")
