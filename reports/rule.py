"""Rule: one row of the table of rules."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from reports.conditions import Finding
from reports.evidence import Evidence
from storage.records import Certainty, Status


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    `status` None: the rule remarks on interference without deciding. `technique` "" stands for
    whatever the measurement shows. `weight` is the base-10 log likelihood ratio of interference
    against none; weights of rules that share a cause are never added (see `weight_of`).
    """

    id: str
    status: Status | None
    certainty: Certainty | None = None
    layer: str = ""
    technique: str = ""
    needs: str
    weight: float = 0.0
    reason: str
    condition: Callable[[Evidence], Finding | None]
    fallback: bool = False
