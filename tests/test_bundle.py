"""Bundles: they hold all that was asked for, merge in any order, and never sit in memory."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from click.testing import CliRunner

from sitewatch.cli import group
from storage.bundle import Anchor, Place
from storage.errors import StoreError
from storage.exchange import export_bundle
from storage.files import NamedFile
from storage.importing import Imported
from storage.records import digest, utc_text
from storage.store import Store
from storage.wanted import Wanted
from tests.bundles import bundle_of, export, merge, unpacked, verified
from tests.month import NETWORKS, write_month
from tests.test_import import BODY, START, content, execute, filled, measured


def test_a_bundle_carries_everything_into_another_database(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", *range(120))
    assert merge(tmp_path / "x.db", bundle_of(database)) == [Imported(records_new=120, blobs_new=1)]
    assert content(tmp_path / "x.db") == content(database)
    with Store(tmp_path / "x.db") as store:
        assert store.check() == []
        assert store.blob(digest(BODY)) == BODY


def test_a_bundle_is_what_every_zstandard_program_can_read(tmp_path: Path) -> None:
    bundle = bundle_of(filled(tmp_path / "a.db", 1))
    with bundle.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        first = stream.read().splitlines()[0]
    assert json.loads(first) == {
        "exact": True,
        "format": "sitewatch-bundle/1",
        "item": "head",
        "simulated": False,
        "tool": "test",
    }


def test_the_same_database_gives_the_same_bundle_and_nobody_else_may_read_it(
    tmp_path: Path,
) -> None:
    database = filled(tmp_path / "a.db", 1, 2)
    export(database, tmp_path / "one")
    export(database, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600


def test_bundles_and_databases_merge_to_the_same_in_any_order(tmp_path: Path) -> None:
    a, b = filled(tmp_path / "a.db", 1, 2, 3), filled(tmp_path / "b.db", 4, 5)
    c, d = bundle_of(a), bundle_of(b)
    orders = [(a, b), (c, d), (d, c), (c, d, c, d), (d, a, c), (b, c, d, a)]
    for number, order in enumerate(orders):
        merge(tmp_path / f"{number}.db", *order)
    one, *others = (content(tmp_path / f"{number}.db") for number in range(len(orders)))
    assert all(other == one for other in others)


def test_a_second_import_knows_everything(tmp_path: Path) -> None:
    bundle = bundle_of(filled(tmp_path / "a.db", 1, 2))
    assert merge(tmp_path / "x.db", bundle, bundle)[1] == Imported(records_known=2)


def test_what_was_merged_can_be_handed_on_and_is_the_same_there(tmp_path: Path) -> None:
    a, b = filled(tmp_path / "a.db", 1, 2, 3), filled(tmp_path / "b.db", 4, 5)
    merge(tmp_path / "x.db", bundle_of(a), bundle_of(b))
    passed_on = bundle_of(tmp_path / "x.db")
    merge(tmp_path / "y.db", passed_on)
    assert content(tmp_path / "y.db") == content(tmp_path / "x.db")
    anchored = {chain.anchored_by for chain in verified(passed_on).chains}
    assert anchored == {"exporter"}  # who passes on has not the vantages' keys


@pytest.fixture(scope="module")
def volunteers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two volunteers' databases: one on two networks, one on the third and the first."""
    folder = tmp_path_factory.mktemp("volunteers")
    days: dict[str, Any] = {"first": "2017-06-18", "last": "2017-06-20"}
    sites = ("foreignpolicy.com", "aral-notes.example")
    aigul = write_month(folder / "aigul.db", **days, networks=NETWORKS[:2], sites=sites)
    timur = write_month(
        folder / "timur.db", **days, networks=(NETWORKS[2], NETWORKS[0]), sites=sites
    )
    return aigul, timur


