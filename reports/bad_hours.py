"""Bad hours: how probable it is that a reading fails because its whole line fails at random.

A bad hour must not be confused with a block of much of the list. In a bad hour the failures fall
at random, so sites that were open a reading earlier, or are a reading later, fail as often as all
others; where many sites are blocked, the sites that were open stay open. Both sides are weighed,
and the one that explains less holds. Where hardly any site is open on either side, the whole line
failed, and that is noise.
"""

from __future__ import annotations

import msgspec
import numpy as np

from reports.verdict_arrays import DOWN, LIKELY, OPEN, SUSPECTED, Flags, Floats, Ints, VerdictArrays

SLOT = 3600.0  # seconds; a bad hour, as the name says
# How probable it is beforehand that an hour is bad, and that much of the list is blocked in it.
BAD, MANY = 0.03, 0.003
LASTS = 2.0  # hours, the mean of a bad spell: the nearer to a bad hour, the sooner another is bad
# Of the share of a list that fails in one hour, what counts as noise even where other sites prove
# the line good: a route or a CDN that is broken fails for all sites behind it, and only for them.
PARTIAL = 0.05
# Pulls the rate of a slot towards that of all its sites where few are open on one side: by one
# reading where the list is short and chance great, by less the more sites were read.
_PULL_SITES = 40.0


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """The hours of each vantage. A slot is one in which it read; `vantage` and `hour` are by slot.

    The rest is by reading: its slot; `same` numbers the readings of one host in one slot alike,
    None where no slot has two; `after_open` and `before_open` tell whether the reading before, or
    after, by this vantage in this series was open.
    """

    slot: Ints
    vantage: Ints
    hour: Ints
    same: Ints | None
    after_open: Flags
    before_open: Flags


def hours_of(data: VerdictArrays, order: Ints, pair: Ints, vantage_of_pair: Ints) -> Hours:
    """Return the hours, given the pair of each reading and the order by pair and time."""
    before, after = _neighbours(data, order, pair)
    slot, vantage, hour = _slots(data)
    same = _same_hour(data, order, pair, vantage_of_pair, slot)
    return Hours(
        slot=slot, vantage=vantage, hour=hour, same=same, after_open=before, before_open=after
    )


def bad_hours(data: VerdictArrays, hours: Hours, evident: Floats, stray: Floats) -> Floats:
    """How probable it is that a reading fails because its hour is bad; `stray` is by slot.

    A failing reading is judged by the other sites of its hour, an open one by all of them.
    """
    slot = hours.slot[data.failing]
    whole = _Counted(data, hours, evident)
    sides = [
        _Counted(data, hours, evident * side) for side in (hours.after_open, hours.before_open)
    ]
    alone = [_Bad(*whole.all, *known.all, stray) for known in sides]
    prior = _beside(np.minimum(*(each.probable(BAD) for each in alone)), hours)
    line: Floats = np.minimum(*(each.fails(prior) for each in alone))[hours.slot]
    exact = [_Bad(*whole.others, *known.others, stray[slot]).fails(prior[slot]) for known in sides]
    line[data.failing] = np.minimum(*exact)
    return line


def _beside(bad: Floats, hours: Hours) -> Floats:
    """How probable a bad hour is beforehand, given how bad the vantage's hours beside it are."""
    prior = np.full(len(bad), 1 - BAD)
    same = hours.vantage[1:] == hours.vantage[:-1]
    lasts = same * np.exp(-np.abs(np.diff(hours.hour)) / LASTS)
    prior[1:] *= 1 - lasts * bad[:-1]
    prior[:-1] *= 1 - lasts * bad[1:]
    return 1 - prior


class _Counted:
    """Failures and readings, by weight: `all` of each slot, `others` of each failing reading.

    Others are the readings of other sites in the same hour.
    """

    def __init__(self, data: VerdictArrays, hours: Hours, weight: Floats) -> None:
        slots = len(hours.vantage)
        failing = np.flatnonzero(data.failing)
        own = weight[failing]
        failures = _sums(hours.slot[failing], own, slots)
        readings = _sums(hours.slot, weight, slots)
        self.all = failures, readings
        slot = hours.slot[failing]
        own_readings = own
        if hours.same is not None:
            same = hours.same[failing]
            own = _sums(same, own)[same]
            own_readings = _sums(hours.same, weight)[same]
        # Sums of fractions leave traces where nothing is left.
        failed = np.maximum(failures[slot] - own, 0)
        self.others = failed, np.maximum(readings[slot] - own_readings, failed)


def _sums(group: Ints, weight: Floats, groups: int = 0) -> Floats:
    return np.bincount(group, weights=weight, minlength=groups).astype(np.float64)


