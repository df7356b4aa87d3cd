"""sitewatch data update-networks, and the vantage that its table gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sitewatch.cli import group
from sitewatch.config import load_config
from sitewatch.networks import identifier, open_table
from storage.networks import NetworksTable
from storage.store import Store

TSV = "2.132.0.0\t2.135.255.255\t9198\tKZ\tKAZTELECOM-AS\n"


@pytest.fixture
def config(config_folder: Path) -> Path:
    path = config_folder / "sitewatch.toml"
    path.write_text("")
    return path


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = TSV.encode() if self.path == "/table.tsv" else b"no table at all\n"
            self.send_response(404 if self.path == "/missing" else 200)
            self.send_header("Last-Modified", "Sun, 01 Nov 2026 06:00:00 GMT")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def update(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        group, ["data", "update-networks", "--config", str(config), *arguments]
    )


def test_a_file_becomes_the_table_beside_the_configuration(config: Path, tmp_path: Path) -> None:
    (tmp_path / "ip2asn.tsv").write_text(TSV)
    done = update(config, str(tmp_path / "ip2asn.tsv"))
    assert done.exit_code == 0, done.output
    table = open_table(load_config(config, {}))
    assert table is not None
    assert table.asn_of("2.133.1.1") == 9198


def test_a_url_is_fetched_with_consent_and_its_date_kept(config: Path, url: str) -> None:
    done = update(config, "--consent", f"{url}/table.tsv")
    assert done.exit_code == 0, done.output
    assert NetworksTable(config.parent / "networks.table").date == "2026-11-01"
    assert [path.name for path in config.parent.iterdir() if path != config] == ["networks.table"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{url}/table.tsv"], "--consent"),
        (["--consent", "{url}/missing"], "cannot be fetched"),
        (["--consent", "{url}/other"], "line 1"),
        (["--consent", "ftp://127.0.0.1/table.tsv"], "not a URL"),
        (["no-such-file.tsv"], "no-such-file.tsv"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    config: Path, url: str, arguments: list[str], complaint: str
) -> None:
    done = update(config, *(argument.format(url=url) for argument in arguments))
    assert done.exit_code == 1
    assert complaint in done.output
    assert "Traceback" not in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert list(config.parent.iterdir()) == [config]


def test_the_vantage_is_named_by_the_table_where_the_configuration_leaves_it_out(
    config: Path, tmp_path: Path
) -> None:
    (tmp_path / "ip2asn.tsv").write_text(TSV)
    update(config, str(tmp_path / "ip2asn.tsv"))
    read = load_config(config, {})
    table = open_table(read)
    assert table is not None
    with Store(str(tmp_path / "own.db")) as store:
        identify = identifier(read, store, table)
        unknown, known = identify(None), identify(table.network_of("2.133.1.1"))
    assert (unknown.country, unknown.asn, unknown.network) == (None, None, None)
    assert (known.country, known.asn, known.network) == ("KZ", 9198, "KAZTELECOM-AS")
    assert known.networks_table == table.date
    assert known.id != unknown.id


def test_what_the_configuration_says_of_the_vantage_stays(config: Path, tmp_path: Path) -> None:
    config.write_text('[vantage]\ncountry = "KG"\nasn = 64500\nnetwork = "Own words"\n')
    (tmp_path / "ip2asn.tsv").write_text(TSV)
    update(config, str(tmp_path / "ip2asn.tsv"))
    read = load_config(config, {})
    table = open_table(read)
    assert table is not None
    with Store(str(tmp_path / "own.db")) as store:
        vantage = identifier(read, store, table)(table.network_of("2.133.1.1"))
    assert (vantage.country, vantage.asn, vantage.network) == ("KG", 64500, "Own words")
    assert vantage.networks_table is None
