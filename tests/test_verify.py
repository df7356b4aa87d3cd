"""sitewatch verify: what is intact, thinned, missing and broken in a database, and its root."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sitewatch.cli import group
from sitewatch.retaining import retain
from storage.errors import StoreError
from storage.exchange import bundle_opener
from storage.findings import Findings
from storage.records import digest
from storage.roots import root_in
from storage.store import Store
from storage.verification import verify_bundle, verify_database
from tests.bundles import bundle_of, export, merge, verified
from tests.test_import import BODY, content, execute, filled, hashes
from tests.test_migrations import copy_rows, make_first_schema
from tests.test_retention import At, config, history


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, [str(one) for one in arguments], prog_name="sitewatch")


def damaged(database: Path, *statements: str) -> Findings:
    execute(database, *statements)
    return verify_database(database)


def test_an_intact_database_is_counted_by_vantage_and_key(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2, 3)
    findings = verify_database(database)
    assert findings.healthy
    assert findings.simulated is False
    (chain,) = findings.chains
    assert (chain.first, chain.last, chain.intact) == (1, 3, 3)
    assert [use.places for use in chain.keys] == [3]
    assert (findings.blobs, findings.blobs_missing) == (1, 0)


def test_verifying_leaves_the_file_and_its_folder_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    database = filled(folder / "a.db", 1)
    before = hashes(folder)
    assert verify_database(database).healthy
    assert hashes(folder) == before


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE records SET canonical = x'00' WHERE number = 2", "damaged"),
        ("UPDATE records SET url = 'https://other.example/' WHERE number = 2", "column url"),
        ("UPDATE steps SET failure = 'eof_error' WHERE record = 2", "rows of its steps"),
        ("UPDATE envelopes SET time = '2017-01-01' WHERE sequence = 2", "wrong signature"),
        ("UPDATE envelopes SET hash = 'sha256:0' WHERE sequence = 2", "another hash"),
        ("UPDATE envelopes SET vantage = 'x' WHERE sequence = 2", "never certified"),
        ("UPDATE envelopes SET sequence = 3 WHERE sequence = 2", "taken twice"),
        ("UPDATE certifications SET signature = '00'", "not certified"),
        ("UPDATE blobs SET content = x'00', codec = 'raw'", "another hash"),
        ("UPDATE database_kind SET simulated = 1", "mixed"),
    ],
)
def test_what_was_changed_in_a_database_is_broken(
    tmp_path: Path, statement: str, reason: str
) -> None:
    findings = damaged(filled(tmp_path / "a.db", 1, 2, 3), statement)
    assert not findings.healthy
    assert any(reason in line for line in findings.broken), findings.broken


def test_a_changed_record_is_counted_as_broken_and_the_others_as_intact(tmp_path: Path) -> None:
    findings = damaged(
        filled(tmp_path / "a.db", 1, 2, 3), "UPDATE records SET canonical = x'00' WHERE number = 2"
    )
    (chain,) = findings.chains
    assert (chain.intact, chain.broken) == (2, 1)


def test_records_and_places_that_are_gone_are_missing(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2, 3, 4)
    findings = damaged(
        database,
        "DELETE FROM steps WHERE record = 2",
        "DELETE FROM blob_uses WHERE record = 2",
        "DELETE FROM records WHERE number = 2",
        "DELETE FROM steps WHERE record = 3",
        "DELETE FROM blob_uses WHERE record = 3",
        "DELETE FROM records WHERE number = 3",
        "DELETE FROM envelopes WHERE sequence = 3",
    )
    assert sorted(line.partition(":")[0].split()[0] for line in findings.missing) == [
        "record",
        "vantage",
    ]
    (chain,) = findings.chains
    assert (chain.intact, chain.missing) == (2, 1)


def test_what_retention_thinned_is_no_fault_in_a_database_or_a_bundle(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    with Store(database) as store:
        history(store)
        retain(store, config(tmp_path, days=30), At())
        thinned = store.thinned().records
    assert thinned > 0
    for findings in (verify_database(database), verified(bundle_of(database))):
        assert findings.healthy, findings
        (chain,) = findings.chains
        assert chain.thinned == thinned
        assert chain.intact == chain.last - thinned


def test_content_that_somebody_dropped_behind_retentions_back_is_broken(tmp_path: Path) -> None:
    findings = damaged(
        filled(tmp_path / "a.db", 1, 2),
        "DELETE FROM steps WHERE record = 1",
        "DELETE FROM blob_uses WHERE record = 1",
        "UPDATE records SET canonical = NULL WHERE number = 1",
    )
    (chain,) = findings.chains
    assert (chain.intact, chain.broken) == (1, 1)


def test_blobs_that_are_no_longer_kept_are_counted(tmp_path: Path) -> None:
    findings = damaged(
        filled(tmp_path / "a.db", 1, 2), "DELETE FROM blob_uses", "DELETE FROM blobs"
    )
    assert (findings.blobs, findings.blobs_missing) == (0, 2)


@pytest.mark.parametrize("changes", [80, pytest.param(1000, marks=pytest.mark.long)])
def test_a_changed_byte_in_a_database_is_found_unless_it_changes_nothing(
    tmp_path: Path, changes: int
) -> None:
    database = filled(tmp_path / "a.db", *range(40))
    whole, kept = database.read_bytes(), content(database)
    chance = random.Random(2017)
    found = 0
    for _ in range(changes):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= chance.randrange(1, 256)
        database.write_bytes(data)
        try:
            findings = verify_database(database)
        except StoreError:  # no longer a database, or one of a newer version
            found += 1
            continue
        if findings.healthy:  # a byte in which nothing stands
            assert content(database) == kept
        else:
            found += 1
    assert found > changes / 10


def test_a_database_of_the_first_schema_is_verified_in_a_copy(tmp_path: Path) -> None:
    newest, old = filled(tmp_path / "new.db", 1, 2), tmp_path / "old.db"
    make_first_schema(old)
    copy_rows(newest, old)
    before = old.read_bytes()
    findings = verify_database(old)
    assert findings.broken == []
    assert findings.chains[0].intact == 2
    assert old.read_bytes() == before


# --- roots ---------------------------------------------------------------------------------------


def root_of(database: Path, target: Path) -> Path:
    result = run("export", "--root", "--database", database)
    assert result.exit_code == 0, result.output
    target.write_text(result.stdout)
    return target


def test_a_root_shows_that_the_end_of_a_chain_was_cut_off(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2, 3)
    root = root_of(database, tmp_path / "root.json")
    assert verify_database(database, root_in(root)).healthy
    cut = (
        "DELETE FROM steps WHERE record = 3",
        "DELETE FROM blob_uses WHERE record = 3",
        "DELETE FROM records WHERE number = 3",
        "DELETE FROM envelopes WHERE sequence = 3",
    )
    execute(database, *cut)
    assert verify_database(database).missing == []  # inside nothing shows it
    (line,) = verify_database(database, root_in(root)).missing
    assert line.endswith("place 3 of the root is not there")
    (line,) = bundle_findings(database, root).missing
    assert line.endswith("place 3 of the root is not there")


def bundle_findings(database: Path, root: Path) -> Findings:
    bundle = bundle_of(database)
    opener = bundle_opener(bundle, "bundle", None)
    return verify_bundle(bundle, opener, encrypted=False, root=root_in(root))


def test_a_root_shows_that_a_chain_was_made_anew_and_holds_while_it_grows(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1)
    for file in ("a.db", "a.db.keys"):
        (tmp_path / f"copy-{file}").write_bytes((tmp_path / file).read_bytes())
    root = root_of(filled(database, 2), tmp_path / "root.json")
    other = filled(tmp_path / "copy-a.db", 3)  # the same key signs something else at that place
    (line,) = verify_database(other, root_in(root)).broken
    assert line.endswith("place 2 is another than in the root")
    assert bundle_findings(filled(database, 4), root).healthy


def test_a_file_that_is_no_root_is_one_line(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1)
    root = root_of(database, tmp_path / "root.json")
    forged = json.loads(root.read_text())
    forged["chains"][0]["last"] = 7
    for text in ("", "[]", "[" * 10_000, json.dumps(forged)):
        root.write_text(text)
        with pytest.raises(StoreError, match=r"^[^\n]*root\.json: [^\n]+$"):
            root_in(root)
    with pytest.raises(StoreError, match="No such file"):
        root_in(tmp_path / "none")


# --- the command ---------------------------------------------------------------------------------


def test_the_command_says_what_is_there_and_what_a_signature_proves(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2)
    bundle = bundle_of(database)
    for arguments in ((database,), ("--database", database), (bundle,)):
        result = run("verify", *arguments)
        assert result.exit_code == 0, result.output
        assert "places 1 to 2: 2 intact" in result.stdout
        assert "signed 2, of 2017-06-20 to 2017-06-20" in result.stdout
        assert "It does not prove when that was" in result.stdout


def test_the_command_says_derived_of_a_public_bundle(tmp_path: Path) -> None:
    bundle = bundle_of(filled(tmp_path / "a.db", 1, 2), exact=False)
    result = run("verify", bundle)
    assert result.exit_code == 0, result.output
    assert "2 derived records" in result.stdout
    assert "The records are derived" in result.stdout


def test_the_exit_code_is_3_where_something_is_wrong(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2)
    bundle = bundle_of(database)
    bundle.write_bytes(bundle.read_bytes()[:-9])
    execute(database, "UPDATE records SET canonical = x'00' WHERE number = 2")
    for file in (database, bundle):
        result = run("verify", file)
        assert result.exit_code == 3
        assert "broken: " in result.stdout
        assert "NOT intact." in result.stdout


def test_the_json_document_has_it_all(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2)
    document = json.loads(run("verify", database, "--json").stdout)
    assert document["format"] == "sitewatch-verification/1"
    assert document["healthy"] is True
    assert document["chains"][0]["intact"] == 2
    execute(database, "UPDATE envelopes SET time = 'x' WHERE sequence = 1")
    result = run("verify", database, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["healthy"] is False


@pytest.mark.parametrize("text", [b"", b"text", b"SQLite format 3\0" + bytes(200)])
def test_a_file_that_is_neither_is_one_line(tmp_path: Path, text: bytes) -> None:
    other = tmp_path / "other"
    other.write_bytes(text)
    result = run("verify", other)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"sitewatch: {other}: ")
    assert result.stderr.count("\n") == 1
    assert run("verify", tmp_path / "none").exit_code == 1


def test_hostile_text_does_not_reach_the_terminal(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1)
    execute(database, "UPDATE envelopes SET vantage = char(27) || '[2J' || char(10)")
    result = run("verify", database)
    assert result.exit_code == 3
    assert "\x1b" not in result.output


def test_what_was_imported_from_bundles_is_verified_as_it_was(tmp_path: Path) -> None:
    a, b = filled(tmp_path / "a.db", 1, 2), filled(tmp_path / "b.db", 3)
    merge(tmp_path / "x.db", bundle_of(a), bundle_of(b))
    findings = verify_database(tmp_path / "x.db")
    assert findings.healthy
    assert sorted(chain.intact for chain in findings.chains) == [1, 2]


def test_a_key_renewed_each_month_is_followed(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 40 * 86400, 80 * 86400)
    export(database, tmp_path / "b")
    (chain,) = verified(tmp_path / "b").chains
    assert [use.places for use in chain.keys] == [1, 1, 1]
    assert len({use.key for use in chain.keys}) == 3
    merge(tmp_path / "x.db", tmp_path / "b")
    assert content(tmp_path / "x.db") == content(database)


def test_a_store_and_a_verification_see_the_same(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1)
    with Store(database) as store:  # open, with its -wal beside it
        assert store.check() == []
        assert verify_database(database).healthy
        assert store.blob(digest(BODY)) == BODY
