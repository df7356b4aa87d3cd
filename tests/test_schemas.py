"""The JSON Schemas under docs/: current, and true of what the records look like."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from storage.records import (
    Certificate,
    Connect,
    Exchange,
    Handshake,
    HelperAnswer,
    HelperEndpoint,
    Line,
    Lookup,
    Measurement,
    Reply,
    Round,
    Vantage,
    Verdict,
    record_id,
)

DOCS = Path(__file__).parent.parent / "docs"
NOW = "2017-06-20T05:00:12.000000Z"
LOOKUP = Lookup(
    name="foreignpolicy.com",
    type="A",
    resolver="system",
    answers=["192.0.2.88"],
    replies=[Reply(after_us=9000, ip_ttl=57, rcode=0, answers=["192.0.2.88"])],
    start=NOW,
    duration_us=9000,
)
CONNECT = Connect(connection=1, address="192.0.2.88", port=443, start=NOW, duration_us=41000)
HANDSHAKE = Handshake(
    purpose="contrast",
    arm="neutral@site",
    connection=1,
    address="192.0.2.88",
    port=443,
    server_name="foreignpolicy.com",
    chain=[Certificate(sha256="0" * 64)],
    failure="generic_timeout_error",
    start=NOW,
    duration_us=10_000_000,
)
EXCHANGE = Exchange(
    connection=1,
    url="https://foreignpolicy.com/",
    address="192.0.2.88",
    headers=[("Server", "x")],
    start=NOW,
    duration_us=1,
)
HELPER = HelperAnswer(
    helper="https://helper.example/",
    answered=True,
    connect={"192.0.2.88:443": HelperEndpoint(status=True)},
    start=NOW,
    duration_us=1,
)
ROUND = Round(
    simulated=True,
    tool="sitewatch 0.1.0",
    time=NOW,
    vantage=Vantage(id="v"),
    line=Line(state="up"),
    steps=[LOOKUP],
    targets=8,
)
MEASUREMENT = Measurement(
    simulated=True,
    tool="sitewatch 0.1.0",
    url="https://foreignpolicy.com/",
    time=NOW,
    round=record_id(ROUND),
    vantage=Vantage(id="v", country="KZ", asn=64496, network="Altyn"),
    line=Line(state="up", ipv4=True),
    steps=[LOOKUP, CONNECT, HANDSHAKE, EXCHANGE],
    helpers=[HELPER],
)
VERDICT = Verdict(rules_version="2026.11", status="blocked", layer="tls", certainty="confirmed")


def printed(record: Measurement | Round, **more: object) -> dict[str, Any]:
    return {**json.loads(msgspec.json.encode(record)), "id": record_id(record), **more}


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((DOCS / name).read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schemas_are_those_of_the_records() -> None:
    current = runpy.run_path(str(DOCS / "schemas.py"))["schemas"]()
    for name, text in current.items():
        assert (DOCS / name).read_text("utf-8") == text, f"run: python docs/schemas.py ({name})"


def test_a_measurement_with_and_without_verdict_is_valid() -> None:
    measurement = validator("measurement.schema.json")
    measurement.validate(printed(MEASUREMENT, verdict=msgspec.to_builtins(VERDICT)))
    measurement.validate(printed(MEASUREMENT, verdict=None))
    measurement.validate({**printed(MEASUREMENT, verdict=None), "id": None})


def test_a_round_is_valid() -> None:
    validator("round.schema.json").validate(printed(ROUND))


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "sha256:short"},
        {"format": "sitewatch-measurement/2"},
        {"simulated": "yes"},
        {"verdict": {"rules_version": "1", "status": "censored"}},
        {"steps": [{"kind": "guess"}]},
    ],
)
def test_something_else_is_not_valid(wrong: dict[str, object]) -> None:
    document = printed(MEASUREMENT, verdict=None)
    assert validator("measurement.schema.json").is_valid(document)
    assert not validator("measurement.schema.json").is_valid({**document, **wrong})
