"""Verdicts as a CSV, in the columns that `sitewatch episodes --from-verdicts` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from reports.rounding import earlier
from storage.judged import Judged
from storage.records import utc_text

COLUMNS = (
    *("time", "url", "country", "asn", "status", "layer", "technique"),
    *("certainty", "vantage", "rules"),
)


def verdict_table(judged: Iterable[Judged], *, exact: bool) -> str:
    """Return the table; times are corrected ones, rounded down to ten minutes unless `exact`.

    Rows are ordered by what they say, never by when within ten minutes they were measured.
    """
    rows = sorted(_row(one, exact=exact) for one in judged)
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return table.getvalue()


def _row(one: Judged, *, exact: bool) -> tuple[str, ...]:
    verdict = one.verdict
    seconds = one.seconds if exact else earlier(one.seconds)
    return (
        utc_text(seconds),
        one.url,
        one.country or "",
        "" if one.asn is None else str(one.asn),
        verdict.status,
        verdict.layer or "",
        verdict.technique or "",
        verdict.certainty or "",
        one.vantage,
        verdict.rules_version,
    )
