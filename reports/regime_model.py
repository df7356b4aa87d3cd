"""The constants of the model of regimes."""

from __future__ import annotations

import msgspec

DAY = 86400.0


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The constants; how they were chosen stands in docs/accuracy.md.

    Rates are per day; triples are for brief, lasting and leaky blocks: their shares among onsets,
    how fast they end, how probable they are before the first reading, and how probable a reading
    inside is open.
    """

    onset: float = 1 / 60
    share: tuple[float, float, float] = (0.3, 0.55, 0.15)
    end: tuple[float, float, float] = (2.0, 1 / 20, 1 / 8)
    at_first: tuple[float, float, float] = (0.001, 0.05, 0.001)
    opens: tuple[float, float, float] = (0.01, 0.01, 0.4)
    stray: float = 0.0001  # prior mean of a vantage's stray failures, per reading
    stray_readings: float = 300.0  # the weight of that prior
    site_readings: float = 120.0  # the weight of the vantage's rate for each of its sites
    least_likely: float = 0.0001  # no series makes a failure less probable under noise than this
    least_suspected: float = 0.25
    confirmed: float = 1e-7  # an artefact or an experiment, not a statistic
    leaky_onsets: float = 2.0  # the weight of the share of leaky blocks, for each network
    leaky_readings: float = 20.0  # the weight of how probable a reading in them is open
    certain: float = 0.9  # from here on a block makes others on other networks more probable
    passes: int = 3
