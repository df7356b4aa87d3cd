"""The configuration: where it is found, its defaults, and how a mistake is named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from probes.settings import BROWSER_USER_AGENT, Settings
from sitewatch.config import Config, ConfigError, default_targets_path, load_config
from sitewatch.config_checks import bytes_of, seconds_of
from sitewatch.sections import Sections

ROOT = Path(__file__).parent.parent


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "sitewatch.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(folder: Path, content: str) -> Config:
    return load_config(write(folder, content), {})


def refusal(folder: Path, content: str | bytes) -> str:
    path = write(folder, content)
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


# --- where it is found -------------------------------------------------------------------------


def test_without_a_file_all_is_default_and_the_database_lies_in_the_users_data_folder(
    tmp_path: Path,
) -> None:
    config = load_config(None, {})
    assert config == Config()
    assert config.database == str(tmp_path / "home/data/sitewatch/sitewatch.db")
    assert config.settings() == Settings()
    assert config.targets_path() == default_targets_path()


def test_the_users_file_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "home/config/sitewatch"
    folder.mkdir(parents=True)
    write(folder, "[limits]\nparallel = 3\n")
    assert load_config(None, {}).limits.parallel == 3


def test_a_file_named_by_flag_wins_over_the_environment(
    config_folder: Path, tmp_path: Path
) -> None:
    flag = write(config_folder, "[limits]\nparallel = 3\n")
    other = write(tmp_path, "[limits]\nparallel = 4\n")
    environment = {"SITEWATCH_CONFIG": str(other)}
    assert load_config(None, environment).limits.parallel == 4
    assert load_config(flag, environment).limits.parallel == 3


def test_an_empty_variable_names_no_file() -> None:
    assert load_config(None, {"SITEWATCH_CONFIG": ""}) == Config()


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigError, match=re.escape(f"{missing}: no such file; sitewatch init")):
        load_config(None, {"SITEWATCH_CONFIG": str(missing)})


def test_relative_paths_start_from_the_file(
    config_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config_folder / "roots.pem").touch()
    path = write(
        config_folder,
        '[storage]\ndatabase = "kept/s.db"\n[targets]\nfile = "mine.csv"\n'
        '[tls]\nca_bundle = "roots.pem"\n',
    )
    monkeypatch.chdir(config_folder)
    config = load_config(Path(path.name), {})
    assert config.folder == config_folder
    assert config.database == str(config_folder / "kept/s.db")
    assert config.targets_path() == config_folder / "mine.csv"
    assert config.settings().tls.ca_bundle == str(config_folder / "roots.pem")


def test_absolute_paths_and_database_urls_stay_as_written(config_folder: Path) -> None:
    assert load(config_folder, '[storage]\ndatabase = "/a/s.db"\n').database == "/a/s.db"
    url = "postgresql://host/name"
    assert load(config_folder, f'[storage]\ndatabase = "{url}"\n').database == url


def test_the_list_beside_the_file_is_used_and_ours_only_where_none_is_named(
    config_folder: Path,
) -> None:
    beside = config_folder / "targets.csv"
    assert load(config_folder, "").targets_path() == default_targets_path()
    assert load(config_folder, '[targets]\nfile = "targets.csv"\n').targets_path() == beside
    beside.touch()
    assert load(config_folder, "").targets_path() == beside


def test_settings_carry_tier_and_user_agent(config_folder: Path) -> None:
    settings = load(config_folder, '[safety]\ntier = "probing"\n').settings()
    assert (settings.tier, settings.user_agent) == ("probing", BROWSER_USER_AGENT)
    settings = load(config_folder, '[vantage]\nuser_agent = "Browser/1"\n').settings()
    assert settings.user_agent == "Browser/1"


# --- mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[limits]\nparallel = "a"', ": key limits.parallel: expected int, got str"),
        ("[limits]\nparallel = true", ": key limits.parallel: expected int, got bool"),
        ("[limits]\nparalel = 3", ": key limits.paralel: there is no such key"),
        ("[limts]", ": key limts: there is no such key"),
        ('"a\\nb" = 1', ": key a\ufffdb: there is no such key"),
        ("targets = 3", ": key targets: expected table, got int"),
        ("[helpers]\nurls = [3]", ": key helpers.urls[0]: expected str, got int"),
        ('[resolvers]\ndoh = [{url = "https://a.example/", ip = []}]', ": key resolvers.doh[0].ip"),
        ("[resolvers]\ndoh = [{}]", ": key resolvers.doh[0]: object missing required field url"),
        ('[safety]\ntier = "loud"', ": key safety.tier: cannot be 'loud'"),
        ('[vantage]\nkind = "lab"', ": key vantage.kind: cannot be 'lab'"),
        ('[vantage]\ncountry = "kz"', ": key vantage.country: not a country's two capital"),
        ('[vantage]\ncountry = "KAZ"', ": key vantage.country: not a country's two capital"),
        ("[vantage]\nasn = 0", ": key vantage.asn: not a network number"),
        ("[vantage]\nasn = 4294967296", ": key vantage.asn: not a network number"),
        ('[vantage]\nnetwork = "a\\u001b[1m"', ": key vantage.network: empty, or holds a control"),
        ('[vantage]\nuser_agent = "a\\r\\nb: c"', ": key vantage.user_agent: holds a character"),
        ('[targets]\nskip_categories = ["NEWZ"]', ": key targets.skip_categories: unknown categ"),
        ('[targets]\nfile = ""', ": key targets.file: not the name of a file"),
        ('[resolvers]\npublic = ["dns.google"]', ": key resolvers.public: not an IP address"),
        (
            '[resolvers]\ndoh = [{url = "http://a.example/", addresses = ["192.0.2.1"]}]',
            ": key resolvers.doh.url: not a URL that starts with https://",
        ),
        (
            '[resolvers]\ndoh = [{url = "https://a.example/", addresses = []}]',
            ": key resolvers.doh.addresses: https://a.example/ needs at least one address",
        ),
        ('[helpers]\nurls = ["helper.example"]', ": key helpers.urls: not a URL"),
        ('[neutral]\nhome = ["https://a b/"]', ": key neutral.home: not a URL"),
        ('[neutral]\nabroad = ["ftp://a.example/"]', ": key neutral.abroad: not a URL"),
        ('[tls]\nca_bundle = "none.pem"', ": key tls.ca_bundle: no such file"),
        ('[data]\nnetworks = "none.csv"', ": key data.networks: no such file"),
        ("[limits]\ndns_timeout = -1", ": key limits.dns_timeout: not a time between"),
        ("[limits]\nhttp_timeout = 0", ": key limits.http_timeout: not a time between"),
        ("[limits]\ntls_timeout = inf", ": key limits.tls_timeout: not a time between"),
        ("[limits]\nconnect_timeout = nan", ": key limits.connect_timeout: not a time between"),
        ("[limits]\nparallel = 0", ": key limits.parallel: not between 1 and 1000"),
        ("[limits]\nsensitive_per_target_day = -1", ": key limits.sensitive_per_target_day: not"),
        ('[schedule]\nevery = "4 hours"', ": key schedule.every: not a duration"),
        ('[schedule]\nwatch_every = "0m"', ": key schedule.watch_every: not a duration"),
        ('[schedule]\nwaking_hours = "25:00-26:00"', ": key schedule.waking_hours: not a time"),
        ('[schedule]\nwaking_hours = "08:00-08:00"', ": key schedule.waking_hours: not a time"),
        ('[schedule]\ntime_zone = "Asia/Astana"', ": key schedule.time_zone: not a time zone"),
        ('[schedule]\nwatch = ["https://a.example/"]', ": key schedule.watch: not a host name"),
        ('[storage]\nmax_size = "2 gigs"', ": key storage.max_size: not a size"),
        ("[storage]\naccessible_days = -1", ": key storage.accessible_days: not between"),
        ('[alerts]\nwebhook = "here"', ": key alerts.webhook: not a URL"),
        ('[alerts]\nquiet_hours = "night"', ": key alerts.quiet_hours: not a time range"),
        ("[limits]\nparallel =\n", ", line 2: not TOML: Invalid value"),
        ("a = 1\na = 2\nb = 3\n", ", line 2: not TOML: Cannot overwrite a value"),
        ('[storage]\ndatabase = "s.db', ", line 2: not TOML: Unterminated string"),
        (b"[storage]\n# \xff\n", ", line 2: not UTF-8"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(
    config_folder: Path, content: str | bytes, expected: str
) -> None:
    assert refusal(config_folder, content).startswith(expected)


def test_a_whole_number_is_a_time_too(config_folder: Path) -> None:
    assert load(config_folder, "[limits]\ntls_timeout = 2\n").limits.tls_timeout == 2.0


def test_durations_and_sizes_are_read() -> None:
    assert [seconds_of(text) for text in ("45s", "30m", "4h", "1d")] == [45, 1800, 14400, 86400]
    assert [bytes_of(text) for text in ("2 GB", "500MB", "7")] == [2 * 10**9, 5 * 10**8, 7]


# --- the documentation -------------------------------------------------------------------------


def documented() -> dict[str, str]:
    """Return the keys of docs/configuration.md with their defaults as TOML, "" for none."""
    keys: dict[str, str] = {}
    section = ""
    for line in (ROOT / "docs/configuration.md").read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ").strip("[]")
        row = re.fullmatch(r"\| `(\w+)` \| [\w ]+ \| (?:`(.+?)`)? ?\| .+ \|", line)
        if row:
            keys[f"{section}.{row[1]}"] = row[2] or ""
    return keys


def defaults() -> dict[str, object]:
    sections = msgspec.to_builtins(Sections())
    return {
        f"{section}.{key}": value
        for section, keys in sections.items()
        for key, value in keys.items()
    }


def test_the_documentation_has_every_key_with_its_default() -> None:
    written = {
        key: tomllib.loads(f"x = {text}")["x"] if text else None
        for key, text in documented().items()
    }
    # Lists and tuples are the same to a reader.
    assert written == msgspec.json.decode(msgspec.json.encode(defaults()))


def test_a_file_of_all_defaults_changes_nothing(config_folder: Path) -> None:
    lines: list[str] = []
    for key, text in documented().items():
        section, name = key.split(".")
        if text:
            lines += [f"[{section}]"] if f"[{section}]" not in lines else []
            lines.append(f"{name} = {text}")
    config = load(config_folder, "\n".join(lines))
    assert msgspec.structs.replace(config, path=None, targets_written=False) == Config()
