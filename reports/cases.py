"""Cases: each measurement with its follow-ups and with what other vantages saw at the same time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from storage.records import (
    Exchange,
    Handshake,
    Measurement,
    Round,
    canonical,
    corrected_seconds,
    digest,
)
from storage.store import Store, Stored

WITNESS_SECONDS = 60 * 60  # design: witnesses are measurements within 60 minutes


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one verdict may look at. `follow_ups` and `witnesses` stand by time.

    `round` and `bodies` (by blob id) are there where `completed` took them out of a database.
    """

    id: str
    measurement: Measurement
    follow_ups: tuple[Stored[Measurement], ...] = ()
    witnesses: tuple[Stored[Measurement], ...] = ()
    round: Round | None = None
    bodies: Mapping[str, bytes] = {}


def completed(case: Case, store: Store, *, bodies: bool) -> Case:
    """Return the case with its round, and with the bodies of pages that no TLS vouches for.

    The round is fetched only where a chain did not verify, for only there it decides. What was
    thinned, or never came along, is left out.
    """
    record = case.measurement
    changes: dict[str, object] = {}
    if any(isinstance(step, Handshake) and step.valid is False for step in record.steps):
        kept = store.canonical_bytes(record.round)
        if kept is not None:
            changes["round"] = msgspec.json.decode(kept, type=Round)
    if bodies:
        ids = {step.body for step in record.steps if isinstance(step, Exchange) and step.body}
        found = {id: store.blob(id) for id in sorted(ids)}
        changes["bodies"] = {id: data for id, data in found.items() if data is not None}
    return msgspec.structs.replace(case, **changes) if changes else case


def gather(measurements: Iterable[Stored[Measurement]]) -> list[Case]:
    """Return one case for each measurement that follows none, by corrected time and id.

    A follow-up whose main measurement is not among `measurements` belongs to no case.
    """
    mains: list[Stored[Measurement]] = []
    followers: dict[str, list[Stored[Measurement]]] = defaultdict(list)
    for stored in measurements:
        if stored.record.follows is None:
            mains.append(stored)
        else:
            followers[stored.record.follows].append(stored)
    mains.sort(key=_by_time)
    witnesses = _Witnesses(mains)
    return [
        Case(
            id=main.id,
            measurement=main.record,
            follow_ups=tuple(sorted(followers[main.id], key=_by_time)),
            witnesses=witnesses.of(main),
        )
        for main in mains
    ]


def inputs_hash(case: Case) -> str:
    """Return the key under which the verdict of `case` is kept: the hash of all its inputs' ids."""
    return digest(
        canonical(
            {
                "measurement": case.id,
                "follow_ups": sorted(stored.id for stored in case.follow_ups),
                "witnesses": sorted(stored.id for stored in case.witnesses),
            }
        )
    )


def _by_time(stored: Stored[Measurement]) -> tuple[float, str]:
    return corrected_seconds(stored.record), stored.id


class _Witnesses:
    """Finds measurements of the same URL by other vantages near a moment."""

    def __init__(self, mains: list[Stored[Measurement]]) -> None:
        self._by_url: dict[str, list[Stored[Measurement]]] = defaultdict(list)
        for main in mains:
            self._by_url[main.record.url].append(main)
        self._times = {
            url: [corrected_seconds(stored.record) for stored in group]
            for url, group in self._by_url.items()
        }

    def of(self, main: Stored[Measurement]) -> tuple[Stored[Measurement], ...]:
        group = self._by_url[main.record.url]
        times = self._times[main.record.url]
        moment = corrected_seconds(main.record)
        first = bisect_left(times, moment - WITNESS_SECONDS)
        last = bisect_right(times, moment + WITNESS_SECONDS)
        own = main.record.vantage.id
        return tuple(stored for stored in group[first:last] if stored.record.vantage.id != own)
