"""How fast verdicts are: ``python bench/judging.py``.

Measurements of several kinds (a page, a silent name with its contrast, a forged answer, a strange
certificate) are judged again and again in this process, and then a database of them by
`sitewatch judge --all`, whose figure holds reading and writing too. One line of JSON; exit code 1
says that judging one took longer than a millisecond of computing, or that a million would take the
real command longer than 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from reports.cases import Case  # noqa: E402
from reports.verdicts import judge  # noqa: E402
from storage.records import Measurement, Vantage  # noqa: E402
from storage.store import Store  # noqa: E402
from tests.cases import (  # noqa: E402
    DOH,
    FORGED,
    NEIGHBOUR,
    SITE,
    START,
    TIMEOUT,
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


def by_command(records: int) -> float:
    """Return milliseconds of computing per measurement of `sitewatch judge --all`."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bench.db"
        kinds = [each.measurement for each in cases()]
        with Store(database) as store:
            own = store.own_vantage(country="KZ", asn=64496, network="Altyn Telecom")
            for number in range(records):
                record = kinds[number % len(kinds)]
                store.add(_moved(record, own, number), {}).result()
        program = "import resource, sys; from sitewatch.cli import group; group("
        program += f"['judge', '--all', '--json', '--database', {str(database)!r}], "
        program += "standalone_mode=False); used = resource.getrusage(resource.RUSAGE_SELF); "
        program += "print(used.ru_utime + used.ru_stime, file=sys.stderr)"
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return float(done.stderr.split()[-1]) * 1000 / records


def _moved(record: Measurement, vantage: Vantage, number: int) -> Measurement:
    """Return the record as one of another site and minute."""
    return msgspec.structs.replace(
        record,
        url=f"https://site{number % 50}.example/",
        time=later(START, 60.0 * number),
        vantage=vantage,
    )


def main() -> int:
    """Measure, print, and say by the exit code whether it was fast enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--records", type=int, default=3000)
    options = parser.parse_args()
    alone, command = in_process(options.rounds), by_command(options.records)
    minutes = command * 1_000_000 / 1000 / 60  # of computing; two processes would halve it
    figures = {
        "ms_per_verdict": round(alone, 3),
        "ms_per_measurement_of_judge_all": round(command, 3),
        "minutes_of_computing_for_a_million": round(minutes, 1),
    }
    print(json.dumps(figures))
    return 0 if alone < WANTED_MS and minutes < 2 * WANTED_MINUTES else 1


if __name__ == "__main__":
    sys.exit(main())
