"""Networks by number: building the table from a TSV, and looking addresses up in it."""

from __future__ import annotations

import gzip
from datetime import date
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.networks import Network, NetworksError, NetworksTable, build

TSV = """\
1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET
1.0.1.0\t1.0.3.255\t0\tNone\tNot routed
2.132.0.0\t2.135.255.255\t9198\tKZ\tKAZTELECOM-AS JSC Kazakhtelecom
2001:db8::\t2001:db8:0:ffff:ffff:ffff:ffff:ffff\t64496\tZZ\tDocumentation "quoted", Ünï
2a02:26f7::\t2a02:26f7:ffff:ffff:ffff:ffff:ffff:ffff\t36183\tUS\tAKAMAI-AS
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "ip2asn.tsv"
    path.write_text(TSV)
    return path


@pytest.fixture
def table(source: Path, tmp_path: Path) -> NetworksTable:
    return build(source, tmp_path / "networks.table", date(2026, 11, 1))


@pytest.mark.parametrize(
    ("address", "asn"),
    [
        ("1.0.0.0", 13335),
        ("1.0.0.255", 13335),
        ("1.0.2.1", None),  # nobody routes it
        ("1.0.4.0", None),  # after the range
        ("0.255.255.255", None),  # before the first
        ("2.134.1.2", 9198),
        ("255.255.255.255", None),
        ("::ffff:2.134.1.2", 9198),
        ("2001:db8::1", 64496),
        ("2001:db8:1::", None),
        ("::1", None),
        ("2a02:26f7:ffff:ffff:ffff:ffff:ffff:ffff", 36183),
        ("no address", None),
        ("", None),
    ],
)
def test_an_address_has_the_network_of_its_range_and_no_other(
    table: NetworksTable, address: str, asn: int | None
) -> None:
    assert table.asn_of(address) == asn


def test_country_and_name_come_along(table: NetworksTable) -> None:
    expected = Network(asn=9198, country="KZ", name="KAZTELECOM-AS JSC Kazakhtelecom")
    assert table.network_of("2.132.0.1") == expected
    documentation = table.network_of("2001:db8::1")
    assert documentation is not None
    assert documentation.name == 'Documentation "quoted", Ünï'


def test_the_table_keeps_the_date_of_its_data(table: NetworksTable, tmp_path: Path) -> None:
    assert table.date == "2026-11-01"
    assert NetworksTable(tmp_path / "networks.table").date == "2026-11-01"


def test_a_packed_source_gives_the_same_table(source: Path, tmp_path: Path) -> None:
    packed = tmp_path / "ip2asn.tsv.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    build(packed, tmp_path / "one", date(2026, 11, 1))
    build(source, tmp_path / "other", date(2026, 11, 1))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_numbers_are_read_as_addresses_too(tmp_path: Path) -> None:
    source = tmp_path / "u32.tsv"
    source.write_text("16777216\t16777471\t13335\tUS\tCLOUDFLARENET\n")
    assert build(source, tmp_path / "table").asn_of("1.0.0.1") == 13335


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1.0.0.0\t1.0.0.255\t13335\tUS", "4 columns"),
        ("1.0.0.0\tnowhere\t13335\tUS\tX", "no address"),
        ("1.0.0.9\t1.0.0.1\t13335\tUS\tX", "ends before it begins"),
        ("1.0.0.0\t2001:db8::\t13335\tUS\tX", "ends before it begins"),
        ("1.0.0.0\t1.0.0.255\tAS13335\tUS\tX", "no AS number"),
        ("1.0.0.0\t1.0.0.255\t4294967296\tUS\tX", "no AS number"),
        ("1.0.0.0\t1.0.0.255\t13335\tUS\t" + "x" * 5000, "longer than any real table"),
    ],
)
def test_a_bad_line_is_one_clear_error_and_the_old_table_stays(
    source: Path, table: NetworksTable, tmp_path: Path, line: str, complaint: str
) -> None:
    source.write_text(TSV + line + "\n")
    with pytest.raises(NetworksError) as caught:
        build(source, tmp_path / "networks.table")
    message = str(caught.value)
    assert message.startswith(f"{source}, line 6: ")
    assert complaint in message
    assert NetworksTable(tmp_path / "networks.table").asn_of("1.0.0.1") == 13335
    assert not list(tmp_path.glob("*.partial"))


def test_ranges_that_overlap_are_refused(source: Path, tmp_path: Path) -> None:
    source.write_text(TSV + "1.0.0.128\t1.0.0.200\t1\tUS\tX\n")
    with pytest.raises(NetworksError, match=r"two ranges claim 1\.0\.0\.128"):
        build(source, tmp_path / "table")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8bbroken", b"\n\n", b"\xff\xfe\0"])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    with pytest.raises(NetworksError, match="source"):
        build(source, tmp_path / "table")
    with pytest.raises(NetworksError, match="not a table"):
        NetworksTable(source)


def test_a_table_that_was_cut_off_is_refused(table: NetworksTable, tmp_path: Path) -> None:
    whole = (tmp_path / "networks.table").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NetworksError, match="cut off"):
        NetworksTable(tmp_path / "cut")


@settings(max_examples=60, deadline=None)
@given(
    edges=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=40, unique=True),
    asked=st.integers(0, 2**32 - 1),
)
def test_look_ups_agree_with_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory, edges: list[int], asked: int
) -> None:
    edges.sort()
    ranges = list(zip(edges[::2], edges[1::2], strict=False))
    folder = tmp_path_factory.mktemp("networks")
    lines = [f"{first}\t{last}\t{asn}\tKZ\tX\n" for asn, (first, last) in enumerate(ranges, 1)]
    (folder / "source").write_text("".join(lines))
    table = build(folder / "source", folder / "table")
    for number in (asked, *edges):
        expected = [asn for asn, (low, high) in enumerate(ranges, 1) if low <= number <= high]
        assert table.asn_of(str(IPv4Address(number))) == (expected[0] if expected else None)
