"""docs/formats.md: every example in it is one that the program takes, and every command exists."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from reports.csv_readings import readings_from_csv
from reports.report import OF_ONE_INCIDENT
from reports.spreadsheets import EPISODE_COLUMNS, OUR_COLUMNS, STOP_COLUMNS
from sitewatch.annotation_rows import annotations_from_csv
from storage import bundle_frames, compression, derived_records
from storage.bundle import (
    FORMAT,
    MAX_LINE_BYTES,
    MAX_PENDING_BYTES,
    Content,
    Derived,
    Item,
    Place,
    item_in,
)
from storage.bundle_frames import BEGINNING
from storage.derived_records import accept_derived
from storage.findings import Chain
from storage.records import canonical
from storage.roots import root_in
from tests.bundles import Piece, merge, packed, verified
from tests.test_readme import help_of

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "formats.md").read_text("utf-8")
COMMANDS = sorted(set(re.findall(r"`sitewatch ([a-z][^`]*)`", TEXT)))


def example(kind: str) -> str:
    """Return the one example of that kind."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def pieces(text: str) -> list[Piece]:
    """Return the items of a bundle as they are printed."""
    lines, found = iter(text.encode().splitlines()), list[Piece]()
    for line in lines:
        item: Item = item_in(line)
        assert canonical(item) == line
        followed = isinstance(item, Place | Content | Derived)
        found.append((item, next(lines) if followed else None))
    return found


def test_the_bundle_shown_is_a_sound_one(tmp_path: Path) -> None:
    bundle = packed(tmp_path / "shown.bundle", pieces(example("bundle")))
    findings = verified(bundle)
    assert findings.healthy
    assert [(chain.intact, chain.anchored_by) for chain in findings.chains] == [(1, "vantage")]
    assert merge(tmp_path / "x.db", bundle)[0].records_new == 1


def test_the_derived_record_shown_is_that_of_the_bundle_shown() -> None:
    shown = example("json derived").strip().encode()
    accepted = accept_derived(shown)
    (place,) = (item for item, _ in pieces(example("bundle")) if isinstance(item, Place))
    assert accepted.of == place.envelope.id


def test_the_root_shown_is_that_of_the_bundle_shown(tmp_path: Path) -> None:
    shown = tmp_path / "root.json"
    shown.write_text(example("json root"))
    (chain,) = root_in(shown).chains
    (anchor,) = (item for item, _ in pieces(example("bundle")) if hasattr(item, "head"))
    assert (chain.vantage, chain.last, chain.head) == (
        json.loads(canonical(anchor))["vantage"],
        json.loads(canonical(anchor))["last"],
        json.loads(canonical(anchor))["head"],
    )


def test_the_table_shown_can_be_read(tmp_path: Path) -> None:
    table = tmp_path / "shown.csv"
    table.write_text(example("csv"))
    assert [reading.status for reading in readings_from_csv(table)] == ["blocked", "accessible"]


def test_the_columns_of_reports_shown_are_those_written() -> None:
    assert example("csv episodes").strip() == ",".join(EPISODE_COLUMNS)
    assert example("csv stop").strip() == ",".join((*STOP_COLUMNS, *OUR_COLUMNS))
    filled = TEXT[TEXT.index("| column of STOP |") : TEXT.index("The columns of STOP are")]
    for column in STOP_COLUMNS:
        assert f"`{column}`" in filled


def test_every_file_of_a_report_is_named() -> None:
    for name in OF_ONE_INCIDENT:
        assert f"| `{name}` |" in TEXT


def test_the_annotations_shown_can_be_read(tmp_path: Path) -> None:
    table = tmp_path / "shown.csv"
    table.write_text(example("csv annotations"))
    shown = json.loads(example("json annotation"))
    _, denial = annotations_from_csv(table)
    assert json.loads(canonical(denial)) == shown
    assert canonical(shown).decode() == example("json annotation").strip()


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_named_has_help_for_all_it_uses(line: str) -> None:
    command, *arguments = shlex.split(line)
    text = help_of(command)
    for argument in arguments:
        if argument.startswith("--"):
            assert argument in text


def test_every_item_header_limit_and_number_named_is_the_programs() -> None:
    for item in ("head", "key", "anchor", "blob", "record", "derived", "end"):
        assert f"| `{item}` |" in TEXT
    for number in (bundle_frames.MARK, bundle_frames.LENGTH, bundle_frames.SEAL):
        assert f"`0x{number:X}`" in TEXT
    assert f"{FORMAT!s}" in TEXT
    assert BEGINNING[8:].decode() == FORMAT
    assert f"at most\n{MAX_LINE_BYTES} bytes" in TEXT
    assert f"{MAX_PENDING_BYTES >> 20} MiB before one" in TEXT
    assert compression.MAX_BLOB_BYTES == compression.MAX_RECORD_BYTES == 16 << 20
    named = {name.lower() for name in re.findall(r"`([A-Z][A-Za-z-]+)`", TEXT)}
    assert named >= derived_records.HEADERS
    for state in ("intact", "withheld", "thinned", "missing", "broken"):
        assert hasattr(Chain(vantage="", first=1, last=1), state)
        assert f"`{state}`" in TEXT
