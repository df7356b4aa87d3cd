"""docs/measurement.md explains every field of a record's steps, line, instrument and helpers."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import records, steps

TEXT = Path("docs/measurement.md").read_text("utf-8")
STRUCTS = [
    steps.Reply,
    steps.Lookup,
    steps.Connect,
    steps.Certificate,
    steps.Handshake,
    steps.Exchange,
    steps.Quic,
    steps.WalkHop,
    steps.Walk,
    records.Line,
    records.Instrument,
    records.HelperAnswer,
    records.HelperEndpoint,
    records.HelperExchange,
    records.HelperAgreement,
]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_field_is_explained(struct: type) -> None:
    fields = struct.__struct_fields__  # type: ignore[attr-defined]
    assert [field for field in fields if f"`{field}`" not in TEXT] == []
