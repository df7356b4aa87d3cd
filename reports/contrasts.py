"""Contrast: what else worked in the same minutes, and what outside views saw meanwhile."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from reports.analysis import Analysis
from reports.evidence import Evidence
from reports.incidents import Incident
from reports.readings import Reading

SAME_MINUTES = 15 * 60


class Support(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over the failing measurements of one incident: what speaks for interference.

    Each count is of measurements in which the thing was seen; `failing` is their number.
    """

    failing: int
    others_worked: int  # another site worked on the same vantage within 15 minutes
    helper_answered: int
    reached_abroad: int
    reached_inside: int  # from another network of the country within the hour
    experiments: int  # contrast experiments that were run
    name_alone: int  # in which only the name decided
    cut_elsewhere: int  # in which the name was cut off at a stranger's address
    address_known: int  # the address that failed is known to others as the site's
    vantages: int


def support_of(incident: Incident, analysis: Analysis) -> Support:
    """Count what was seen beside each failing measurement of `incident`."""
    ids = {id for episode in incident.episodes for id in episode.readings}
    failing = [reading for reading in analysis.readings if reading.id in ids]
    evidence = [Evidence(analysis.cases[r.id]) for r in failing if r.id in analysis.cases]
    return Support(
        failing=len(failing),
        others_worked=_others_worked(failing, analysis.readings),
        helper_answered=sum(bool(e.helpers) for e in evidence),
        reached_abroad=sum(bool(e.reached_abroad) for e in evidence),
        reached_inside=sum(bool(e.reached_inside) for e in evidence),
        experiments=sum(bool(e.contrast.results) for e in evidence),
        name_alone=sum(e.contrast.name_alone_decides(e.name) for e in evidence),
        cut_elsewhere=sum(e.blocked_elsewhere for e in evidence),
        address_known=sum(_address_known(e) for e in evidence),
        vantages=len({reading.vantage for reading in failing}),
    )


def _address_known(evidence: Evidence) -> bool:
    failed = evidence.failed
    return failed is not None and failed.address in evidence.named_elsewhere


def _others_worked(failing: Sequence[Reading], readings: Iterable[Reading]) -> int:
    """How many failing readings had another host's open one on the same vantage nearby?"""
    hosts = {reading.host for reading in failing}
    working: dict[str, list[float]] = defaultdict(list)
    for reading in readings:
        if reading.is_open and reading.host not in hosts:
            working[reading.vantage].append(reading.seconds)
    for times in working.values():
        times.sort()
    return sum(_near(working[reading.vantage], reading.seconds) for reading in failing)


def _near(times: Sequence[float], moment: float) -> bool:
    position = bisect_left(times, moment - SAME_MINUTES)
    return position < len(times) and times[position] <= moment + SAME_MINUTES


class TargetRow(msgspec.Struct, frozen=True, kw_only=True):
    """How one target fared over the whole report: counts of readings by verdict."""

    url: str
    host: str
    measurements: int
    counts: dict[str, int]
    networks: int
    first_down: float | None = None
    last_down: float | None = None
    down_networks: int = 0


def target_rows(readings: Iterable[Reading]) -> list[TargetRow]:
    """Return a row for each target, those with the most blocked readings first."""
    by_url: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        by_url[reading.url].append(reading)
    rows = [_row(url, own) for url, own in by_url.items()]
    return sorted(rows, key=lambda row: (-row.counts.get("blocked", 0), row.host, row.url))


def _row(url: str, readings: Sequence[Reading]) -> TargetRow:
    down = [reading for reading in readings if reading.status == "down"]
    return TargetRow(
        url=url,
        host=readings[0].host,
        measurements=len(readings),
        counts=dict(Counter(reading.status for reading in readings)),
        networks=len({reading.network_key for reading in readings}),
        first_down=min((reading.seconds for reading in down), default=None),
        last_down=max((reading.seconds for reading in down), default=None),
        down_networks=len({reading.network_key for reading in down}),
    )
