"""How fast OONI's measurements are imported, and in how much memory: ``python bench/ooni.py``.

Two files are made and imported into fresh databases by the real command, one after the other, each
in a process of its own held to one core: lines of 20 KB, and lines of 400 KB (a large page in plain
HTTP, whose body is kept). A second import of the first file shows what known lines cost, and the
same file four times as long that memory does not grow with it.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WORDS = [f"word{number}" for number in range(5000)]
_NETWORKS = 20


def text(random_: random.Random, size: int) -> str:
    """Return something that packs about as well as a page."""
    body = " ".join(random_.choices(_WORDS, k=size // 9))
    return f"<html><head><title>Page {random_.random()}</title></head><body>{body}</body></html>"


def measurement(number: int, random_: random.Random, body: int, secure: bool) -> dict[str, Any]:
    """Return a web_connectivity measurement with one page, as a newer probe writes it."""
    scheme, port = ("https", 443) if secure else ("http", 80)
    host, address = f"site{number % 1000}.org", f"93.184.{number % 250}.34"
    asn = 9000 + number % _NETWORKS
    tied = {"tags": ["depth=0", "fetch_body=true"], "transaction_id": 50001}
    chain = [base64.b64encode(random.Random(asn + i).randbytes(1500)).decode() for i in range(2)]
    shaken = {
        "network": "tcp",
        "address": f"{address}:443",
        "failure": None,
        "negotiated_protocol": "h2",
        "no_tls_verify": False,
        "peer_certificates": [{"data": one, "format": "base64"} for one in chain],
        "server_name": host,
        "tls_version": "TLSv1.3",
        "t0": 0.1,
        "t": 0.2,
        **tied,
    }
    page = {
        "network": "tcp",
        "address": f"{address}:{port}",
        "failure": None,
        "request": {"url": f"{scheme}://{host}/", "method": "GET", "headers_list": []},
        "response": {
            "code": 200,
            "body": text(random_, body),
            "body_is_truncated": False,
            "headers_list": [[f"X-Header-{i}", str(random_.random())] for i in range(15)],
        },
        "t0": 0.2,
        "t": 0.6,
        **tied,
    }
    answer = {"answer_type": "A", "ipv4": address, "asn": asn, "ttl": None}
    query = {"hostname": host, "failure": None, "answers": [answer], "t0": 0, "t": 0.02, **tied}
    return {
        "annotations": {"engine_name": "ooniprobe-engine"},
        "input": f"{scheme}://{host}/",
        "measurement_start_time": f"2024-01-{1 + number // 86400 % 28:02} "
        f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}",
        "measurement_uid": f"uid-{number}-{random_.random()}",
        "probe_asn": f"AS{asn}",
        "probe_cc": "KZ",
        "probe_network_name": "Invented Telecom",
        "report_id": f"report-{number // 100}-{asn}",
        "software_name": "ooniprobe-android",
        "software_version": "3.21.0",
        "test_name": "web_connectivity",
        "test_start_time": "2024-01-01 00:00:00",
        "test_version": "0.5.28",
        "test_keys": {
            "queries": [
                {**query, "engine": "getaddrinfo", "query_type": "ANY"},
                {**query, "engine": "udp", "query_type": "A", "resolver_address": "8.8.8.8:53"},
            ],
            "tcp_connect": [
                {"ip": address, "port": port, "status": {"failure": None, "success": True}, **tied}
            ],
            "tls_handshakes": [shaken] if secure else [],
            "requests": [page],
            "control": {
                "tcp_connect": {f"{address}:{port}": {"status": True, "failure": None}},
                "http_request": {"status_code": 200, "body_length": body, "title": "Page"},
                "dns": {"failure": None, "addrs": [address]},
            },
            "network_events": [
                {"operation": "read", "t": i / 100, "num_bytes": i, "failure": None}
                for i in range(40)
            ],
        },
    }


def write(path: Path, lines: int, body: int, secure: bool) -> int:
    """Write a file; return its size in bytes."""
    with path.open("w", encoding="utf-8") as file:
        for line in _lines(lines, body, secure):
            file.write(line)
    return path.stat().st_size


def _lines(count: int, body: int, secure: bool) -> Iterator[str]:
    random_ = random.Random(7)
    for number in range(count):
        yield json.dumps(measurement(number, random_, body, secure)) + "\n"


def run(file: Path, database: Path) -> tuple[float, float, float]:
    """Import a file on one core; return seconds, seconds of computing, and peak megabytes."""
    argv = [sys.executable, "-m", "sitewatch", "import", str(file), "--database", str(database)]
    started = time.monotonic()
    process = subprocess.Popen(argv, preexec_fn=_one_core, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - started
    if process.returncode:
        sys.exit(f"import failed: {said}")
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main() -> None:
    """Make the files, import them, print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2000, help="lines of 20 KB")
    parser.add_argument("--large", type=int, default=200, help="lines of 400 KB")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            ("20 KB lines", given.lines, 9_500, True, "small"),
            ("the same again", given.lines, 9_500, True, "small"),
            ("400 KB lines", given.large, 390_000, False, "large"),
            ("20 KB lines, four times as many", 4 * given.lines, 9_500, True, "longer"),
        ]
        for name, lines, body, secure, database in runs:
            file = Path(folder) / f"{database}.jsonl"
            size = write(file, lines, body, secure)
            took, computed, megabytes = run(file, Path(folder) / f"{database}.db")
            print(
                f"{name}: {lines} lines of {size / lines / 1000:.0f} KB in {took:.1f} s "
                f"({computed:.1f} s of computing): {lines / computed:.0f} lines and "
                f"{size / computed / 1e6:.0f} MB a second of computing, {megabytes:.0f} MB held"
            )


if __name__ == "__main__":
    main()