class _Bad:
    """What the readings of an hour say of three hypotheses, up to a common factor.

    Of `every` reading `failed` did; of `known` ones, whose sites are open at another time,
    `known_failed` did. Quiet: all fail at the stray rate. Bad: all at one rate, which may be any.
    Many: the known ones at the stray rate, the others at one that may be any, as many are blocked.
    """

    def __init__(
        self, failed: Floats, every: Floats, known_failed: Floats, known: Floats, stray: Floats
    ) -> None:
        known_failed, known = np.minimum(known_failed, failed), np.minimum(known, every)
        rest_failed = failed - known_failed
        rest_open = np.maximum(every - known - rest_failed, 0)
        rare, usual = np.log(stray), np.log1p(-stray)
        quiet = failed * rare + (every - failed) * usual
        bad = _log_beta(failed + 1, every - failed + 1)
        many = known_failed * rare + (known - known_failed) * usual
        many += _log_beta(rest_failed + 1, rest_open + 1)
        good = np.logaddexp(quiet, np.log(MANY) + many)
        self._ratio = np.exp(np.clip(bad - good, -50, 50))
        self._overall = failed / np.maximum(every, 1)
        pull = np.minimum(1.0, _PULL_SITES / np.maximum(every, 1))
        self._rate = (known_failed + pull * self._overall) / (known + pull)

    def probable(self, prior: Floats | float) -> Floats:
        """How probable the hour is bad."""
        odds: Floats = self._ratio * prior / (1 - prior)
        return odds / (1 + odds)

    def fails(self, prior: Floats) -> Floats:
        """How probable a reading fails because the hour is bad, or part of the line broken."""
        probable: Floats = np.maximum(self.probable(prior) * self._rate, PARTIAL * self._overall)
        return probable


def _log_beta(a: Floats, b: Floats) -> Floats:
    """The logarithm of the beta function, for arguments from 1 on."""
    return _log_gamma(a) + _log_gamma(b) - _log_gamma(a + b)


def _log_gamma(x: Floats) -> Floats:
    """Stirling's series two steps further on, where its error is below 0.0001."""
    y = x + 2
    stirling = (y - 0.5) * np.log(y) - y + 0.5 * np.log(2 * np.pi) + 1 / (12 * y)
    logarithm: Floats = stirling - np.log(x * (x + 1))
    return logarithm


# --- who read when -------------------------------------------------------------------------------


def _neighbours(data: VerdictArrays, order: Ints, pair: Ints) -> tuple[Flags, Flags]:
    """Whether the pair's reading before was open, and the one after; silent ones are no reading."""
    speaking = order[np.isin(data.kind[order], (OPEN, LIKELY, SUSPECTED, DOWN))]
    same = pair[speaking][1:] == pair[speaking][:-1]
    was_open = data.open[speaking]
    before = np.zeros(len(order), dtype=np.bool_)
    after = np.zeros(len(order), dtype=np.bool_)
    before[speaking[1:]] = same & was_open[:-1]
    after[speaking[:-1]] = same & was_open[1:]
    return before, after


def _slots(data: VerdictArrays) -> tuple[Ints, Ints, Ints]:
    """A number per vantage and hour in which it read, and the vantage and hour of each."""
    hour = np.floor(data.seconds / SLOT).astype(np.int64)
    hour -= hour.min()
    hours = int(hour.max()) + 1
    key = data.vantage * hours + hour
    if int(key.max()) > 20 * len(key) + 1_000_000:  # times far apart
        used, slot = np.unique(key, return_inverse=True)
        slot = slot.reshape(-1)
    else:
        seen = np.bincount(key) > 0
        used, slot = np.flatnonzero(seen), (np.cumsum(seen) - 1)[key]
    return slot.astype(np.int64), used // hours, used % hours


def _same_hour(
    data: VerdictArrays, order: Ints, pair: Ints, vantage_of_pair: Ints, slot: Ints
) -> Ints | None:
    """A number for each host, vantage and hour; None where each has one reading only."""
    site_of_pair = np.empty(len(vantage_of_pair), dtype=np.int64)
    site_of_pair[pair] = data.site[data.series]
    key = site_of_pair * (int(vantage_of_pair.max(initial=0)) + 1) + vantage_of_pair
    hosts, host = np.unique(key, return_inverse=True)
    if len(hosts) < len(key):  # http and https rows: together, not as two sites
        pair = host.reshape(-1)[pair]
        order = np.lexsort((slot, pair))
    ordered_pair, ordered_slot = pair[order], slot[order]
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (ordered_pair[1:] != ordered_pair[:-1]) | (ordered_slot[1:] != ordered_slot[:-1])
    if fresh.all():
        return None
    same = np.empty(len(order), dtype=np.int64)
    same[order] = np.cumsum(fresh) - 1
    return same