@pytest.mark.xdist_group("bundles")
def test_two_volunteers_give_the_same_episodes_and_reports_in_any_order(
    tmp_path: Path, volunteers: tuple[Path, Path]
) -> None:
    aigul, timur = tmp_path / "aigul.bundle", tmp_path / "timur.bundle"
    export(volunteers[0], aigul)
    export(volunteers[1], timur)
    outputs = []
    for name, order in (("one", (aigul, timur)), ("two", (timur, aigul, timur, aigul))):
        database = tmp_path / f"{name}.db"
        run("import", "--database", str(database), *map(str, order))
        output = tmp_path / name
        run("report", "--database", str(database), "--output", str(output), *DAYS)
        printed = run("episodes", "--database", str(database), "--json")
        episodes = json.loads(printed)
        assert len(episodes["episodes"]) == 2
        assert {episode["asn"] for episode in episodes["episodes"]} == {64496, 64497}
        files = {file.name: file.read_bytes() for file in output.iterdir()}
        outputs.append((printed, files, content(database)))
    assert outputs[0] == outputs[1]


DAYS = ("--from", "2017-06-18", "--to", "2017-06-20")


def run(*arguments: str) -> str:
    """Run a command that must be done; return what it printed."""
    result = CliRunner().invoke(group, arguments, prog_name="sitewatch")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_part_of_a_database_keeps_the_places_of_what_is_withheld(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2)
    filled(database, 50, vantage=other_network(database, "KG"))
    filled(database, 3, 4)
    done = export(
        database,
        tmp_path / "part",
        since=utc_text(START + 2),
        until=utc_text(START + 4),
        country="KZ",
    )
    assert (done.records, done.withheld) == (2, 0)
    places = [item for item, _ in unpacked(tmp_path / "part") if isinstance(item, Place)]
    assert [place.envelope.sequence for place in places] == [2, 3]
    findings = verified(tmp_path / "part")
    assert findings.healthy
    assert [(chain.first, chain.last, chain.intact) for chain in findings.chains] == [(2, 3, 2)]


def other_network(database: Path, country: str) -> Any:
    with Store(database) as store:
        return store.own_vantage(country=country, asn=64511, network="Elsewhere")


def test_withheld_records_stay_as_stubs_and_are_filled_by_a_whole_bundle(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 9, 1, 8)  # the second is older than those around it
    done = export(database, tmp_path / "part", since=utc_text(START + 5))
    assert (done.records, done.withheld) == (2, 1)
    findings = verified(tmp_path / "part")
    assert findings.healthy
    assert (findings.chains[0].intact, findings.chains[0].withheld) == (2, 1)
    export(database, tmp_path / "whole")
    merge(tmp_path / "x.db", tmp_path / "part")
    with Store(tmp_path / "x.db") as store:
        assert [line.split(":")[-1] for line in store.check()] == [
            " missing, its envelope is there"
        ]
    merge(tmp_path / "x.db", tmp_path / "whole")
    merge(tmp_path / "y.db", tmp_path / "whole", tmp_path / "part")
    assert content(tmp_path / "x.db") == content(tmp_path / "y.db") == content(database)


def test_a_chain_with_a_gap_is_exported_in_two_stretches_with_an_anchor_each(
    tmp_path: Path,
) -> None:
    database = filled(tmp_path / "a.db", *range(6))
    execute(
        database,
        "DELETE FROM blob_uses",
        "DELETE FROM steps",
        "DELETE FROM records WHERE number = 3",
        "DELETE FROM envelopes WHERE sequence = 3",
    )
    export(database, tmp_path / "b")
    anchors = [item for item, _ in unpacked(tmp_path / "b") if isinstance(item, Anchor)]
    assert [(anchor.first, anchor.last, anchor.count) for anchor in anchors] == [
        (1, 2, 2),
        (4, 6, 3),
    ]
    findings = verified(tmp_path / "b")
    assert not findings.healthy
    assert findings.complete
    assert findings.chains[0].missing == 1
    assert ["nothing between places 2 and 4" in line for line in findings.missing] == [True]
    assert merge(tmp_path / "x.db", tmp_path / "b")[0].records_new == 5


def test_a_copied_installation_is_merged_and_named(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1)
    for file in ("a.db", "a.db.keys"):
        (tmp_path / f"copy-{file}").write_bytes((tmp_path / file).read_bytes())
    filled(database, 2)
    filled(tmp_path / "copy-a.db", 3)
    merge(tmp_path / "x.db", database, tmp_path / "copy-a.db")
    findings = verified(bundle_of(tmp_path / "x.db"))
    assert findings.complete
    assert ["place 2 is taken twice" in line for line in findings.broken] == [True]
    assert merge(tmp_path / "y.db", tmp_path / "x.bundle")[0].records_new == 3
    assert content(tmp_path / "y.db") == content(tmp_path / "x.db")


