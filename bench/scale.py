"""How long episodes of millions of verdicts take, from arrays and out of a database.

    python -m bench.episodes --scale             from arrays
    python -m bench.scale --database FILE        by the real command; FILE is made if need be

The database has 4-hourly verdicts of 200 sites on 35 networks, a tenth of the series blocked for a
while, written through the schema of `storage` without its checks: all measurements share the bytes
of one record, so that rows are as wide as real ones, and nothing is signed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from bench.histories import HOUR, START
from reports.regime_runs import runs_of
from reports.regimes import regimes_of
from reports.rules import RULES_VERSION
from reports.verdict_arrays import LIKELY, OPEN, VerdictArrays
from storage.compression import RECORD_CODEC, compress_record
from storage.outcomes import short
from storage.records import Round, Verdict, canonical, utc_text
from storage.store import Store
from tests.cases import FIELD, UP, loads, measurement

SERIES, EACH, SITES = 7000, 715, 200
_AT_ONCE = 20_000


def from_arrays() -> None:
    """Time the analysis of 5,005,000 verdicts in 7,000 series from arrays."""
    data = many(SERIES, EACH)
    begin, processor = time.perf_counter(), time.process_time()
    found = runs_of(data, regimes_of(data))
    took, processor = time.perf_counter() - begin, time.process_time() - processor
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{len(data.kind):,} verdicts in {len(data.site):,} series: {len(found):,} runs")
    print(f"{took:.1f} s from arrays ({processor:.1f} s of one processor), {memory:.2f} GB at most")


def many(series: int, each: int) -> VerdictArrays:
    """4-hourly verdicts, 0.3 % stray failures, a tenth of the series blocked for ten days."""
    rng = np.random.default_rng(1)
    number = np.repeat(np.arange(series), each)
    position = np.tile(np.arange(each), series)
    kind = np.where(rng.random(series * each) < 0.003, LIKELY, OPEN).astype(np.int8)
    begin = rng.integers(0, each, series)
    held = (number % 10 == 0) & (position >= begin[number]) & (position < begin[number] + 60)
    kind[held] = LIKELY
    return VerdictArrays(
        series=number,
        seconds=START + position * 4 * HOUR + rng.uniform(0, 600, series * each),
        vantage=number // SITES,
        kind=kind,
        site=np.arange(series) % SITES,
        network=np.arange(series) // SITES,
        country=np.zeros(series, dtype=np.int64),
    )


# --- a database of that ---------------------------------------------------------------------------


def fill(path: Path) -> None:
    """Make the database, which must not be there."""
    Store(path).close()
    data = many(SERIES, EACH)
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -600000"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute("BEGIN")
    connection.execute("INSERT INTO database_kind VALUES (1, 0)")
    _fill_small(connection)
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'records' "
        "AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"')
    _insert(connection, "records", _RECORD, _rounds())
    rows = _Rows(data)
    _insert(connection, "records", _RECORD, rows.records())
    _insert(connection, "verdicts", _VERDICT, rows.verdicts())
    _insert(connection, "outcomes", _OUTCOME, rows.outcomes())
    for _, sql in indexes:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.close()


_RECORD = (
    *("number", "id", "kind", "time", "vantage", "country", "asn", "vantage_kind", "network"),
    *("url", "round", "line", "complete", "codec", "canonical"),
)
_VERDICT = (
    *("record", "rules_version", "inputs", "status", "layer", "technique", "certainty"),
    *("verdict", "fixed"),
)
_OUTCOME = ("series", "seconds", "id", "round", "conclusion")


def _insert(
    connection: sqlite3.Connection,
    table: str,
    names: tuple[str, ...],
    rows: Iterator[tuple[object, ...]],
) -> None:
    places = ", ".join("?" * len(names))
    connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", rows)


def _hash(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def _vantage(number: int) -> tuple[bytes, str, int, str, str]:
    return _hash("vantage", number)[:16], "KZ", 64500 + number, "field", f"Network {number}"


def _url(series: int) -> str:
    return f"https://site-{series % SITES}.example/"


def _round_id(network: int, position: int) -> bytes:
    return _hash("round", network, position)


def _fill_small(connection: sqlite3.Connection) -> None:
    """The series, and the conclusions: open, and blocked."""
    made = (
        (number + 1, _url(number), *(_vantage(number // SITES)[i] for i in (0, 3, 1, 2, 4)))
        for number in range(SERIES)
    )
    names = ("number", "url", "vantage", "vantage_kind", "country", "asn", "network")
    _insert(connection, "series", names, made)
    names = ("number", "rules_version", "fixed", "status", "layer", "technique", "certainty")
    conclusions = (
        (1, RULES_VERSION, 0, "accessible", None, None, None),
        (2, RULES_VERSION, 0, "blocked", "tls", "timeout", "likely"),
    )
    _insert(connection, "conclusions", names, iter(conclusions))


def _rounds() -> Iterator[tuple[object, ...]]:
    first = utc_text(START)
    bytes_ = compress_record(
        canonical(
            Round(
                simulated=False,
                tool="sitewatch 0.1.0",
                time=first,
                vantage=FIELD,
                line=UP,
                targets=SITES,
            )
        )
    )
    for network in range(SERIES // SITES):
        for position in range(EACH):
            time = utc_text(START + position * 4 * HOUR - 5)
            number = SERIES * EACH + network * EACH + position + 1
            id = _round_id(network, position)
            more = (None, None, "up", 1, RECORD_CODEC, bytes_)
            yield (number, id, "round", time, *_vantage(network), *more)


class _Rows:
    """The rows of the measurements, by series and time."""

    def __init__(self, data: VerdictArrays) -> None:
        self._seconds = data.seconds.tolist()
        self._kinds = data.kind.tolist()
        self._bytes = compress_record(canonical(measurement(loads())))

    def records(self) -> Iterator[tuple[object, ...]]:
        vantages = [_vantage(number) for number in range(SERIES // SITES)]
        for row, seconds in enumerate(self._seconds):
            series, position = divmod(row, EACH)
            network = series // SITES
            more = (_url(series), _round_id(network, position), "up", 1, RECORD_CODEC, self._bytes)
            who = vantages[network]
            yield (row + 1, _hash(row), "measurement", utc_text(seconds), *who, *more)

    def verdicts(self) -> Iterator[tuple[object, ...]]:
        told = {
            OPEN: Verdict(rules_version=RULES_VERSION, status="accessible", reasons=["It opened."]),
            LIKELY: Verdict(
                rules_version=RULES_VERSION,
                status="blocked",
                layer="tls",
                technique="timeout",
                certainty="likely",
                reasons=["The connection fell silent after the name was sent, and not elsewhere."],
            ),
        }
        made = {
            kind: (v.status, v.layer, v.technique, v.certainty, msgspec.json.encode(v).decode(), 0)
            for kind, v in told.items()
        }
        inputs = _hash("inputs")
        for row, kind in enumerate(self._kinds):
            yield (row + 1, RULES_VERSION, inputs, *made[kind])

    def outcomes(self) -> Iterator[tuple[object, ...]]:
        rounds = [
            [short("sha256:" + _round_id(n, p).hex()) for p in range(EACH)]
            for n in range(SERIES // SITES)
        ]
        for row, (seconds, kind) in enumerate(zip(self._seconds, self._kinds, strict=True)):
            series, position = divmod(row, EACH)
            number = rounds[series // SITES][position]
            yield (series + 1, seconds, _hash(row), number, 1 if kind == OPEN else 2)


# --- timing it ------------------------------------------------------------------------------------

_ANALYSE = """
import resource, sys, time
begin = time.perf_counter()
from reports.analysis import analyse
from storage.store import Store
with Store(sys.argv[1], create=False) as store:
    opened = time.perf_counter()
    found = analyse(store, since="2017-06-01", until="2018-12-31", exact=True)
    done = time.perf_counter()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(f"{len(found.readings):,} verdicts, {len(found.episodes):,} episodes: {done - opened:.1f} s "
      f"to read and analyse, {opened - begin:.1f} s to begin, {memory:.2f} GB at most")
"""


def out_of(path: Path) -> None:
    """Time reading and analysis by themselves, then the whole command."""
    subprocess.run([sys.executable, "-c", _ANALYSE, str(path)], check=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    command = [sys.executable, "-m", "sitewatch", "episodes", "--json", "--database", str(path)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    took = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = len(json.loads(told.stdout)["episodes"])
    print(
        f"sitewatch episodes: {found:,} episodes in {took:.1f} s ({processor:.1f} s of computing)"
    )


def main() -> None:
    """Make the database where there is none, and time what is read out of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--database", type=Path, required=True, help="some gigabytes")
    path = parser.parse_args().database
    if not path.exists():
        begin = time.perf_counter()
        fill(path)
        size = path.stat().st_size / 1e9
        print(f"{path}: made in {time.perf_counter() - begin:.0f} s, {size:.1f} GB")
    out_of(path)


if __name__ == "__main__":
    main()
