"""What the model of regimes learns from the readings: stray failures, and how much networks leak.

Both are steps of an EM under weak priors: given how probable each reading was open, blocked or
leaky by the last pass, they give the rates for the next.
"""

from __future__ import annotations

import msgspec
import numpy as np

from reports.noise import Noise
from reports.regime_model import Model
from reports.verdict_arrays import LIKELY, Floats, VerdictArrays


class Leaks(msgspec.Struct, frozen=True, kw_only=True):
    """What is learnt of each network's filter: its leaky blocks among onsets, and how they leak."""

    share: Floats
    opens: Floats


def first_guess(data: VerdictArrays, noise: Noise, model: Model) -> tuple[Floats, Floats]:
    """Stray failures among readings that follow an open one, before any regime is known."""
    known = (noise.hours.after_open & (data.open | data.failing)).astype(np.float64)
    return _rates(noise, known * data.failing, known, model)


def learnt(
    data: VerdictArrays,
    noise: Noise,
    shared: Floats,
    stray: Floats,
    is_open: Floats,
    model: Model,
) -> tuple[Floats, Floats]:
    """Stray failures given how probable each reading was open; shared causes take their part."""
    evident = is_open * (data.open | data.failing)
    own = stray / np.maximum(stray + shared, 1e-12)
    return _rates(noise, evident * data.failing * own, evident, model)


def _rates(noise: Noise, failed: Floats, counted: Floats, model: Model) -> tuple[Floats, Floats]:
    """Each reading's rate: of its pair, drawn towards its vantage's, drawn towards the prior.

    A failing reading is left out of its own rate: it must not serve as its own explanation.
    The second array has one rate per vantage.
    """
    owner = noise.vantage_of_pair
    by_pair = np.bincount(noise.pair, weights=failed, minlength=noise.pairs)
    count = np.bincount(noise.pair, weights=counted, minlength=noise.pairs)
    failures = np.bincount(owner, weights=by_pair) + model.stray * model.stray_readings
    readings = np.bincount(owner, weights=count) + model.stray_readings
    pair = noise.pair
    vantage = (failures[owner][pair] - failed) / readings[owner][pair]
    rate = by_pair[pair] - failed + vantage * model.site_readings
    rate /= count[pair] + model.site_readings
    per_reading: Floats = np.clip(rate, model.least_likely, 0.9)
    return per_reading, np.clip(failures / readings, model.least_likely, 0.9)


def leaks_of(data: VerdictArrays, onsets: Floats, leaky: Floats, model: Model) -> Leaks:
    """How much each network leaks, given the onsets of each kind by series and P(leaky) by reading.

    Without this an unbroken run of failures would be taken for a block that never leaks, and its
    ends for known, also where all blocks of the network leak.
    """
    networks = int(data.network.max()) + 1
    every = np.bincount(data.network, weights=onsets.sum(axis=0), minlength=networks)
    seen = np.bincount(data.network, weights=onsets[2], minlength=networks)
    share = (seen + model.share[2] * model.leaky_onsets) / (every + model.leaky_onsets)
    evident = leaky * (data.open | (data.kind >= LIKELY))
    network = data.network[data.series]
    readings = np.bincount(network, weights=evident, minlength=networks)
    opened = np.bincount(network, weights=evident * data.open, minlength=networks)
    opens = opened + model.opens[2] * model.leaky_readings
    return Leaks(share=share, opens=opens / (readings + model.leaky_readings))
