"""OONI's files on the command line: packed or plain, broken, hostile, twice, beside ours."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import zstandard
from click.testing import CliRunner, Result

from reports.cases import gather
from reports.verdicts import judge
from sitewatch.cli import group
from sitewatch.ooni_files import MOST_PROBLEMS, import_ooni, is_ooni_file
from storage import ooni_lines
from storage.keys import KeysFile
from storage.ooni_lines import lines
from storage.records import utc_text
from storage.store import Store, StoreError
from storage.train_dictionary import Invention
from tests.bundles import bundle_of, merge, verified
from tests.ooni_fixtures import Event, legacy, line, measurement, modern


def many(count: int) -> list[Event]:
    """Measurements of a site, a minute apart."""
    return [
        measurement(
            modern() if number % 2 else legacy(),
            measurement_start_time=f"2024-01-23 {10 + number // 60:02}:{number % 60:02}:00",
            measurement_uid=f"uid-{number}",
        )
        for number in range(count)
    ]


def jsonl(documents: list[Event]) -> bytes:
    return b"".join(map(line, documents))


def run(folder: Path, *files: Path) -> Result:
    arguments = ["import", *map(str, files), "--database", str(folder / "s.db")]
    return CliRunner().invoke(group, arguments, prog_name="sitewatch")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- forms of files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("plain.jsonl", lambda data: data),
        ("marked.jsonl", lambda data: b"\xef\xbb\xbf" + data),
        ("windows.jsonl", lambda data: data.replace(b"\n", b"\r\n\r\n")),
        ("unended.jsonl", lambda data: data.rstrip()),
        ("packed.jsonl.gz", gzip.compress),
        ("twice.gz", lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:])),
        ("packed.jsonl.zst", zstandard.compress),
        ("frames.zst", lambda d: zstandard.compress(d[:100]) + zstandard.compress(d[100:])),
    ],
)
def test_files_are_read_in_every_form_whatever_their_name(
    tmp_path: Path, name: str, pack: object
) -> None:
    assert callable(pack)
    file = write(tmp_path / name, pack(jsonl(many(5))))
    result = run(tmp_path, file)
    assert result.exit_code == 0, result.output
    assert "5 measurements added, 0 known already, 0 of other tests, 0 broken" in result.output


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_single_document_over_many_lines_is_read(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    document = json.dumps(many(1)[0], indent=2).encode()
    assert (
        "1 measurements added" in run(tmp_path, write(tmp_path / "one.json", pack(document))).output
    )


def test_importing_again_adds_nothing(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", jsonl(many(4)))
    second = write(tmp_path / "b.jsonl", jsonl([*many(6), *many(2)]))
    assert "4 measurements added" in run(tmp_path, first).output
    assert "2 measurements added, 6 known already" in run(tmp_path, second).output
    with Store(tmp_path / "s.db") as store:
        assert len(list(store.measurements())) == 6
        assert len(list(store.rounds())) == 1
        assert store.check() == []


# --- broken and hostile ----------------------------------------------------------------------


def test_broken_lines_and_other_tests_are_counted_and_the_rest_enters(tmp_path: Path) -> None:
    good = [line(one) for one in many(3)]
    data = [
        good[0],
        line(measurement({}, test_name="ndt")),
        b"nonsense\x1b[2J\n",
        good[1][:500] + b"\n",
        line(measurement({}, test_name="ndt")),
        b"{" + b'"a":{' * 100_000 + b"\n",
        good[2],
    ]
    result = run(tmp_path, write(tmp_path / "mixed.jsonl", b"".join(data)))
    assert result.exit_code == 0
    assert "2 measurements added, 0 known already, 2 of other tests, 3 broken" in result.output
    assert "2 measurements of the test ndt passed over" in result.output
    for number in (3, 4, 6):
        assert f"line {number}: not a measurement in JSON" in result.output
    assert "\x1b" not in result.output
    assert "Traceback" not in result.output


def test_only_the_first_broken_lines_are_named_and_all_are_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "bad.jsonl", jsonl(many(1)) + b"{}\n" + b"nonsense\n" * 100)
    result = run(tmp_path, file)
    assert result.exit_code == 0
    assert result.output.count(": line") + result.output.count(", line") == MOST_PROBLEMS
    assert f"{100 - MOST_PROBLEMS} more broken lines" in result.output
    assert "1 measurements added, 0 known already, 1 of other tests, 100 broken" in result.output


def test_a_file_without_any_measurement_is_an_error(tmp_path: Path) -> None:
    result = run(tmp_path, write(tmp_path / "none.jsonl", b'{"format":"something else"}\n'))
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].endswith("no web_connectivity measurement in it")


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"words", b"\x1f\x8bgarbage", b"\x28\xb5\x2f\xfdxx"]
)
def test_what_is_no_json_is_one_line(tmp_path: Path, data: bytes) -> None:
    result = run(tmp_path, write(tmp_path / "file", data))
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_of_a_cut_off_file_what_came_before_the_cut_enters(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    packed = pack(
        b"".join(line(one | {"input": f"http://{n}.org/"}) for n, one in enumerate(many(60)))
    )
    result = run(tmp_path, write(tmp_path / "cut", packed[: len(packed) - 40]))
    assert result.exit_code == 0, result.output
    added = re.search(r"(\d+) measurements added", result.output)
    assert added is not None
    assert 0 < int(added[1]) < 60
    assert ", 1 broken lines" in result.output


def test_a_bomb_is_noticed_before_it_has_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ooni_lines, "MOST_LINE_BYTES", 1 << 20)
    zeros = zstandard.ZstdCompressor().compressobj()
    packed = zeros.compress(jsonl(many(1)))
    for _ in range(64):
        packed += zeros.compress(bytes(4 << 20))
    found = list(lines(write(tmp_path / "bomb.zst", packed + zeros.flush())))
    assert found[0].problem is None
    assert "expands beyond all measure" in str(found[-1].problem)


def test_a_line_that_is_too_long_is_passed_over_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ooni_lines, "MOST_LINE_BYTES", 100_000)
    monkeypatch.setattr(ooni_lines, "_BUFFER", 4096)
    data = jsonl(many(1)) + b"{" + b" " * 1_000_000 + b"}\n" + jsonl(many(2)[1:])
    found = list(lines(write(tmp_path / "long.jsonl", data)))
    assert [(one.number, one.problem is None) for one in found] == [
        (1, True),
        (2, False),
        (3, True),
    ]
    document = json.dumps(many(1)[0] | {"padding": "x" * 200_000}, indent=1).encode()
    (only,) = lines(write(tmp_path / "whole.json", document))
    assert "longer than" in str(only.problem)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        is_ooni_file(tmp_path)
    assert run(tmp_path, tmp_path / "nowhere.jsonl").exit_code == 1


# --- beside what is ours ---------------------------------------------------------------------


def test_imported_and_own_measurements_of_a_network_are_two_vantages(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        own = store.own_vantage(country="KZ", asn=9198, network="Invented Telecom")
        import_ooni(store, write(tmp_path / "f.jsonl", jsonl(many(2))))
        imported = {stored.record.vantage for stored in store.measurements()}
        (there,) = imported
        assert there.id != own.id
        assert (there.country, there.asn, there.source) == (own.country, own.asn, "ooni")
        assert store.own_vantage(country="KZ", asn=9198, network="Invented Telecom") == own


def test_vantages_of_unknown_networks_are_as_many_as_reports(tmp_path: Path) -> None:
    unknown = [
        one | {"probe_asn": "AS0", "report_id": f"r{n % 2}"} for n, one in enumerate(many(4))
    ]
    with Store(tmp_path / "s.db") as store:
        import_ooni(store, write(tmp_path / "f.jsonl", jsonl(unknown)))
        assert len({stored.record.vantage.id for stored in store.measurements()}) == 2


def test_times_of_imported_data_do_not_wear_out_keys(tmp_path: Path) -> None:
    years = [
        one | {"measurement_start_time": f"20{16 + n * 7 % 10}-0{1 + n % 9}-01 00:00:00"}
        for n, one in enumerate(many(12))
    ]
    with Store(tmp_path / "s.db") as store:
        import_ooni(store, write(tmp_path / "f.jsonl", jsonl(years)))
        vantage = next(store.measurements()).record.vantage
        assert store.check() == []
    signer = KeysFile(tmp_path / "s.db.keys").signing(vantage, utc_text(2e9))
    assert len(signer.certifications) == 1


def test_the_same_file_imported_by_two_counts_once_when_their_databases_are_merged(
    tmp_path: Path,
) -> None:
    file = write(tmp_path / "f.jsonl", jsonl(many(5)))
    bundles = []
    for name in ("aigul", "timur"):
        (tmp_path / name).mkdir()
        assert run(tmp_path / name, file).exit_code == 0
        bundles.append(bundle_of(tmp_path / name / "s.db"))
    merged = tmp_path / "merged.db"
    first, second, again = merge(merged, *bundles, bundles[0])
    # Five measurements and the round of their report.
    assert (first.records_new, second.records_new, again.records_new) == (6, 0, 0)
    with Store(merged) as store:
        assert store.check() == []
        assert len(list(store.measurements())) == 5
        ids = [stored.id for stored in store.measurements()]
        assert {len(store.envelopes(id)) for id in ids} == {2}  # both have vouched for it
    findings = verified(bundle_of(merged))  # and it can be handed on
    assert findings.healthy
    assert len(findings.chains) == 2


def test_real_and_simulated_never_meet(tmp_path: Path) -> None:
    database = tmp_path / "s.db"
    with Store(database) as store:
        record = Invention(1).measurement()
        vantage = store.own_vantage(country="KZ", asn=1, network=None)
        simulated = msgspec.structs.replace(record, vantage=vantage, simulated=True, steps=[])
        store.add(simulated).result()
    result = run(tmp_path, write(tmp_path / "f.jsonl", jsonl(many(1))))
    assert result.exit_code == 1
    assert "they never mix" in result.output
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (1,)


def test_verdicts_of_what_was_imported_do_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{n}.jsonl", jsonl([one | {"probe_asn": f"AS{n + 1}"}]))
        for n, one in enumerate(many(4))
    ]
    seen = []
    for name, order in (("a", files), ("b", files[::-1])):
        (tmp_path / name).mkdir()
        assert run(tmp_path / name, *order).exit_code == 0
        with Store(tmp_path / name / "s.db") as store:
            cases = gather(store.measurements())
            seen.append({case.measurement.vantage.asn: judge(case) for case in cases})
    assert seen[0] == seen[1]
