"""Cases out of a store, one when it is asked for: a report cites some hundreds of a million."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence

from reports.cases import WITNESS_SECONDS, Case, gather
from storage.columns import followed_by, kept_verdicts, measured_between
from storage.records import Verdict, corrected_seconds
from storage.store import Store

DAY = 86400.0
_WINDOWS = 64  # days of a target that are kept at hand, some megabytes


class StoredCases:
    """The cases of a store by the ids of their measurements."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._windows: OrderedDict[tuple[str, int], dict[str, Case]] = OrderedDict()
        # What follows each measurement; None where its record is not there, or only its stub.
        self._followed: dict[str, Sequence[str] | None] = {}
        self._places: dict[str, tuple[str, int] | None] = {}

    def look_up(self, ids: Collection[str]) -> None:
        """Learn at once which of these are there and what follows them, for all later questions."""
        # Not `set(ids) - keys`: that goes through all the keys.
        wanted = {id for id in ids if id not in self._followed}
        if not wanted:
            return
        found = followed_by(self._store, wanted)
        self._followed.update({id: found.get(id) for id in wanted})

    def follow_ups(self, id: str) -> Sequence[str]:
        """Return the ids of what follows a measurement, by time."""
        self.look_up([id])
        return self._followed[id] or ()

    def __contains__(self, id: str) -> bool:
        self.look_up([id])
        return self._followed[id] is not None

    def __getitem__(self, id: str) -> Case:
        """Return a case; KeyError where the record is not there, or only its stub."""
        case = self._find(id)
        if case is None:
            raise KeyError(id)
        return case

    def verdict(self, id: str) -> Verdict:
        """Return the verdict that is kept; KeyError where there is none."""
        return kept_verdicts(self._store, [id])[id]

    def _find(self, id: str) -> Case | None:
        if id not in self._places:
            stored = self._store.measurement(id)
            if stored is None or stored.record.follows is not None:
                self._places[id] = None
            else:
                day = int(corrected_seconds(stored.record) // DAY)
                self._places[id] = (stored.record.url, day)
                self._load(stored.record.url, day)
        place = self._places[id]
        if place is None:
            return None
        if place not in self._windows:
            self._load(*place)
        self._windows.move_to_end(place)
        return self._windows[place].get(id)

    def _load(self, url: str, day: int) -> None:
        """Take in what was measured of a target on one day, with what was seen beside it."""
        if (url, day) in self._windows:
            return
        around = measured_between(
            self._store,
            url,
            since=day * DAY - WITNESS_SECONDS,
            until=(day + 1) * DAY + WITNESS_SECONDS + 1,  # to a moment that is included
        )
        cases = {
            case.id: case
            for case in gather(around)
            if int(corrected_seconds(case.measurement) // DAY) == day
        }
        for id in cases:
            self._places[id] = (url, day)
        self._windows[url, day] = cases
        if len(self._windows) > _WINDOWS:
            self._windows.popitem(last=False)
