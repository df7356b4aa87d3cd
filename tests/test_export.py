"""sitewatch export: what is published points at nobody, and what is exact is complete."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from sitewatch.cli import group
from storage import derived_records, records
from storage.bundle import Derived, Key
from storage.derived_records import accept_derived, derive
from storage.intake import accept_made
from storage.records import (
    Exchange,
    Handshake,
    HelperAnswer,
    HelperExchange,
    Line,
    Lookup,
    Measurement,
    Record,
    Reply,
    Vantage,
    Walk,
    WalkHop,
    canonical,
    corrected_seconds,
    digest,
    utc_seconds,
    utc_text,
)
from storage.store import Store
from storage.train_dictionary import Invention
from tests.bundles import bundle_of, unpacked, verified
from tests.month import NETWORKS, write_month
from tests.test_import import START, execute, filled, measured

DOCS = Path(__file__).parent.parent / "docs"
BLOB = "sha256:" + "5" * 64


def run(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(group, [str(one) for one in arguments], prog_name="sitewatch")
    assert result.exit_code == code, result.output
    return result


def derived(record: Record) -> dict[str, Any]:
    document = json.loads(derive(accept_made(record)))
    assert isinstance(document, dict)
    return document


# --- what a derived record keeps to itself -------------------------------------------------------

TELLING = Measurement(
    simulated=False,
    tool="sitewatch 0.1.0",
    url="https://watched.example/?page=1",
    time="2017-06-20T05:07:12.345678Z",
    round="sha256:" + "a" * 64,
    vantage=Vantage(id="a" * 32, country="KZ", asn=64500, network="Invented Telecom"),
    line=Line(state="up", clock_offset_us=987_654, ipv4=True),
    steps=[
        Lookup(
            name="watched.example",
            type="A",
            resolver="system",
            answers=["192.0.2.1"],
            replies=[Reply(after_us=9123, ip_ttl=57, rcode=0, answers=["192.0.2.1"], raw=BLOB)],
            start="2017-06-20T05:07:12.345999Z",
            duration_us=9_123,
        ),
        Handshake(
            connection=1,
            address="192.0.2.1",
            port=443,
            server_name="watched.example",
            failure="generic_timeout_error",
            start="2017-06-20T05:07:13.111111Z",
            duration_us=10_000_321,
        ),
        Exchange(
            connection=2,
            hop=1,
            url="http://portal.example/login?mac=00-53-00-12-34-56",
            address="192.0.2.2",
            status=302,
            headers=[
                ("Date", "Tue, 20 Jun 2017 05:07:14 GMT"),
                ("Set-Cookie", "session=0053001234567890"),
                ("X-Request-Id", "0053-0012"),
                ("Server", "nginx"),
                ("Location", "http://user:secret@blocked.example/page?serial=0053#0053"),
            ],
            body=BLOB,
            body_sha256="6" * 64,
            start="2017-06-20T05:07:14.222222Z",
            duration_us=55_555,
        ),
    ],
    helpers=[
        HelperAnswer(
            helper="https://helper.example/",
            answered=True,
            exchange=HelperExchange(status=200, headers={"Date": "0053", "Server": "nginx"}),
            start="2017-06-20T05:07:12.444444Z",
            duration_us=1_234_567,
        )
    ],
)


def test_nothing_that_points_at_the_volunteer_is_published() -> None:
    text = json.dumps(derived(TELLING))
    for telling in (
        *("345678", "345999", "111111", "222222", "444444"),  # moments
        *("05:07", "05:08", "987654", "1234567", "55555", "9123"),  # clocks and durations
        *("0053", "00-53", "secret", "session", "Request-Id"),  # serial numbers of the visit
        BLOB,
    ):
        assert telling not in text, telling
    assert text.count("2017-06-20T05") == 2  # from and until


def test_what_tells_of_blocking_is_published() -> None:
    document = derived(TELLING)
    lookup, handshake, exchange = document["steps"]
    assert lookup["replies"] == [
        {"after_ms": 9, "ip_ttl": None, "rcode": 0, "answers": ["192.0.2.1"]}
    ]
    assert handshake["failure"] == "generic_timeout_error"
    assert handshake["duration_ms"] == 10_000
    assert exchange["headers"] == [["Server", "nginx"], ["Location", "http://blocked.example/page"]]
    assert exchange["url"] == "http://portal.example/login"
    assert document["url"] == "https://watched.example/?page=1"
    assert document["vantage"]["network"] == "Invented Telecom"
    assert document["helpers"][0]["exchange"]["headers"] == {"Server": "nginx"}


def test_only_of_the_system_s_resolver_the_distance_is_left_out() -> None:
    step = msgspec.structs.replace(TELLING.steps[0], resolver="udp", address="192.0.2.53")
    record = msgspec.structs.replace(TELLING, steps=[step])
    assert derived(record)["steps"][0]["replies"][0]["ip_ttl"] == 57


def test_of_a_walk_only_the_networks_on_the_way_are_published() -> None:
    asns = (64500, 64500, 64501)
    walk = Walk(
        method="syn",
        address="192.0.2.1",
        port=443,
        hops=[
            WalkHop(ttl=5 + number, answer="router", asn=asn, after_us=5321)
            for number, asn in enumerate(asns)
        ],
        silent_from=8,
        last_router=7,
        start="2017-06-20T05:07:12.345999Z",
        duration_us=3_000_000,
    )
    (step,) = derived(msgspec.structs.replace(TELLING, steps=[walk]))["steps"]
    assert step["hops"] == [{"answer": "router", "asn": 64500}, {"answer": "router", "asn": 64501}]
    assert not {"silent_from", "last_router", "answered_at"} & step.keys()


def test_the_targets_own_address_is_published_whole() -> None:
    step = msgspec.structs.replace(TELLING.steps[2], url=TELLING.url)
    record = msgspec.structs.replace(TELLING, steps=[step])
    assert derived(record)["steps"][0]["url"] == TELLING.url


def test_a_field_that_is_new_to_records_stays_private_until_it_is_listed() -> None:
    class Later(Measurement, frozen=True, kw_only=True):
        own_network_name: str

    later = Later(**msgspec.structs.asdict(TELLING), own_network_name="Aigul's home")
    assert "own_network_name" not in derived(later)


def test_every_listed_field_is_one_that_records_have() -> None:
    known = {
        name
        for value in vars(records).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct)
        for name in value.__struct_fields__
    } | {"kind"}
    lists = [
        getattr(derived_records, name)
        for name in vars(derived_records)
        if isinstance(getattr(derived_records, name), tuple)
    ]
    assert len(lists) > 9
    assert not {name for names in lists for name in names} - known


@settings(deadline=None)
@given(st.floats(1.3e9, 1.9e9), st.integers(-(10**10), 10**10) | st.none(), st.integers(0, 10**9))
def test_times_are_rounded_outward_to_ten_minutes(
    start: float, offset: int | None, duration: int
) -> None:
    step = msgspec.structs.replace(TELLING.steps[0], start=utc_text(start), duration_us=duration)
    record = msgspec.structs.replace(
        TELLING, time=utc_text(start), line=Line(state="up", clock_offset_us=offset), steps=[step]
    )
    document = derived(record)
    earliest, latest = utc_seconds(document["time"]), utc_seconds(document["until"])
    begun = corrected_seconds(record)
    assert earliest % 600 == latest % 600 == 0
    assert earliest <= begun
    assert begun + duration / 1e6 <= latest + 1e-3
    assert begun - earliest < 600
    assert latest - earliest <= duration / 1e6 + 1200
    assert latest > earliest


@pytest.mark.parametrize("seed", range(20))
def test_every_derived_record_is_sound_and_names_its_original(seed: int) -> None:
    sound = accept_made(Invention(seed).record())
    accepted = accept_derived(derive(sound))
    assert accepted.of == sound.id
    assert accepted.kind == sound.kind


# --- public bundles ------------------------------------------------------------------------------


def test_a_public_bundle_tells_neither_order_nor_chain_nor_keys(tmp_path: Path) -> None:
    pieces = unpacked(bundle_of(filled(tmp_path / "a.db", *range(30)), exact=False))
    assert not any(isinstance(item, Key) for item, _ in pieces)
    documents = [
        json.loads(content or b"") for item, content in pieces if isinstance(item, Derived)
    ]
    originals = [document["of"] for document in documents]
    assert originals == sorted(originals)
    with Store(tmp_path / "a.db") as store:
        in_time = [stored.id for stored in store.measurements()]
    assert sorted(in_time) == originals != in_time
    assert b"sequence" not in b"".join(content or b"" for _, content in pieces)


def test_export_keys_last_and_do_not_tie_vantages_together(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2)
    with Store(database) as store:
        other = store.own_vantage(country="KG", asn=64511, network="Elsewhere")
        store.add(measured(store, 3, vantage=other)).result()
    export = bundle_of(database, exact=False)
    one = {publisher.vantage: publisher.key for publisher in verified(export).publishers}
    export.unlink()
    two = {
        publisher.vantage: publisher.key
        for publisher in verified(bundle_of(database, exact=False)).publishers
    }
    assert one == two
    assert len(set(one.values())) == 2


def test_derived_records_of_others_are_signed_by_who_exports_them(tmp_path: Path) -> None:
    a, b = filled(tmp_path / "a.db", 1), filled(tmp_path / "b.db", 2)
    with Store(tmp_path / "x.db") as store:
        store.import_database(a)
        store.import_database(b)
    publishers = verified(bundle_of(tmp_path / "x.db", exact=False)).publishers
    assert len({publisher.key for publisher in publishers}) == 1
    assert len(publishers) == 2


# --- JSON Lines and CSV --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_month(
        tmp_path_factory.mktemp("month") / "a.db",
        first="2017-06-19",
        last="2017-06-19",
        networks=NETWORKS[:1],
        sites=("foreignpolicy.com", "aral-notes.example"),
    )


def test_exact_lines_are_the_originals_with_id_and_verdict(tmp_path: Path, month: Path) -> None:
    output = tmp_path / "all.jsonl"
    run("export", "--database", month, "--json", "--exact", output)
    documents = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    for name in ("measurement", "round"):
        schema = json.loads((DOCS / f"{name}.schema.json").read_text("utf-8"))
        of_kind = [one for one in documents if one["format"] == f"sitewatch-{name}/1"]
        assert of_kind
        validator = jsonschema.Draft202012Validator(schema)
        for document in of_kind[:5]:  # validating takes long
            validator.validate(document)
    for document in documents:
        id, verdict = document.pop("id"), document.pop("verdict")
        assert digest(canonical(document)) == id
        judged = document["format"] == "sitewatch-measurement/1" and not document["follows"]
        assert (verdict is not None) == judged
    assert {"blocked", "accessible"} <= {
        json.loads(line)["verdict"]["status"]
        for line in output.read_text("utf-8").splitlines()
        if json.loads(line)["verdict"]
    }


def test_public_lines_go_to_stdout_and_are_derived(month: Path) -> None:
    lines = run("export", "--database", month, "--json", "-").stdout.splitlines()
    assert lines
    for line in lines:
        document = json.loads(line)
        id = document.pop("id")
        document.pop("verdict")
        assert accept_derived(canonical(document)).of
        assert digest(canonical(document)) == id


def test_the_csv_gives_the_episodes_of_the_database(tmp_path: Path, month: Path) -> None:
    table = tmp_path / "verdicts.csv"
    run("export", "--database", month, "--format", "csv", "--exact", table)
    from_csv = json.loads(run("episodes", "--from-verdicts", table, "--json").stdout)
    whole = json.loads(run("episodes", "--database", month, "--json", "--exact").stdout)
    keys = ("url", "country", "asn", "status", "onset_earliest", "onset_latest", "blocked")
    (one,), (other,) = from_csv["episodes"], whole["episodes"]
    assert {key: one[key] for key in keys} == {key: other[key] for key in keys}


def test_the_public_csv_has_rounded_times_and_tells_no_order(month: Path) -> None:
    text = run("export", "--database", month, "--format", "csv", "-").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows == sorted(rows, key=lambda row: list(row.values()))
    assert all(row["time"][15:] == "0:00.000000Z" for row in rows)


# --- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--root", "file"),
        ("--since", "yesterday", "file"),
        ("--until", "2017-06-31", "file"),
        ("--until", "9999-12-31", "file"),
        ("--country", "Kazakhstan", "file"),
        ("--recipient", "age1x", "--json", "file"),
        ("--format", "xml", "file"),
    ],
)
def test_a_wrong_command_line_is_told_and_writes_nothing(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    database = filled(tmp_path / "a.db", 1)
    words = [str(tmp_path / word) if word == "file" else word for word in arguments]
    run("export", "--database", database, *words, code=2)
    assert not (tmp_path / "file").exists()


def test_what_cannot_be_done_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    database, target = filled(tmp_path / "a.db", 1), tmp_path / "file"
    for arguments in (
        ("--database", tmp_path / "none.db", target),
        ("--database", database, "--country", "SE", target),
        ("--database", database, "--country", "SE", "--json", target),
        ("--database", database, "--country", "SE", "--format", "csv", target),
        ("--database", database, "--recipient", "age1nonsense", target),
        ("--database", database, tmp_path / "no folder" / "file"),
    ):
        result = run("export", *arguments, code=1)
        assert result.stderr.startswith("sitewatch: ")
        assert result.stderr.count("\n") == 1
        assert not list(tmp_path.glob("file*"))


def test_days_are_whole_and_the_last_is_included(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 10, 86_400 + 10, 2 * 86_400 + 10)
    assert utc_text(START)[:10] == "2017-06-20"
    target = tmp_path / "b"
    run(
        *("export", "--database", database, "--exact"),
        *("--since", "2017-06-20", "--until", "2017-06-21", target),
    )
    (chain,) = verified(target).chains
    assert (chain.first, chain.last) == (1, 2)


def test_damage_in_the_database_is_told_and_the_rest_is_written(tmp_path: Path) -> None:
    database = filled(tmp_path / "a.db", 1, 2)
    execute(database, "UPDATE records SET canonical = x'00' WHERE number = 1")
    for number, how in enumerate((["--exact"], [])):
        target = tmp_path / str(number)
        result = run("export", "--database", database, *how, target, code=1)
        assert "1 records" in result.stderr
        assert "left out: record sha256:" in result.stderr
        assert target.exists()
