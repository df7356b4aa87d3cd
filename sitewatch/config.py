"""The configuration: where sitewatch.toml is found and what it says, or one clear line why not."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from probes import settings
from sitewatch.config_checks import problems
from sitewatch.sections import Sections

FILE_NAME = "sitewatch.toml"
_MISSING = "no such file; sitewatch init writes one"


class ConfigError(Exception):
    """The configuration cannot be used; the message is one line naming file and key."""


class Config(Sections, frozen=True, kw_only=True):
    """The sections, and where they came from."""

    path: Path | None = None  # the file read; None: there is none, all defaults
    targets_written: bool = False  # the file names its targets file itself

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from: the file's, else the user's data folder."""
        return self.path.parent if self.path else platformdirs.user_data_path("sitewatch")

    @property
    def database(self) -> str:
        """The database: an absolute path, or the URL as written."""
        written = self.storage.database
        return written if "://" in written else str(self.folder / Path(written).expanduser())

    def settings(self) -> settings.Settings:
        """Return what a prober is told to do."""
        return settings.Settings(
            resolvers=self.resolvers,
            helpers=self.helpers,
            neutral=self.neutral,
            tls=settings.Tls(ca_bundle=self._absolute(self.tls.ca_bundle)),
            limits=self.limits,
            tier=self.safety.tier,
            user_agent=self.vantage.user_agent or settings.BROWSER_USER_AGENT,
        )

    def targets_path(self) -> Path:
        """Return the targets file: the one the file names, else one beside it, else our own."""
        beside = self.folder / Path(self.targets.file).expanduser()
        if self.targets_written or (self.path and beside.is_file()):
            return beside
        return default_targets_path()

    def _absolute(self, written: str) -> str:
        return str(self.folder / Path(written).expanduser()) if written else ""


def default_targets_path() -> Path:
    """Return the list that comes with Sitewatch: inside the wheel, or at the checkout's top."""
    package = Path(str(resources.files("sitewatch")))
    packaged = package / "data" / "targets.csv"
    return packaged if packaged.is_file() else package.parent / "targets.csv"


# --- reading -----------------------------------------------------------------------------------


def load_config(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Return the configuration of `path`, else $SITEWATCH_CONFIG, else the user's, else defaults.

    Raises ConfigError with one line that names the file and the key or line.
    """
    file = config_file(path, environment)
    if file is None:
        return Config()
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: {_MISSING}") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    return parse_config(data, file)


def config_file(path: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Return the file that counts, without reading it; None where only the defaults do."""
    named = path or _from_environment(environment)
    usual = platformdirs.user_config_path("sitewatch") / FILE_NAME
    if named is None and not usual.is_file():
        return None
    return (named or usual).expanduser().absolute()


def unread_config(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Return the defaults in the place of the file that counts, whatever stands in it.

    For what must work where the file is broken. Raises ConfigError for a file that is not there.
    """
    file = config_file(path, environment)
    if file is not None and not file.is_file():
        raise ConfigError(f"{file}: {_MISSING}")
    return Config(path=file)


def parse_config(data: bytes, file: Path) -> Config:
    """Return the configuration that `data` is when it lies in `file`. Raises ConfigError."""
    tables = _tables(data, file)
    sections = _sections(file, tables)
    targets = tables.get("targets", {})
    config = Config(
        **{name: getattr(sections, name) for name in sections.__struct_fields__},
        path=file,
        targets_written="file" in targets,
    )
    for key, problem in [*problems(sections), *_missing_files(config)]:
        raise ConfigError(f"{file}: key {key}: {problem}")
    return config


def _from_environment(environment: Mapping[str, str]) -> Path | None:
    named = environment.get("SITEWATCH_CONFIG", "")
    return Path(named) if named else None


def _tables(data: bytes, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}, line {line}: not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_message(file, data, str(error))) from error


def _syntax_message(file: Path, data: bytes, text: str) -> str:
    """Put the line that tomllib names at its message's end beside the file."""
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", text)
    line = (found and found[1]) or str(max(1, len(data.splitlines())))
    problem = text[: found.start()] if found else text
    return f"{file}, line {line}: not TOML: {problem}"


def _sections(file: Path, tables: dict[str, Any]) -> Sections:
    try:
        return msgspec.convert(tables, Sections)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{file}: {_key_message(str(error))}") from error


def _key_message(text: str) -> str:
    """Turn "Expected `int`, got `str` - at `$.limits.parallel`" into "key limits.parallel: …"."""
    problem, _, place = text.partition(" - at ")
    key = place.strip("`").removeprefix("$").removeprefix(".").replace("[...]", "")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", problem, re.DOTALL)
    if unknown:
        key = ".".join(filter(None, [key, unknown[1]]))
        problem = "there is no such key"
    # The words of TOML and of people for those of the decoder.
    for theirs, ours in (("`", ""), ("Invalid enum value", "cannot be"), ("object", "table")):
        problem = problem.replace(theirs, ours)
    message = f"key {key}: {problem[:1].lower()}{problem[1:]}"
    # A quoted key may hold line ends; the message stays one line.
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in message)


def _missing_files(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the keys whose file must exist and does not."""
    for key, written in (
        ("tls.ca_bundle", config.tls.ca_bundle),
        ("data.networks", config.data.networks),
    ):
        if written and not (config.folder / Path(written).expanduser()).is_file():
            yield key, f"no such file: {config.folder / written}"
