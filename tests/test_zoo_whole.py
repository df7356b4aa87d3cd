"""The whole zoo, run once for all that is to be true of each of its scenarios."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.zoo import main, zoo_scenarios
from storage.records import Verdict
from storage.store import Store
from tests.lab_worlds import require_lab
from tests.test_ooni_lab import exported, imported, parsed, verdicts


@pytest.mark.lab
@pytest.mark.long
def test_symptoms_hold_and_exports_pass_oonis_parser_and_come_back(tmp_path: Path) -> None:
    require_lab()
    kept = tmp_path / "databases"
    code = main(["--tier", "probing", "--output", str(tmp_path), "--keep", str(kept)])
    wrong = {name: said for name in zoo_scenarios() if (said := trouble(kept, name))}
    assert (code, wrong) == (0, {})


def trouble(kept: Path, name: str) -> str | None:
    """Return what is wrong with the export of one scenario's measurements, None if nothing is."""
    database = next(kept.glob(f"{name}-probing-[0-9]*.db"), None)
    if database is None:
        return "it was not measured"
    with Store(database, create=False) as store:
        mains = {one.id: one.record for one in store.measurements() if not one.record.follows}
    if not mains:
        return None  # the line was not up: there is nothing to export
    try:
        public = [parsed(document) for document in exported(database)]
        database.with_suffix(".jsonl").unlink()
        documents = [parsed(document) for document in exported(database, "--exact")]
        before = verdicts(database)
        folder = kept / name
        folder.mkdir()
        after = verdicts(imported(database, folder))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if {one.input for one in documents} != {record.url for record in mains.values()}:
        return "not every measurement is exported"
    if len(public) != len(documents):
        return "not every measurement is in the public export"
    if concluded(after) != concluded(before):
        return f"{before} comes back as {after}"
    return None


def concluded(found: dict[str, Verdict]) -> dict[str, tuple[object, ...]]:
    """Return what verdicts conclude, without how: neutral hosts' visits stay at home."""
    fields = ("status", "layer", "technique", "certainty", "blocked_name", "interference")
    return {url: tuple(getattr(one, name) for name in fields) for url, one in found.items()}
