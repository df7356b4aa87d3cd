"""Annotations: the context that people added, chosen for a report and put into words."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

import msgspec

from reports.catalogue import N_
from reports.text import plain
from reports.wording import clock, day
from storage.annotations import MAX_TEXT, Annotation

NOT_EVIDENCE = N_(
    "Added by people as context, each with its source. No finding of this report rests on it."
)
_DAY, _MINUTE = 86400.0, 60.0


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One annotation as a report shows it: never evidence, always with its source.

    It lies from `seconds` to `until` (exclusive): a minute, or the whole UTC day where no time is
    known. `source` is an http or https URL without spaces, quotes or brackets; like `text` it is
    not yet escaped for any format.
    """

    id: str
    seconds: float
    until: float
    when: str
    text: str
    source: str
    country: str | None
    target: str | None

    def is_about(self, country: str | None, urls: Collection[str]) -> bool:
        """Tell whether it is about what happened in that country to one of these targets."""
        return self.country in {None, country} and (self.target is None or self.target in urls)


def notes_of(
    kept: Iterable[tuple[str, Annotation]],
    *,
    since: float,
    until: float,
    country: str | None,
    urls: Collection[str] | None,
) -> list[Note]:
    """Return the annotations of these days, country and targets, by time.

    Those that name no country or no target are about all; None as `country` or `urls` takes all.
    """
    notes = [_note(id, annotation) for id, annotation in kept]
    chosen = [
        note
        for note in notes
        if since <= note.seconds < until
        and (country is None or note.country in {None, country})
        and (urls is None or note.target is None or note.target in urls)
    ]
    return sorted(chosen, key=lambda note: (note.seconds, note.id))


def _note(id: str, annotation: Annotation) -> Note:
    when = datetime.fromisoformat(f"{annotation.date}T{annotation.time or '00:00'}:00+00:00")
    seconds = when.timestamp()
    at = f" {clock(when)} UTC" if annotation.time else ""
    return Note(
        id=id,
        seconds=seconds,
        until=seconds + (_MINUTE if annotation.time else _DAY),
        when=day(when, year=True) + at,
        text=plain(annotation.text, MAX_TEXT),
        source=annotation.source,
        country=annotation.country,
        target=annotation.target,
    )
