"""The dossier: a stranger verifies it with a bare Python, and any change in it is noticed."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from reports import dossier_verify
from reports.dossier import verifier_hash
from reports.dossier_verify import BASE, L, P, good_signature
from storage.bundle import Seal
from storage.chain import public_hex, signed
from storage.records import Exchange, canonical, digest
from storage.store import Store
from tests.month import NETWORKS, SITES, write_month
from tests.test_report import report

BODY = b"<title>blocked by order</title>"
DAYS = ("2017-06-19", "2017-06-20")


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of two sites on two networks, and both their dossiers."""
    folder = tmp_path_factory.mktemp("month")
    span = {"first": DAYS[0], "last": DAYS[1]}
    path = write_month(folder / "month.db", sites=SITES[:2], networks=NETWORKS[:2], **span)  # type: ignore[arg-type]
    with_a_body(path)
    write_both(path, folder, *DAYS)
    return folder


def write_both(path: Path, folder: Path, since: str, until: str) -> None:
    for kind in ("public", "exact"):
        report(path, folder / kind, since, until, exact=kind == "exact", with_dossier=True)


def with_a_body(path: Path) -> None:
    """Add a measurement in the middle of the block that names a kept blob."""
    with Store(path) as store:
        blocked = next(
            stored.record
            for stored in store.measurements(
                since="2017-06-20", urls=["https://foreignpolicy.com/"]
            )
            if stored.record.follows is None and stored.record.vantage.asn == 64496
        )
        step = Exchange(
            connection=9,
            address="192.0.2.1",
            url="http://foreignpolicy.com/",
            body=digest(BODY),
            start=blocked.time,
            duration_us=1,
        )
        again = msgspec.structs.replace(
            blocked, steps=[*blocked.steps, step], time="2017-06-20T05:00:00.000000Z"
        )
        store.add(again, {digest(BODY): BODY}).result()


@pytest.fixture
def public(month: Path, tmp_path: Path) -> Path:
    return unpacked(month / "public" / "dossier.zip", tmp_path)


@pytest.fixture
def exact(month: Path, tmp_path: Path) -> Path:
    return unpacked(month / "exact" / "dossier.zip", tmp_path)


def unpacked(file: Path, folder: Path) -> Path:
    with ZipFile(file) as archive:
        archive.extractall(folder)
    return folder / "dossier"


