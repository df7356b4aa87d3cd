"""Every scenario of the lab in OONI's format: their own parser takes it, the verdict comes back."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from reports.cases import gather
from reports.verdicts import judge
from sitewatch.cli import group
from storage.records import Verdict
from storage.store import Store
from tests.measured_scenarios import SCENARIOS, Measured, every_scenario

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("measure")]

MEASURED = [name for name in SCENARIOS if name != "offline"]


@pytest.fixture(scope="module")
def runs() -> dict[str, Measured]:
    return every_scenario()


def copied(measured: Measured, folder: Path) -> Path:
    """Return a copy of a run's database: exporting keeps verdicts in it."""
    for path in measured.database.parent.glob(f"{measured.database.name}*"):
        shutil.copy(path, folder / path.name)
    return folder / measured.database.name


def exported(database: Path, *options: str) -> list[dict[str, Any]]:
    file = database.with_suffix(".jsonl")
    arguments = ["export", "--format", "ooni", *options, str(file), "--database", str(database)]
    result = CliRunner().invoke(group, arguments, prog_name="sitewatch")
    assert result.exit_code == 0, result.output
    return [json.loads(one) for one in file.read_bytes().splitlines()]


def verdicts(database: Path) -> dict[str, Verdict]:
    with Store(database, create=False) as store:
        assert store.check() == []
        return {case.measurement.url: judge(case) for case in gather(store.measurements())}


def imported(database: Path, folder: Path) -> Path:
    """Import what was exported of a database into a new one; return its path."""
    there = folder / "imported.db"
    arguments = ["import", str(database.with_suffix(".jsonl")), "--database", str(there)]
    result = CliRunner().invoke(group, arguments, prog_name="sitewatch")
    assert result.exit_code == 0, result.output
    return there


def parsed(document: dict[str, Any]) -> Any:
    """Return the measurement as OONI's own pipeline reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        module = pytest.importorskip(
            "oonidata.models.nettests.web_connectivity", reason="oonidata is not installed"
        )
    return module.WebConnectivity.from_dict(document)


@pytest.mark.parametrize("name", MEASURED)
def test_oonis_own_parser_takes_it(runs: dict[str, Measured], tmp_path: Path, name: str) -> None:
    (document,) = exported(copied(runs[name], tmp_path), "--exact")
    found, main = parsed(document), runs[name].main
    assert found.input == main["url"]
    assert found.probe_asn == f"AS{main['vantage']['asn']}"
    keys = found.test_keys
    steps = [step["kind"] for line in runs[name].lines for step in line["steps"]]
    assert len(keys.queries) == steps.count("lookup")
    assert len(keys.tcp_connect) == steps.count("connect")
    assert len(keys.tls_handshakes) == steps.count("handshake")
    assert len(keys.requests) == steps.count("exchange")
    sites = [answer for answer in main["helpers"] if answer["answered"]]
    assert (keys.control is not None) == bool(sites)
    blocking = {"blocked": str, "accessible": bool, "down": bool}.get(main["verdict"]["status"])
    assert type(keys.blocking) is (blocking or type(None))
    assert keys.accessible in ((None,) if blocking is None else (True, False))


@pytest.mark.parametrize("name", MEASURED)
def test_an_exact_export_comes_back_with_the_same_verdict(
    runs: dict[str, Measured], tmp_path: Path, name: str
) -> None:
    database = copied(runs[name], tmp_path)
    exported(database, "--exact")
    before, after = verdicts(database), verdicts(imported(database, tmp_path))
    assert before
    assert after == before
    with Store(tmp_path / "imported.db") as store:
        assert store.simulated() is True


@pytest.mark.parametrize("name", MEASURED)
def test_a_public_export_has_no_exact_time_and_the_same_conclusion(
    runs: dict[str, Measured], tmp_path: Path, name: str
) -> None:
    database = copied(runs[name], tmp_path)
    (document,) = exported(database)
    parsed(document)
    assert document["measurement_start_time"].endswith("0:00")
    events = [
        event
        for key in ("queries", "tcp_connect", "tls_handshakes", "requests")
        for event in document["test_keys"][key]
    ]
    assert {event["t0"] % 600 for event in events} == {0.0}
    written = json.dumps(document)
    for step in runs[name].main["steps"]:
        assert step["start"] not in written
    for url, verdict in verdicts(imported(database, tmp_path)).items():
        before = verdicts(database)[url]
        assert (verdict.status, verdict.layer, verdict.technique) == (
            before.status,
            before.layer,
            before.technique,
        )


def test_without_a_measurement_there_is_nothing_to_export(
    runs: dict[str, Measured], tmp_path: Path
) -> None:
    database = copied(runs["offline"], tmp_path)
    arguments = ["export", "--format", "ooni", str(tmp_path / "f"), "--database", str(database)]
    result = CliRunner().invoke(group, arguments, prog_name="sitewatch")
    assert result.exit_code == 1
    assert not (tmp_path / "f").exists()