def test_what_is_damaged_in_a_database_is_named_and_its_place_stays(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2, 3)
    execute(
        database,
        "UPDATE records SET canonical = x'00' WHERE number = 2",
        "UPDATE blobs SET codec = 'raw', content = x'00'",
    )
    done = export(database, tmp_path / "b")
    assert done.records == 2
    assert len(done.left_out) == 3  # the record, and the blob that both others name
    findings = verified(tmp_path / "b")
    assert findings.healthy
    assert (findings.chains[0].intact, findings.chains[0].withheld) == (2, 1)
    assert findings.blobs_missing > 0


def test_thinned_records_are_told_as_such(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2)
    execute(
        database,
        "DELETE FROM steps WHERE record = 1",
        "DELETE FROM blob_uses WHERE record = 1",
        f"UPDATE records SET canonical = NULL, thinned = '{utc_text(START)}' WHERE number = 1",
    )
    done = export(database, tmp_path / "b")
    assert (done.records, done.thinned) == (1, 1)
    findings = verified(tmp_path / "b")
    assert findings.healthy
    assert (findings.chains[0].intact, findings.chains[0].thinned) == (1, 1)


def test_simulated_and_real_data_never_mix(tmp_path: Path) -> None:
    real = filled(tmp_path / "real.db", 1)
    simulated = bundle_of(filled(tmp_path / "simulated.db", 2, simulated=True))
    before = content(real)
    with pytest.raises(StoreError, match=r"simulated\.bundle: the database holds real records"):
        merge(real, simulated)
    assert content(real) == before


def test_nothing_wanted_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1)
    Store(tmp_path / "empty.db").close()
    for exact in (True, False):
        with pytest.raises(StoreError, match=r"a\.db: no record is wanted"):
            export(database, tmp_path / "b", country="SE", exact=exact)
        with pytest.raises(StoreError, match=r"empty\.db: it holds no records yet"):
            export(tmp_path / "empty.db", tmp_path / "b", exact=exact)
    (tmp_path / "b").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        export(database, tmp_path / "b")
    assert (tmp_path / "b").read_text() == "mine"
    assert not list(tmp_path.glob("*.partial"))


# --- encryption ----------------------------------------------------------------------------------


@pytest.fixture
def identity(tmp_path: Path) -> tuple[Path, str]:
    """An age identity in a file as age-keygen writes it, and its recipient."""
    pyrage = pytest.importorskip("pyrage")
    made = pyrage.x25519.Identity.generate()
    file = tmp_path / "identity.txt"
    file.write_text(f"# created: 2017\n# public key: {made.to_public()}\n{made}\n")
    return file, str(made.to_public())


def test_an_encrypted_bundle_opens_for_its_recipient_alone(
    tmp_path: Path, identity: tuple[Path, str]
) -> None:
    database = filled(tmp_path / "a.db", *range(150))
    bundle = bundle_of(database, recipients=[identity[1]])
    assert b"sitewatch" not in bundle.read_bytes()
    findings = verified(bundle, identity[0])
    assert findings.healthy
    assert findings.encrypted
    merge(tmp_path / "x.db", bundle, identity=identity[0])
    assert content(tmp_path / "x.db") == content(database)
    with pytest.raises(StoreError, match=r"a\.bundle: encrypted; name the file of your age"):
        merge(tmp_path / "y.db", bundle)


def test_the_wrong_identity_is_one_line(tmp_path: Path, identity: tuple[Path, str]) -> None:
    import pyrage

    bundle = bundle_of(filled(tmp_path / "a.db", 1), recipients=[identity[1]])
    stranger = tmp_path / "stranger.txt"
    stranger.write_text(str(pyrage.x25519.Identity.generate()))
    with pytest.raises(StoreError, match=r"a\.bundle: cannot be decrypted with this identity"):
        merge(tmp_path / "x.db", bundle, identity=stranger)
    result = CliRunner().invoke(group, ["verify", str(bundle), "--identity", str(stranger)])
    assert result.exit_code == 1  # whether it is intact, nobody without the key can say
    for text in ("", "AGE-SECRET-KEY-1NONSENSE"):
        stranger.write_text(text)
        with pytest.raises(StoreError, match=r"stranger\.txt: holds [^\n]+$"):
            merge(tmp_path / "x.db", bundle, identity=stranger)


