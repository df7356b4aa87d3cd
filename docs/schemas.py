"""Write the JSON Schemas beside this file from the records: ``python docs/schemas.py``."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from storage.records import Measurement, Round, Verdict

FOLDER = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ID = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}


def schemas() -> dict[str, str]:
    """Return the text of each schema by the name of its file."""
    return {
        "measurement.schema.json": _schema(Measurement, id_may_be_null=True, verdict=True),
        "round.schema.json": _schema(Round, id_may_be_null=False, verdict=False),
    }


def _schema(record: type, *, id_may_be_null: bool, verdict: bool) -> str:
    """Return the schema of `record` as printed: with its id, and with its verdict if it has one."""
    types = [record, Verdict] if verdict else [record]
    _, parts = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    top: dict[str, Any] = parts.pop(record.__name__)
    # Without an internet line nothing is stored, and what is printed has no id.
    top["properties"]["id"] = {"anyOf": [_ID, {"type": "null"}]} if id_may_be_null else _ID
    top["required"] = ["format", "id", *top["required"]]
    if verdict:
        # Follow-ups have none of their own.
        top["properties"]["verdict"] = {"anyOf": [{"$ref": "#/$defs/Verdict"}, {"type": "null"}]}
        top["required"].append("verdict")
    schema = {"$schema": DIALECT, **top, "$defs": parts}
    return json.dumps(_tidy(schema), indent=2, ensure_ascii=False) + "\n"


def _tidy(value: Any) -> Any:
    """Return `value` with its descriptions free of the source's indentation."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: inspect.cleandoc(item)
        if key == "description" and isinstance(item, str)
        else _tidy(item)
        for key, item in value.items()
    }


if __name__ == "__main__":
    for name, text in schemas().items():
        (FOLDER / name).write_text(text, "utf-8")
