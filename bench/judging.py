"""How fast verdicts are: ``python bench/judging.py``.

Measurements of several kinds (a page, a silent name with its contrast, a forged answer, a strange
certificate) are judged again and again in this process, and then a database of them, each with a
witness and some with a follow-up, by `sitewatch judge --all`, whose figures hold reading and
writing too. One line of JSON; exit code 1 says that judging one took longer than a millisecond of
computing, or that a million would take the real command longer than 15 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
from sqlalchemy import Connection, insert

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from reports.cases import Case  # noqa: E402
from reports.verdicts import judge  # noqa: E402
from storage.compression import RECORD_CODEC, compress_record  # noqa: E402
from storage.intake import accept_made  # noqa: E402
from storage.outcomes import note  # noqa: E402
from storage.records import Measurement, Round, Vantage, record_id  # noqa: E402
from storage.rows import index_columns  # noqa: E402
from storage.schema import records  # noqa: E402
from storage.store import Store  # noqa: E402
from tests.cases import (  # noqa: E402
    DOH,
    FORGED,
    NEIGHBOUR,
    SITE,
    START,
    TIMEOUT,
    UP,
    arms,
    case,
    chain,
    connection,
    helper,
    later,
    loads,
    lookup,
    measurement,
)

WANTED_MS = 1.0
WANTED_MINUTES = 15.0  # for a million, on two cores
_SITES, _EVERY, _PAGE = 200, 4 * 3600.0, 20_000


def cases() -> list[Case]:
    """Return the cases that are judged, the commonest several times."""
    fine = case(measurement([*loads(1), lookup(resolver=DOH)], helpers=[helper()]))
    silent = case(
        measurement(loads(3, tls=TIMEOUT), helpers=[helper()]),
        contrast=arms(),
        witnesses=[measurement(loads(1), vantage=NEIGHBOUR)],
    )
    steps = [
        step
        for attempt in range(3)
        for step in (
            lookup([FORGED], attempt=attempt),
            lookup([SITE], resolver=DOH, attempt=attempt),
            *connection(address=FORGED, attempt=attempt, number=2 * attempt, tls=TIMEOUT),
            *connection(address=SITE, attempt=attempt, number=2 * attempt + 1),
        )
    ]
    forged = case(measurement(steps, helpers=[helper()]))
    strange = loads(3, tls="ssl_unknown_authority", certificates=chain("a.example", issuer="CN=?"))
    return [fine, fine, fine, silent, forged, case(measurement(strange, helpers=[helper()]))]


def in_process(rounds: int) -> float:
    """Return milliseconds of computing per verdict."""
    all_cases = cases()
    begun = time.process_time()
    for _ in range(rounds):
        for each in all_cases:
            judge(each)
    return (time.process_time() - begun) * 1000 / (rounds * len(all_cases))


def fill(database: Path, count: int) -> None:
    """Put so many measurements in a new database, with their round and their follow-ups.

    Each of 200 sites is measured on two networks every four hours, so that each has a witness.
    Nothing is signed, and there are no rows of steps: judging asks for neither.
    """
    kinds = cases()
    with Store(database) as store:
        vantages = [
            store.own_vantage(country="KZ", asn=asn, network=network)
            for asn, network in ((64496, "Altyn Telecom"), (64498, "Ulytau Mobile"))
        ]
        round_ = Round(
            simulated=True,
            tool="bench",
            time=START,
            vantage=vantages[0],
            line=UP,
            steps=loads(1),
            targets=_SITES,
        )
        round_id = store.add(round_).result()
        for first in range(0, count, _PAGE):
            page: list[Measurement] = []
            for number in range(first, min(first + _PAGE, count)):
                place, network = divmod(number, 2)
                each = kinds[place % len(kinds)]
                page += _moved(each, vantages[network], round_id, place)
            store.write(partial(_add, page=page))


def _add(connection: Connection, page: Sequence[Measurement]) -> None:
    sounds = [accept_made(record) for record in page]
    rows = [
        index_columns(sound)
        | {"codec": RECORD_CODEC, "canonical": compress_record(sound.canonical)}
        for sound in sounds
    ]
    connection.execute(insert(records), rows)
    note(connection, [(sound.id, sound.record) for sound in sounds])


def _moved(each: Case, vantage: Vantage, round_id: str, place: int) -> list[Measurement]:
    """Return a case's records as those of another vantage, site and time."""

    def moved(record: Measurement, follows: str | None, after: float) -> Measurement:
        return msgspec.structs.replace(
            record,
            url=f"https://site{place % _SITES}.example/",
            time=later(START, place // _SITES * _EVERY + place % _SITES + after),
            vantage=vantage,
            round=round_id,
            follows=follows,
        )

    main = moved(each.measurement, None, 0)
    followed = [moved(one.record, record_id(main), 30) for one in each.follow_ups]
    return [main, *followed]


def by_command(database: Path) -> tuple[int, float, float, float]:
    """Have `sitewatch judge --all` judge a database.

    Returns how many measurements it judged, the seconds that it took, those of computing, and the
    most memory in MB.
    """
    command = [sys.executable, "-m", "sitewatch", "judge", "--all", "--json"]
    begun = time.monotonic()
    process = subprocess.Popen(
        [*command, "--database", str(database)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    judged = json.loads(process.stdout.read())["judged"]
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"sitewatch judge ended with {os.waitstatus_to_exitcode(status)}")
    took = time.monotonic() - begun
    return judged, took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> int:
    """Measure, print, and say by the exit code whether it was fast enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--records", type=int, default=3000, help="1000000 for the full run")
    parser.add_argument("--database", type=Path, help="made, or if it is there judged; is kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = options.database or Path(folder) / "bench.db"
        if not database.exists():
            fill(database, options.records)
        alone, (judged, took, computing, memory) = in_process(options.rounds), by_command(database)
        size = sum(each.stat().st_size for each in database.parent.glob(f"{database.name}*"))
    a_million = took / judged * 1e6 / 60
    figures = {
        "ms_per_verdict": round(alone, 3),
        "judged": judged,
        "seconds": round(took, 1),
        "seconds_of_computing": round(computing, 1),
        "minutes_for_a_million": round(a_million, 1),
        "memory_mb": round(memory),
        "database_mb": round(size / 1e6),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figures))
    return 0 if alone < WANTED_MS and a_million < WANTED_MINUTES else 1


if __name__ == "__main__":
    sys.exit(main())
