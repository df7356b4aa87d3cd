"""Reading one OONI measurement in tests: its records, its verdict, its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from probes.certificates import describe
from reports.cases import Case
from reports.verdicts import judge
from storage import ooni_import
from storage.intake import accept_made, referred_blobs
from storage.ooni_document import Tools, read_document
from storage.ooni_import import Taken, vantage_for
from storage.records import (
    Measurement,
    Verdict,
)
from tests.ooni_fixtures import (
    line,
    measurement,
)

SAMPLES = Path(__file__).parents[2] / "shared" / "samples" / "ooni"
TOOLS = Tools(lambda url: _http(url), describe)


def _http(url: str) -> str:
    if not url.startswith("http"):
        raise ValueError("not a URL that starts with http:// or https://")
    return url


def take(data: bytes) -> Taken:
    document = read_document(data, TOOLS)
    vantage = msgspec.structs.replace(vantage_for(document), id="0" * 32)
    return ooni_import.take(document, TOOLS, vantage)


def taken(test_keys: dict[str, Any], **changes: Any) -> Taken:
    found = take(line(measurement(test_keys, **changes)))
    accept_made(found.round)  # what is read may always be stored
    accept_made(found.measurement)
    assert found.blobs.keys() <= referred_blobs(found.measurement)
    return found


def verdict(test_keys: dict[str, Any], **changes: Any) -> Verdict:
    return judge(Case(id="sha256:" + "0" * 64, measurement=taken(test_keys, **changes).measurement))


def steps(kind: type, record: Measurement) -> list[Any]:
    return [step for step in record.steps if isinstance(step, kind)]
