"""Reading OONI's measurements: whose they are, the line they were made on, and their evidence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reports.cases import gather
from reports.verdicts import judge
from sitewatch.ooni_files import import_ooni
from storage.records import (
    canonical,
)
from storage.store import Store
from tests.ooni_fixtures import (
    PAGE,
    handshake,
    legacy,
    line,
    measurement,
    modern,
    query,
    request,
    untied,
)
from tests.ooni_reading import taken, verdict


def test_the_record_says_whose_measurement_it_is() -> None:
    found = taken(modern())
    record, round = found.measurement, found.round
    assert record.tool == round.tool == "miniooni 3.21.0"
    assert record.source_id == "20240123143207.000001_KZ_webconnectivity_0123456789abcdef"
    assert round.source_id == "20240123T143157Z_webconnectivity_KZ_9198_n1_AAAAAAAAAAAAAAAA"
    assert record.time == "2024-01-23T14:32:07.000000Z"
    assert round.time == "2024-01-23T14:31:57.000000Z"
    assert (record.vantage.country, record.vantage.asn) == ("KZ", 9198)
    assert record.vantage.source == "ooni"
    assert record.line.resolver_asn == 9198
    assert record.simulated is False


def test_the_measurements_of_one_report_share_their_round() -> None:
    first = taken(modern())
    second = taken(modern(), measurement_start_time="2024-01-23 14:33:00", input="http://b.org/")
    assert first.measurement.round == second.measurement.round
    assert taken(modern(), report_id="another").measurement.round != first.measurement.round


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"probe_asn": "AS0"}, ("KZ", None)),
        ({"probe_asn": "AS99999999999"}, ("KZ", None)),
        ({"probe_cc": "ZZ"}, (None, 9198)),
        ({"probe_cc": "kz; DROP", "probe_asn": 9198}, (None, None)),
    ],
)
def test_a_network_that_is_not_told_is_not_known(
    changes: dict[str, Any], expected: tuple[str | None, int | None]
) -> None:
    seen = taken(modern(), **changes).measurement.vantage
    assert (seen.country, seen.asn) == expected


def test_the_volunteers_own_address_of_old_files_is_not_kept() -> None:
    page = f"{PAGE} for 198.51.100.7 only, not 198.51.100.70"
    keys = modern(
        requests=[request("http://site.org/", body=page, headers=[["X-For", "198.51.100.7"]])]
    )
    found = taken(keys, probe_ip="198.51.100.7", input="http://site.org/")
    kept = canonical(found.measurement) + b"".join(found.blobs.values())
    assert not re.search(rb"198\.51\.100\.7(?!0)", kept)
    assert b"[scrubbed] only, not 198.51.100.70" in kept
    assert b"192.0.2.53" not in kept  # nor its resolver's


def test_a_line_on_which_nothing_answered_was_not_up() -> None:
    dead = query(failure="generic_timeout_error", t=4.0)
    keys = modern(
        queries=[dead],
        tcp_connect=[],
        tls_handshakes=[],
        requests=[],
        control=None,
        control_failure="unknown_failure: network is down",
    )
    assert verdict(keys).status == "offline"
    refused = keys | {"queries": [query(failure="dns_nxdomain_error")]}
    assert verdict(refused).status == "inconclusive"


# --- evidence of several measurements --------------------------------------------------------


def test_a_neighbouring_network_makes_a_repeated_failure_a_block(tmp_path: Path) -> None:
    blocked = legacy(
        tls_handshakes=[untied(handshake, "connection_reset")],
        requests=[untied(request, failure="connection_reset", response=None)],
        x_status=1024,
    )
    file = tmp_path / "two.jsonl"
    elsewhere = {"probe_asn": "AS29555", "report_id": "other", "measurement_uid": "other"}
    later = {"measurement_start_time": "2024-01-23 15:00:00"}
    file.write_bytes(line(measurement(blocked)) + line(measurement(modern(), **elsewhere, **later)))
    with Store(tmp_path / "s.db") as store:
        import_ooni(store, file)
        verdicts = {c.measurement.vantage.asn: judge(c) for c in gather(store.measurements())}
    assert (verdicts[9198].status, verdicts[9198].certainty) == ("blocked", "likely")
    assert verdicts[9198].rules == ["two-witnesses"]
    assert verdicts[29555].status == "accessible"
