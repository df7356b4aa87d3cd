"""Readings from the kept verdicts, without the records: quick, and of stubs the only way."""

from __future__ import annotations

from collections.abc import Iterable

from reports.attempts import host_of
from reports.readings import Reading
from storage.judged import Judged


def kept_readings(rows: Iterable[Judged]) -> list[Reading]:
    """Return one reading for each row, in the same order."""
    return [
        Reading(
            id=row.id,
            url=row.url,
            host=host_of(row.url),
            seconds=row.seconds,
            vantage=row.vantage,
            vantage_kind=row.vantage_kind,
            country=row.country,
            asn=row.asn,
            network=row.network,
            round=row.round,
            status=row.verdict.status,
            layer=row.verdict.layer,
            technique=row.verdict.technique,
            certainty=row.verdict.certainty,
            reason=row.verdict.reasons[0] if row.verdict.reasons else None,
            blocked_name=row.verdict.blocked_name,
        )
        for row in rows
    ]
