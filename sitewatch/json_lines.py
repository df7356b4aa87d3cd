"""One measurement as one line of JSON: the record as it was hashed, its id and its verdict."""

from __future__ import annotations

import msgspec

from storage.records import Measurement, Verdict


def measurement_line(id: str | None, record: Measurement, verdict: Verdict | None) -> str:
    """Return the line for a measurement.

    `id` is None where nothing was measured since the line was not up. Follow-ups have no verdict
    of their own.
    """
    document = {**msgspec.to_builtins(record), "id": id, "verdict": verdict}
    return msgspec.json.encode(document).decode()