def verify(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = dossier_verify.main([str(path)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


@pytest.mark.parametrize("kind", ["public", "exact"])
def test_a_bare_python_verifies_it_in_another_folder(
    month: Path, tmp_path: Path, kind: str
) -> None:
    folder = unpacked(month / kind / "dossier.zip", tmp_path)
    for arguments in ([], [str(month / kind / "dossier.zip")]):
        done = subprocess.run(
            [sys.executable, "-I", "verify.py", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert f"has the SHA-256 {verifier_hash()}" in done.stdout
        assert "2 intact: episode" in done.stdout
        assert "does not prove when that was" in done.stdout
        assert done.stdout.endswith("Everything that is here is intact.\n")
        assert ("intact: link of a chain" in done.stdout) == (kind == "exact")
    assert not list(folder.rglob("__pycache__"))


@pytest.mark.long
def test_ended_episodes_of_a_whole_month_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_month(tmp_path / "month.db")
    write_both(path, tmp_path, "2017-06-12", "2017-07-10")
    for kind in ("public", "exact"):
        code, text = verify(tmp_path / kind / "dossier.zip", capsys)
        assert (code, "2 intact: episode" in text) == (0, True), text


def test_the_hash_of_the_script_is_published() -> None:
    text = (Path(__file__).parent.parent / "docs" / "formats.md").read_text("utf-8")
    assert re.findall(r"`verify\.py` is\n\n    ([0-9a-f]{64})\n", text) == [verifier_hash()]


def test_the_same_data_give_the_same_bytes(month: Path, tmp_path: Path) -> None:
    for kind in ("public", "exact"):
        report(month / "month.db", tmp_path, *DAYS, exact=kind == "exact", with_dossier=True)
        again = (tmp_path / "dossier.zip").read_bytes()
        assert again == (month / kind / "dossier.zip").read_bytes()


def test_a_public_dossier_holds_derived_records_alone(public: Path) -> None:
    files = list((public / "records").iterdir())
    assert len(files) > 30
    for file in files:
        record = json.loads(file.read_bytes())
        assert (record["format"], record["time"][-11:]) == ("sitewatch-public/1", ":00.000000Z")
        assert "start" not in record["steps"][0]
    assert not (public / "blobs").exists()
    for episode in json.loads((public / "citations.json").read_bytes())["episodes"]:
        for ids in ([one["id"] for one in episode["measured"]], episode["follow_ups"]):
            assert ids == sorted(ids)  # no order that tells when


# One file of each kind.
KINDS = (
    *("report/report.html", "report/episodes.json", "report/stop.csv", "records/*"),
    *("envelopes.jsonl", "keys.jsonl", "blobs/*", "citations.json", "manifest.json"),
    *("seal.json", "README.txt", "verify.py"),
)


@pytest.mark.parametrize("pattern", KINDS)
def test_a_changed_byte_anywhere_is_noticed(
    exact: Path, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    file = sorted(exact.glob(pattern))[0]
    whole = bytearray(file.read_bytes())
    chance = random.Random(pattern)
    for position in (0, chance.randrange(len(whole))):
        changed = whole.copy()
        changed[position] ^= 1
        file.write_bytes(changed)
        code, text = verify(exact, capsys)
        assert code == 3, (position, text)
        assert "broken" in text.lower()
        assert "\nEverything" not in text
    file.unlink()
    assert verify(exact, capsys)[0] in ({2} if pattern == "manifest.json" else {3})


def resealed(folder: Path) -> None:
    """Do what whoever changed files would: list and seal them anew, by a key of his own."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    names = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    manifest["files"] = {
        name: {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "size": (folder / name).stat().st_size,
        }
        for name in names - {"manifest.json", "seal.json"}
    }
    (folder / "manifest.json").write_bytes(canonical(manifest))
    key = Ed25519PrivateKey.generate()
    sha256 = hashlib.sha256(canonical(manifest)).hexdigest()
    seal = canonical(signed(Seal(sha256=sha256, key=public_hex(key)), key))
    (folder / "seal.json").write_bytes(seal)


def lines(file: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = [json.loads(line) for line in file.read_bytes().splitlines()]
    change(rows)
    file.write_bytes(b"".join(canonical(row) + b"\n" for row in rows))


def document(file: Path, change: Callable[[Any], object]) -> None:
    value = json.loads(file.read_bytes())
    change(value)
    file.write_text(json.dumps(value))


def first(folder: Path) -> Path:
    return sorted(folder.iterdir())[0]


def signed_anew(row: dict[str, Any]) -> None:
    key = Ed25519PrivateKey.generate()
    row["key"] = public_hex(key)
    del row["signature"]
    row["signature"] = key.sign(canonical(row)).hex()


FORGERIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "another record": (
        lambda f: document(first(f / "records"), lambda v: v.update(complete=False)),
        "its content has another hash",
    ),
    "a record left out": (lambda f: first(f / "records").unlink(), "missing: record sha256:"),
    "another blob": (lambda f: first(f / "blobs").write_bytes(b"x"), "another hash"),
    "a blob left out": (lambda f: first(f / "blobs").unlink(), "missing: blob sha256:"),
    "an envelope left out": (
        lambda f: lines(f / "envelopes.jsonl", lambda rows: rows.pop()),
        "nobody signed it",
    ),
    "another signature": (
        lambda f: lines(f / "envelopes.jsonl", lambda r: r[0].update(signature="00" * 64)),
        "wrong signature",
    ),
    "signed by a stranger": (
        lambda f: lines(f / "envelopes.jsonl", lambda rows: signed_anew(rows[0])),
        "by an uncertified key",
    ),
    "a stranger's key": (
        lambda f: lines(f / "keys.jsonl", lambda rows: signed_anew(rows[0])),
        "no certified key comes before it",
    ),
    "fewer failures": (
        lambda f: document(
            f / "report/episodes.json", lambda v: v["episodes"][0].update(blocked=1)
        ),
        "another number of failures",
    ),
    "more measurements": (
        lambda f: document(
            f / "report/episodes.json", lambda v: v["episodes"][0].update(measurements=99)
        ),
        "another number of measurements",
    ),
    "an earlier onset": (
        lambda f: document(
            f / "report/episodes.json",
            lambda v: v["episodes"][0].update(onset_latest="2017-06-18T00:00:00Z"),
        ),
        "onset_latest is the time of no record",
    ),
    "another technique": (
        lambda f: document(
            f / "report/episodes.json",
            lambda v: v["episodes"][0].update(techniques={"dns.injection": 1}),
        ),
        "other techniques",
    ),
    "another network": (
        lambda f: document(f / "report/episodes.json", lambda v: v["episodes"][0].update(asn=1)),
        "is of another network",
    ),
    "an episode without records": (
        lambda f: document(f / "citations.json", lambda v: v["episodes"].pop()),
        "an episode cites no records",
    ),
    "a record that counts twice": (
        lambda f: document(
            f / "citations.json",
            lambda v: v["episodes"][0]["measured"].append(v["episodes"][0]["measured"][0]),
        ),
        "a record counts twice",
    ),
    "called real": (
        lambda f: document(f / "manifest.json", lambda v: v.update(simulated=False)),
        "simulated and real are mixed",
    ),
    "JSON of another shape": (
        lambda f: (f / "citations.json").write_text('{"episodes": [[]]}'),
        "broken: list of episodes",
    ),
    "JSON without end": (
        lambda f: first(f / "records").write_bytes(b"[" * 100_000),
        "broken: record",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_that_is_sealed_anew_is_noticed(
    exact: Path, capsys: pytest.CaptureFixture[str], forgery: str
) -> None:
    forge, words = FORGERIES[forgery]
    forge(exact)
    resealed(exact)
    code, text = verify(exact, capsys)
    assert code == 3
    assert words in text, text
    assert "Traceback" not in text


def test_a_changed_derived_record_is_noticed(
    public: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document(first(public / "records"), lambda value: value.update(complete=False))
    resealed(public)
    code, text = verify(public, capsys)
    assert code == 3
    assert "nobody signed it" in text


def test_a_file_that_is_not_listed_is_told(exact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (exact / "more.txt").write_text("x")
    code, text = verify(exact, capsys)
    assert code == 3
    assert "more.txt: not on the list" in text


def test_a_link_is_not_followed(exact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (exact / "README.txt").unlink()
    (exact / "README.txt").symlink_to("/etc/hostname")
    code, text = verify(exact, capsys)
    assert code == 3
    assert "is a link" in text


@pytest.mark.parametrize(
    "name", ["../x", "/x", "dossier/../x", "dossier/a\\b", "dossier/c:x", "dossier//x", "x"]
)
def test_a_zip_that_leads_elsewhere_is_refused_unread(
    month: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file = Path(shutil.copy(month / "exact" / "dossier.zip", tmp_path))
    with ZipFile(file, "a") as archive:
        archive.writestr(name, b"x")
    assert verify(file, capsys)[0] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["dossier.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(
    month: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(shutil.copy(month / "exact" / "dossier.zip", tmp_path))
    with ZipFile(file, "a") as archive:
        archive.writestr("dossier/README.txt", b"x")
    code, text = verify(file, capsys)
    assert code == 3
    assert "is there twice" in text


def test_what_is_no_dossier_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    (tmp_path / "empty").mkdir()
    assert verify(tmp_path / "x.zip", capsys)[0] == 3
    assert verify(tmp_path / "empty", capsys)[0] == 2
    assert verify(tmp_path / "none", capsys)[0] == 2
    assert dossier_verify.main(["--help"]) == 2


# --- Ed25519 ----------------------------------------------------------------------------------

# RFC 8032, section 7.1: secret, public, message, signature.
VECTORS = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf"
        "9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f1"
        "1d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984d"
        "c6594a7c15e9716ed28dc027beceea1ec40a",
    ),
)


@pytest.mark.parametrize(("secret", "public_key", "message", "signature"), VECTORS)
def test_ed25519_passes_the_vectors_of_its_standard(
    secret: str, public_key: str, message: str, signature: str
) -> None:
    assert public_hex(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))) == public_key
    parts = [bytes.fromhex(part) for part in (public_key, message, signature)]
    assert good_signature(*parts)
    assert not good_signature(parts[0], parts[1] + b"x", parts[2])


def accepted(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def test_ed25519_agrees_with_the_library_on_random_signatures_and_changes() -> None:
    chance = random.Random(8032)
    for _ in range(25):
        secret = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        key, message = secret.public_key().public_bytes_raw(), chance.randbytes(20)
        signature = secret.sign(message)
        assert good_signature(key, message, signature)
        for part, length in (("key", 256), ("signature", 512)):
            bit = 1 << chance.randrange(length)
            old = key if part == "key" else signature
            new = (int.from_bytes(old, "little") ^ bit).to_bytes(len(old), "little")
            changed = (new, message, signature) if part == "key" else (key, message, new)
            assert good_signature(*changed) == accepted(*changed) is False


def test_ed25519_takes_no_second_form_of_a_signature() -> None:
    secret = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key, signature = secret.public_key().public_bytes_raw(), secret.sign(b"m")
    s = int.from_bytes(signature[32:], "little")
    for other in (s + L, s + 2 * L, 2**256 - 1):
        changed = signature[:32] + (other % 2**256).to_bytes(32, "little")
        assert not good_signature(key, b"m", changed)
        assert not accepted(key, b"m", changed)
    for cut in (signature[:-1], signature + b"\0", b""):
        assert not good_signature(key, b"m", cut)


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


# Points of order 1, 2, 4 and 8, and the second forms of some of them (y not below p, or -0).
SMALL = (
    little(1),
    little(P - 1),
    little(0),
    little(2**255),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    little(P),
    little(P + 1),
    little(2**255 + 1),
    little(2**255 + P - 1),
)


@pytest.mark.parametrize("key", SMALL, ids=[key.hex()[:8] for key in SMALL])
def test_ed25519_takes_no_key_under_which_anybody_could_sign(key: bytes) -> None:
    for s in range(8):
        nonce = dossier_verify.ZERO
        for _ in range(s):
            nonce = dossier_verify.add(nonce, BASE)
        assert not good_signature(key, b"m", dossier_verify.encoded(nonce) + little(s))


def test_ed25519_takes_no_key_that_is_no_point() -> None:
    secret = Ed25519PrivateKey.from_private_bytes(bytes(32))
    off_the_curve = [little(y) for y in range(2, 40) if dossier_verify.point(little(y)) is None]
    assert len(off_the_curve) > 5
    for key in [*off_the_curve, b"", bytes(31), bytes(33)]:
        assert not good_signature(key, b"m", secret.sign(b"m"))
