"""The stamp of documents: the newest data's corrected time, whenever it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sitewatch.cli import group
from sitewatch.stamps import stamp, stamp_of
from storage.records import Line
from storage.store import Store
from tests.test_import import filled


@pytest.mark.parametrize(
    ("newest", "exact", "public"),
    [
        (1497935000.25, "2017-06-20T05:03:20.250000Z", "2017-06-20T05:10:00.000000Z"),
        (1497934800.0, "2017-06-20T05:00:00.000000Z", "2017-06-20T05:00:00.000000Z"),
        (None, "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_a_public_stamp_is_rounded_up(newest: float | None, exact: str, public: str) -> None:
    assert (stamp(newest, exact=True), stamp(newest, exact=False)) == (exact, public)


def test_the_newest_is_so_by_corrected_time(tmp_path: Path) -> None:
    day_ahead = Line(state="up", clock_offset_us=-86_400_000_000)
    filled(tmp_path / "x.db", 100, 50)
    with Store(tmp_path / "x.db") as store:
        newest = stamp_of(store, exact=True)
    filled(tmp_path / "x.db", 2000, line=day_ahead)  # later only by a clock that is a day ahead
    with Store(tmp_path / "x.db") as store:
        assert stamp_of(store, exact=True) == newest
        assert max(one.record.time for one in store.measurements()) > newest


def test_of_a_csv_it_is_the_newest_readings(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    path.write_text(
        "time,url,country,asn,status,layer,technique\n"
        "2017-06-20T05:03:00Z,https://site.example/,KZ,64500,accessible,,\n"
        "2017-06-19T05:03:00Z,https://site.example/,KZ,64500,accessible,,\n"
    )
    arguments = ["episodes", "--from-verdicts", str(path), "--json", "--exact"]
    told = [CliRunner().invoke(group, arguments, prog_name="sitewatch").stdout for _ in range(2)]
    assert json.loads(told[0])["generated"] == "2017-06-20T05:03:00.000000Z"
    assert told[0] == told[1]
