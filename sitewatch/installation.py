"""This installation: its configuration, its database, its targets, opened with clear errors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from probes.settings import Settings
from sitewatch.config import Config, ConfigError, load_config
from sitewatch.console import Failed, told_in_one_line
from storage.store import Store, StoreError


@dataclass(frozen=True)
class Installation:
    """A configuration that was read, and the database that it or the command line names."""

    config: Config
    database: str

    @classmethod
    def load(cls, config_path: Path | None, database: str | None) -> Installation:
        """Read the configuration; `database` from the command line wins."""
        with told_in_one_line(ConfigError):
            config = load_config(config_path, os.environ)
        return cls(config, database or config.database)

    def open_store(self, *, create: bool = True) -> Store:
        """Open the database. A missing one is an error where only reading makes sense."""
        if not create and "://" not in self.database and not Path(self.database).exists():
            raise Failed(
                f"{self.database}: no such file; nothing has been measured here yet "
                "(start with sitewatch measure, or sitewatch service install)"
            )
        with told_in_one_line(StoreError):
            return Store(self.database, create=create)

    def settings(self, tier: str | None = None) -> Settings:
        """Return the settings for probes, with another tier where the command line names one."""
        settings = self.config.settings()
        return msgspec.structs.replace(settings, tier=tier) if tier else settings

    def refuse_other_kind(self, store: Store) -> None:
        """Stop before measuring what this database could not take."""
        kind = store.simulated()
        wanted = self.config.vantage.simulated
        if kind is not None and kind != wanted:
            names = {True: "simulated", False: "real"}
            raise Failed(
                f"{self.database} holds {names[kind]} records and never takes {names[wanted]} ones"
            )
