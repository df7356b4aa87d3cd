"""Annotations: context that people add to what was measured, kept beside it and never signed.

An annotation is text of somebody's own. It is told in reports with its source, and no rule, episode
or check of evidence reads it. Its id is the hash of its canonical form, so that the same one, from
whatever hand, is kept once. One that was removed leaves only its id: no import brings it back.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date

import msgspec
from sqlalchemy import Connection, insert, select, update

from storage.errors import RefusedError
from storage.insertion import kind_of, wrong_kind
from storage.records import canonical, digest
from storage.schema import annotations_table

FORMAT = "sitewatch-annotation/1"
MAX_TEXT, MAX_URL = 1000, 2000  # characters

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
# No user before the host: readers would take it for the place that the link leads to.
_URL = re.compile(r"https?://[^/?#@\s]+([/?#]\S*)?")
_UNSAFE_IN_URLS = frozenset('<>"\\^`{|}')


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """What was said or happened: the UTC day, the time of it if known, and where that is written.

    `time` is ``HH:MM`` in UTC. Without a `country` or a `target` (a URL in normal form) it is about
    all of them. `simulated` says which kind of database it belongs to.
    """

    date: str
    text: str
    source: str
    time: str | None = None
    country: str | None = None
    target: str | None = None
    simulated: bool = False
    format: str = FORMAT

    @property
    def id(self) -> str:
        """The SHA-256 of the canonical form."""
        return digest(canonical(self))


class AnnotationError(RefusedError):
    """An annotation that may not enter: which field, and what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field, self.problem = field, problem


def require_sound(annotation: Annotation) -> None:
    """Raise AnnotationError, naming the first field that is wrong, for what may not enter."""
    if not _is_day(annotation.date):
        raise AnnotationError("date", f"{annotation.date[:40]!a} is no day; write it 2017-06-20")
    if annotation.time is not None and not _TIME.fullmatch(annotation.time):
        raise AnnotationError("time", f"{annotation.time[:40]!a} is no time; write it 14:30 (UTC)")
    _require_text(annotation.text)
    _require_url("source", annotation.source)
    if annotation.country is not None and not _COUNTRY.fullmatch(annotation.country):
        raise AnnotationError("country", f"{annotation.country[:40]!a} is no country's two letters")
    if annotation.target is not None:
        _require_url("target", annotation.target)


def add(connection: Connection, wanted: Iterable[Annotation]) -> int:
    """Keep annotations as the database's own kind; return how many were new, or back again.

    Raises RefusedError, before anything is kept, where the database holds no record yet or one of
    them is not sound.
    """
    kind = kind_of(connection)
    if kind is None:
        raise RefusedError("it holds no measurements yet that could be annotated")
    own = {each.id: each for each in (msgspec.structs.replace(a, simulated=kind) for a in wanted)}
    for annotation in own.values():
        require_sound(annotation)
    there = dict(_rows(connection))
    for id, annotation in own.items():
        row = {"content": canonical(annotation).decode()}
        if id not in there:
            connection.execute(insert(annotations_table).values(id=id, **row))
        elif there[id] is None:
            again = update(annotations_table).where(annotations_table.c.id == id)
            connection.execute(again.values(row))
    return sum(there.get(id) is None for id in own)


def merge(connection: Connection, handed: Sequence[tuple[str, str]]) -> tuple[int, list[str]]:
    """Keep what another database holds, (id, content) each; return how many were new, and refusals.

    What was removed here stays removed. Fields that this version does not know are kept.
    """
    kind = kind_of(connection)
    if kind is None:  # no record of theirs entered either
        return 0, []
    there = dict(_rows(connection))
    new, refused = 0, []
    for id, content in handed:
        if id in there:
            continue
        try:
            if digest(content.encode()) != id:
                raise RefusedError("its content has another hash")
            annotation = _read(content)
            if annotation.simulated != kind:
                raise RefusedError(wrong_kind(holds=kind))
        except RefusedError as error:
            refused.append(f"annotation {ascii(id)[1:-1][:80]}: {error}")
            continue
        connection.execute(insert(annotations_table).values(id=id, content=content))
        there[id] = content
        new += 1
    return new, refused


def kept(connection: Connection) -> list[tuple[str, Annotation]]:
    """Return the annotations with their ids, by day, time and id."""
    found = [(id, _read(content)) for id, content in _rows(connection) if content is not None]
    return sorted(found, key=lambda pair: (pair[1].date, pair[1].time or "", pair[0]))


def remove(connection: Connection, beginning: str) -> tuple[str, Annotation]:
    """Remove the annotation whose id begins so; return it. Of its row only the id is left.

    Raises RefusedError where none, or more than one, begins so.
    """
    digits = beginning.removeprefix("sha256:").lower()
    found = [pair for pair in kept(connection) if digits and pair[0][7:].startswith(digits)]
    if len(found) != 1:
        raise RefusedError(f"{len(found) or 'no'} annotations have an id like {beginning[:80]!a}")
    id, annotation = found[0]
    gone = update(annotations_table).where(annotations_table.c.id == id).values(content=None)
    connection.execute(gone)
    return id, annotation


def damaged(connection: Connection) -> list[str]:
    """Return one line for each annotation that is not what its id says."""
    lines = []
    for id, content in _rows(connection):
        if content is None:
            continue
        try:
            if digest(content.encode()) != id:
                raise RefusedError("its content has another hash")
            _read(content)
        except RefusedError as error:
            lines.append(f"annotation {id}: {error}")
    return lines


def _rows(connection: Connection) -> list[tuple[str, str | None]]:
    query = select(annotations_table.c.id, annotations_table.c.content).order_by(
        annotations_table.c.id
    )
    return [(id, content) for id, content in connection.execute(query)]


def _read(content: str) -> Annotation:
    try:
        annotation = msgspec.json.decode(content, type=Annotation)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise RefusedError(f"not an annotation ({error})") from error
    if annotation.format != FORMAT:
        raise RefusedError(f"unknown format {annotation.format[:40]!a}")
    require_sound(annotation)
    return annotation


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _require_text(text: str) -> None:
    if not text.strip():
        raise AnnotationError("text", "nothing is said")
    if len(text) > MAX_TEXT:
        raise AnnotationError("text", f"longer than {MAX_TEXT} characters")
    if any(unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"} for sign in text):
        raise AnnotationError("text", "a line end or a control character")


def _require_url(field: str, url: str) -> None:
    if len(url) > MAX_URL:
        raise AnnotationError(field, f"longer than {MAX_URL} characters")
    odd = any(sign in _UNSAFE_IN_URLS or unicodedata.category(sign)[0] == "C" for sign in url)
    if odd or not _URL.fullmatch(url):
        raise AnnotationError(field, f"{url[:60]!a} is no URL that starts with http:// or https://")
