"""Verdicts as arrays: what the model of noise and the model of regimes compute on."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Kinds: TypeAlias = npt.NDArray[np.int8]

# What a reading says. SILENT ones (offline, plainly inconclusive) say nothing; RESTRICTED ones, the
# server's own refusal, are no evidence either way, but they bound an episode.
RESTRICTED, SILENT, OPEN, DOWN, SUSPECTED, LIKELY, CONFIRMED = range(-1, 6)


class VerdictArrays(msgspec.Struct, frozen=True, kw_only=True):
    """Readings as columns, sorted by series and time.

    `series`, `vantage` and `kind` hold one number per reading, `seconds` its corrected time since
    the epoch; `site`, `network` and `country` hold one number per series: which host it watches,
    and where. A series is one target on one network; the http and https rows of a host are one
    site, as they fail together. All numbers count from 0 without holes.
    """

    series: Ints
    seconds: Floats
    vantage: Ints
    kind: Kinds
    site: Ints
    network: Ints
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
