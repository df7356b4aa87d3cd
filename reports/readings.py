"""Readings: verdicts in time, the only thing that episodes are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from reports.attempts import host_of
from reports.cases import Case
from storage.records import Certainty, Layer, Measurement, Status, Verdict, corrected_seconds

# A network of a country; a vantage whose network is unknown stands for itself.
Network: TypeAlias = tuple[str | None, int | None, str]

OPEN: frozenset[str] = frozenset({"accessible", "restricted"})


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict: which target, from where, when (corrected seconds since the epoch), what."""

    id: str
    url: str
    host: str
    seconds: float
    vantage: str
    vantage_kind: Literal["field", "reference"] = "field"
    country: str | None = None
    asn: int | None = None
    network: str | None = None
    round: str | None = None
    status: Status
    layer: Layer | None = None
    technique: str | None = None
    certainty: Certainty | None = None
    reason: str | None = None
    blocked_name: str | None = None  # where it is not the host's own: behind redirects

    @property
    def name(self) -> str:
        """The name that is blocked, or the host that was asked for."""
        return self.blocked_name or self.host

    @property
    def network_key(self) -> Network:
        """What vantages are pooled by: country and number; never without a number."""
        return self.country, self.asn, "" if self.asn is not None else self.vantage

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_blocked(self) -> bool:
        return self.status == "blocked"

    @property
    def is_suspected(self) -> bool:
        return self.status == "inconclusive" and self.certainty == "suspected"

    @property
    def path(self) -> str | None:
        """The technique as "layer.technique"."""
        return f"{self.layer}.{self.technique}" if self.layer and self.technique else None


def reading_of(id: str, measurement: Measurement, verdict: Verdict) -> Reading:
    """Return the reading of one judged measurement."""
    vantage = measurement.vantage
    return Reading(
        id=id,
        url=measurement.url,
        host=host_of(measurement.url),
        seconds=corrected_seconds(measurement),
        vantage=vantage.id,
        vantage_kind=vantage.kind,
        country=vantage.country,
        asn=vantage.asn,
        network=vantage.network,
        round=measurement.round,
        status=verdict.status,
        layer=verdict.layer,
        technique=verdict.technique,
        certainty=verdict.certainty,
        reason=verdict.reasons[0] if verdict.reasons else None,
        blocked_name=verdict.blocked_name,
    )


def readings_of(cases: Iterable[Case], verdicts: Mapping[str, Verdict]) -> list[Reading]:
    """Return the readings of judged cases."""
    return [reading_of(case.id, case.measurement, verdicts[case.id]) for case in cases]
