"""The estimate of bytes on the line, against sockets that were counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.network import World
from lab.scenario import load_scenario
from sitewatch.traffic import bytes_of_record
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    HelperAnswer,
    Line,
    Lookup,
    Measurement,
    Quic,
    Reply,
    Step,
    Vantage,
)
from storage.store import Store

NOON = "2026-11-23T12:00:00.000000Z"
START: Any = {"start": NOON, "duration_us": 1}
AT: Any = {"connection": 1, "address": "192.0.2.1", **START}


def measurement(*steps: Step, helpers: int = 0) -> Measurement:
    return Measurement(
        simulated=True,
        tool="test",
        url="https://watched.example/",
        time=NOON,
        round="sha256:" + "0" * 64,
        vantage=Vantage(id="0" * 32),
        line=Line(state="up"),
        steps=list(steps),
        helpers=[HelperAnswer(helper="h", answered=True, **START) for _ in range(helpers)],
    )


def test_nothing_done_is_nothing_used() -> None:
    assert bytes_of_record(measurement()) == 0


def test_each_kind_of_step_counts_with_what_it_carried() -> None:
    lookup = Lookup(name="n", type="A", resolver="udp", replies=[Reply(after_us=1)], **START)
    encrypted = Lookup(name="n", type="A", resolver="https://dns.example/", **START)
    connect = Connect(port=443, **AT)
    handshake = Handshake(port=443, server_name="n", hello_bytes=517, bytes_received=4500, **AT)
    page = Exchange(url="u", status=200, body_bytes=20_000, **AT)
    sizes = [bytes_of_record(measurement(step)) for step in (connect, lookup, encrypted)]
    assert sizes == sorted(sizes)
    assert 5017 < bytes_of_record(measurement(handshake)) < 7000
    assert 20_000 < bytes_of_record(measurement(page)) < 24_000
    assert bytes_of_record(measurement(lookup, page)) == sizes[1] + bytes_of_record(
        measurement(page)
    )
    assert bytes_of_record(measurement(helpers=2)) == 24_000


def test_a_page_that_was_cut_off_counts_what_was_on_its_way() -> None:
    whole = Exchange(url="u", status=200, body_bytes=32_768, **AT)
    cut = Exchange(url="u", status=200, body_bytes=32_768, truncated=True, **AT)
    assert bytes_of_record(measurement(cut)) > bytes_of_record(measurement(whole)) + 30_000


def test_many_requests_and_quic_count_what_they_cost() -> None:
    one = Exchange(url="u", status=200, wire_bytes=40_000, **AT)
    many = Exchange(url="u", status=200, wire_bytes=40_000, requests=100, **AT)
    assert bytes_of_record(measurement(many)) > bytes_of_record(measurement(one)) + 60_000
    shared: Any = {"address": "192.0.2.7", "port": 443, "server_name": "u", **START}
    silent, answered = (Quic(datagrams_received=count, **shared) for count in (0, 4))
    assert 1200 < bytes_of_record(measurement(silent)) < bytes_of_record(measurement(answered))


@pytest.mark.lab
def test_the_estimate_covers_what_the_kernel_counted_in_the_lab(tmp_path: Path) -> None:
    scenario = load_scenario("plain")
    count = (
        "import pathlib,subprocess,sys\n"
        "def total():\n"
        "    rows = pathlib.Path('/proc/net/dev').read_text().splitlines()[2:]\n"
        "    parts = [row.replace(':', ' ').split() for row in rows]\n"
        "    return sum(int(p[1]) + int(p[9]) for p in parts if p[0] != 'lo')\n"
        "before = total()\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(total() - before)\n"
    )
    database = tmp_path / "s.db"
    argv = [sys.executable, "-m", "sitewatch", "measure", "--json", "--database", str(database)]
    with World(scenario, seed=3) as world:
        process = world.popen(
            world.clients[0],
            [sys.executable, "-c", count, *argv, *scenario.targets[:1]],
            stdout=subprocess.PIPE,
        )
        output, _ = process.communicate(timeout=60)
    counted = int(output)
    with Store(database, create=False) as store:
        estimate = sum(bytes_of_record(stored.record) for stored in store.rounds())
        estimate += sum(bytes_of_record(stored.record) for stored in store.measurements())
    assert counted > 1000
    assert counted * 0.8 < estimate < counted * 3, (counted, estimate)
