"""What a volunteer chooses at the start, and the configuration file that it becomes."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec
import platformdirs

from probes.settings import Tier
from probes.targets import CATEGORIES, load_targets
from sitewatch.config import FILE_NAME, default_targets_path
from sitewatch.sections import Targets

# OONI's public test helpers; see its specification of the web_connectivity experiment.
PUBLIC_HELPERS = ("https://0.th.ooni.org/", "https://2.th.ooni.org/")


class ChoiceError(Exception):
    """An answer that cannot be taken; the message is one line."""


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """The answers. The tier is preselected: without its experiments hardly anything is certain."""

    country: str | None = None
    skip: frozenset[str] = frozenset(Targets().skip_categories)
    tier: Tier = "probing"
    helpers: bool = False
    waking_hours: str = "08:00-23:00"
    every: str = "4h"
    month_megabytes: int = 1000


def switched(skip: Collection[str], changes: Iterable[str]) -> frozenset[str]:
    """Return the skipped categories after ``+CODE`` (watch) and ``-CODE`` (skip). ChoiceError."""
    result = set(skip)
    for change in changes:
        code = change[1:].upper()
        if change[:1] not in {"+", "-"} or code not in CATEGORIES:
            raise ChoiceError(f"not +CODE or -CODE with a known category: {change!r}")
        if change[0] == "+":
            result.discard(code)
        else:
            result.add(code)
    return frozenset(result)


def category_counts(folder: Path) -> Counter[str]:
    """Return how many sites of each category are listed. Raises TargetsError."""
    beside = folder / Targets().file
    targets = load_targets(beside if beside.is_file() else default_targets_path())
    return Counter(target.category for target in targets)


def configuration_of(choices: Choices, folder: Path, database: str | None = None) -> str:
    """Return the text of a sitewatch.toml that lies in `folder` and may name a database."""
    if database is None and folder == platformdirs.user_config_path("sitewatch"):
        database = str(platformdirs.user_data_path("sitewatch") / "sitewatch.db")
    helpers = PUBLIC_HELPERS if choices.helpers else ()
    sections: dict[str, dict[str, object]] = {
        "vantage": {"country": choices.country},
        "targets": {"skip_categories": sorted(choices.skip)},
        "helpers": {"urls": list(helpers)},
        "limits": {"month_megabytes": choices.month_megabytes},
        "schedule": {"every": choices.every, "waking_hours": choices.waking_hours},
        "safety": {"tier": choices.tier},
        "storage": {"database": database},
    }
    lines = ["# Written by sitewatch init; docs/configuration.md explains every key."]
    for name, keys in sections.items():
        chosen = {key: value for key, value in keys.items() if value is not None}
        if chosen:
            lines += ["", f"[{name}]", *(f"{key} = {json.dumps(chosen[key])}" for key in chosen)]
    return "\n".join(lines) + "\n"


def configuration_path(config_path: Path | None, named: str | None) -> Path:
    """Return where the configuration is or will be: by flag, by environment, else the usual one."""
    if config_path or named:
        return Path(config_path or named or "").expanduser().absolute()
    return platformdirs.user_config_path("sitewatch") / FILE_NAME


def write_configuration(path: Path, text: str) -> None:
    """Write the file in one move, for its owner's eyes only. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).replace(path)
