"""The files that a client of the lab finds: its configuration, targets and name service."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.plan import PlannedNetwork
from lab.scenario import Scenario

_Tables = dict[str, dict[str, Any]]


def write_client_files(
    folder: Path, scenario: Scenario, network: PlannedNetwork, ca: Path, own_roots: Sequence[Path]
) -> None:
    """Write all files of one client into `folder`.

    `ca` are the roots that a program may bring with it; the machine's store has `own_roots` too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "roots.pem").write_text("".join(path.read_text() for path in (ca, *own_roots)))
    (folder / "sitewatch.toml").write_text(_toml(_tables(scenario, network, ca)), "utf-8")
    _write_targets(folder / "targets.csv", scenario)
    resolv = f"nameserver {network.name_server()}\noptions timeout:1 attempts:2\n"
    (folder / "resolv.conf").write_text(resolv)
    (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")


def _tables(scenario: Scenario, network: PlannedNetwork, ca: Path) -> _Tables:
    title = next(one.title for one in scenario.networks if one.name == network.name)
    tables: _Tables = {
        "vantage": {
            "simulated": True,
            "country": scenario.country,
            "asn": network.asn,
            "network": title or network.name,
        },
        "targets": {"file": "targets.csv"},
        "helpers": {"urls": [helper.url for helper in scenario.helpers]},
        "neutral": {"home": scenario.neutral.home, "abroad": scenario.neutral.abroad},
        "tls": {"ca_bundle": str(ca)},
    }
    for name, table in scenario.sitewatch.items():
        tables[name] = {**tables.get(name, {}), **table}
    return tables


def _write_targets(path: Path, scenario: Scenario) -> None:
    columns = ("url", "category_code", "category_description", "date_added", "source", "notes")
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(columns)
        for url in scenario.targets:
            rows.writerow((url, "NEWS", "News Media", "2016-01-01", "lab", "simulated"))


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Write tables of plain values as TOML."""
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_toml_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return json.dumps(value)  # text, numbers and booleans read the same in both
