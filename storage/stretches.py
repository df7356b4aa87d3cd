"""Stretches of chains: the unbroken runs of envelopes that a database holds, each for an anchor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from storage.bundle import Anchor
from storage.chain import Envelope, envelope_hash, require_certified
from storage.errors import RefusedError
from storage.reading import beyond, envelope_columns
from storage.schema import envelopes

_PAGE = 256
# With more than this the database as a whole is not fit to be handed on.
_MOST_BROKEN = 1000


class Span(msgspec.Struct, frozen=True):
    """Which places of a vantage's chain are wanted, both included."""

    vantage: str
    first: int
    last: int


class Stretches(msgspec.Struct, frozen=True):
    """The unbroken stretches of a span, unsigned, and what does not verify in between."""

    anchors: list[Anchor]
    broken: Mapping[str, str]  # hash of the envelope -> why


def spans(connection: Connection) -> list[Span]:
    """Return the whole chain of each vantage."""
    first, last = func.min(envelopes.c.sequence), func.max(envelopes.c.sequence)
    query = select(envelopes.c.vantage, first, last).group_by(envelopes.c.vantage)
    query = query.order_by(envelopes.c.vantage)
    return [Span(*row) for row in connection.execute(query)]


def envelope_pages(connection: Connection, span: Span) -> Iterator[list[tuple[str, Envelope]]]:
    """Yield (hash, envelope) in the order of places, a page at a time."""
    place = envelopes.c.sequence, envelopes.c.hash
    query = select(*envelope_columns(), envelopes.c.hash)
    query = query.where(
        envelopes.c.vantage == span.vantage,
        envelopes.c.sequence.between(span.first, span.last),
    )
    query = query.order_by(*place).limit(_PAGE)
    after: tuple[int, str] | None = None
    while True:
        page = query if after is None else query.where(beyond(place, after))
        rows = connection.execute(page).all()
        yield [(row.hash, _envelope(row)) for row in rows]
        if len(rows) < _PAGE:
            return
        after = rows[-1].sequence, rows[-1].hash


def stretches(connection: Connection, span: Span, certified: Mapping[str, set[str]]) -> Stretches:
    """Return the stretches of a span; an envelope that does not verify parts two of them."""
    anchors: list[Anchor] = []
    broken: dict[str, str] = {}
    run: _Run | None = None
    for page in envelope_pages(connection, span):
        for hash, envelope in page:
            try:
                _require_sound(hash, envelope, certified)
            except RefusedError as error:
                broken[hash] = str(error)
                if len(broken) > _MOST_BROKEN:
                    raise RefusedError(
                        f"more than {_MOST_BROKEN} envelopes do not verify; see sitewatch verify"
                    ) from error
                continue
            if run is None or not run.take(hash, envelope):
                anchors += [run.anchor] if run else []
                run = _Run(hash, envelope)
    anchors += [run.anchor] if run else []
    return Stretches(anchors, broken)


class _Run:
    """One stretch while it grows."""

    def __init__(self, hash: str, envelope: Envelope) -> None:
        self.anchor = Anchor(
            vantage=envelope.vantage,
            first=envelope.sequence,
            last=envelope.sequence,
            previous=envelope.previous,
            count=1,
            head=hash,
            key="",
        )
        self._before: set[str | None] = {envelope.previous}
        self._here: set[str | None] = {hash}

    def take(self, hash: str, envelope: Envelope) -> bool:
        """Add the next envelope; False if it does not follow."""
        last = self.anchor.last
        if envelope.sequence == last + 1 and envelope.previous in self._here:
            self._before, self._here = self._here, set()
        elif envelope.sequence != last or envelope.previous not in self._before:
            return False
        self._here.add(hash)
        self.anchor = msgspec.structs.replace(
            self.anchor, last=envelope.sequence, head=hash, count=self.anchor.count + 1
        )
        return True


def _envelope(row: Any) -> Envelope:
    fields = {name: row._mapping[name] for name in Envelope.__struct_fields__}
    try:
        return msgspec.convert(fields, Envelope)
    except msgspec.ValidationError as error:
        raise RefusedError(f"an envelope is not what it should be ({error})") from error


def _require_sound(hash: str, envelope: Envelope, certified: Mapping[str, set[str]]) -> None:
    require_certified(envelope, certified)
    if envelope_hash(envelope) != hash:
        raise RefusedError(f"{envelope.id}: its envelope has another hash")
    if envelope.sequence < 1 or (envelope.sequence == 1) != (envelope.previous is None):
        raise RefusedError(f"{envelope.id}: its envelope has no place in a chain")
