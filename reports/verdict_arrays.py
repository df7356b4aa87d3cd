"""Verdicts as arrays: what the model of noise and the model of regimes compute on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from reports.readings import Reading

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Kinds: TypeAlias = npt.NDArray[np.int8]

# What a reading says. SILENT ones (offline, restricted, plainly inconclusive) say nothing.
SILENT, OPEN, DOWN, SUSPECTED, LIKELY, CONFIRMED = range(6)


class VerdictArrays(msgspec.Struct, frozen=True, kw_only=True):
    """Readings as columns, sorted by series and time.

    `series`, `vantage` and `kind` hold one number per reading, `seconds` its corrected time since
    the epoch; `site` and `country` hold one number per series: which host it watches, and where.
    A series is one target on one network; the http and https rows of a host are one site, as they
    fail together. All numbers count from 0 without holes.
    """

    series: Ints
    seconds: Floats
    vantage: Ints
    kind: Kinds
    site: Ints
    country: Ints

    @property
    def failing(self) -> Flags:
        """Which readings failed in a way that noise could explain."""
        failing: Flags = (self.kind == LIKELY) | (self.kind == SUSPECTED)
        return failing

    @property
    def open(self) -> Flags:
        opened: Flags = self.kind == OPEN
        return opened

    def starts(self) -> Ints:
        """Return where each series begins, and the end of the last one."""
        return np.searchsorted(self.series, np.arange(len(self.site) + 1)).astype(np.int64)


def kind_of(reading: Reading) -> int:
    """Return what a reading says, as one of the numbers above."""
    if reading.is_blocked:
        return CONFIRMED if reading.certainty == "confirmed" else LIKELY
    if reading.is_suspected:
        return SUSPECTED
    return {"accessible": OPEN, "down": DOWN}.get(reading.status, SILENT)


def arrays_of(series: Sequence[Sequence[Reading]]) -> VerdictArrays:
    """Return the arrays of series that each hold their readings by time.

    All readings of one series watch the same URL; the same host in several series is one site.
    """
    sites: dict[str, int] = {}
    vantages: dict[str, int] = {}
    countries: dict[str, int] = {}
    for readings in series:
        sites.setdefault(readings[0].host, len(sites))
        countries.setdefault(_country(readings[0]), len(countries))
        for reading in readings:
            vantages.setdefault(reading.vantage, len(vantages))
    everything = [reading for readings in series for reading in readings]
    return VerdictArrays(
        series=np.repeat(np.arange(len(series)), [len(readings) for readings in series]),
        seconds=np.array([reading.seconds for reading in everything], dtype=np.float64),
        vantage=np.array([vantages[reading.vantage] for reading in everything], dtype=np.int64),
        kind=np.array([kind_of(reading) for reading in everything], dtype=np.int8),
        site=np.array([sites[readings[0].host] for readings in series], dtype=np.int64),
        country=np.array([countries[_country(readings[0])] for readings in series], dtype=np.int64),
    )


def _country(reading: Reading) -> str:
    """Reference vantages, which see no censor, stand for a country of their own."""
    return "reference" if reading.vantage_kind == "reference" else reading.country or ""