def test_an_encrypted_bundle_that_was_changed_or_cut_is_named(
    tmp_path: Path, identity: tuple[Path, str]
) -> None:
    bundle = bundle_of(filled(tmp_path / "a.db", *range(300)), recipients=[identity[1]])
    whole = bundle.read_bytes()
    for damaged in (whole[:-1], whole[:-20], whole[:70_000], flipped(whole, 80_000)):
        bundle.write_bytes(damaged)
        findings = verified(bundle, identity[0])
        assert not findings.complete
        assert len(findings.broken) == 1
        with pytest.raises(StoreError, match=r"a\.bundle: "):
            merge(tmp_path / "x.db", bundle, identity=identity[0])
    assert content(tmp_path / "x.db")["records"] == set()


def test_without_the_extra_encryption_is_refused_in_one_line(
    tmp_path: Path, identity: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = filled(tmp_path / "a.db", 1)
    bundle = bundle_of(database, recipients=[identity[1]])
    monkeypatch.setitem(sys.modules, "pyrage", None)
    with pytest.raises(StoreError, match=r"encryption needs the extra `age`"):
        export(database, tmp_path / "other", recipients=[identity[1]])
    with pytest.raises(StoreError, match=r"encryption needs the extra `age`"):
        merge(tmp_path / "x.db", bundle, identity=identity[0])
    assert not (tmp_path / "other").exists()
    assert export(database, tmp_path / "plain").records == 1


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_full_disk_is_one_line_naming_the_file(
    tmp_path: Path, identity: tuple[Path, str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is missing")
    database = filled(tmp_path / "a.db", *range(50))
    for recipients in ([], [identity[1]]):
        with (
            Path("/dev/full").open("wb", buffering=0) as full,
            pytest.raises(StoreError, match=r"[Nn]o space left"),
        ):
            export_to(database, full.write, recipients)


def export_to(database: Path, write: Callable[[bytes], object], recipients: list[str]) -> None:
    class Full:
        def write(self, data: bytes, /) -> object:
            return write(data)

        def flush(self) -> None: ...

    with Store(database) as store:
        out = NamedFile(Full(), Path("full"))
        export_bundle(store, out, Wanted(), exact=True, tool="test", recipients=recipients)


# --- size ----------------------------------------------------------------------------------------

_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from tests.bundles import export, merge, verified
database, folder = Path(sys.argv[1]), Path(sys.argv[2])
import storage.migrate, alembic.command  # what is imported counts before the limit is set
merge(folder / "warm.db")
used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + (64 << 20), used + (64 << 20)))
try:
    bytearray(100 << 20)
except MemoryError:
    pass
else:
    sys.exit("the limit does not hold")
export(database, folder / "exact")
export(database, folder / "public", exact=False)
assert verified(folder / "exact").healthy
assert verified(folder / "public").healthy
merge(folder / "x.db", folder / "exact")
print((folder / "exact").stat().st_size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA as Linux keeps it")
@pytest.mark.xdist_group("bundles")
def test_a_bundle_larger_than_the_memory_is_written_verified_and_merged(tmp_path: Path) -> None:
    database = tmp_path / "large.db"
    with Store(database) as store:
        for seed in range(100):
            add_large(store, seed)
    result = subprocess.run(
        [sys.executable, "-c", _IN_LITTLE_MEMORY, str(database), str(tmp_path)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 2 * (64 << 20)
    with Store(tmp_path / "x.db") as merged:
        assert sum(1 for _ in merged.measurements()) == 100


def add_large(store: Store, seed: int) -> None:
    record = measured(store, seed)
    body = random.Random(seed).randbytes(3 << 19)
    step = msgspec.structs.replace(record.steps[0], body=digest(body))
    store.add(msgspec.structs.replace(record, steps=[step]), {digest(body): body}).result()
