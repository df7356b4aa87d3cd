"""Roots: the heads of all chains under one hash, to be timestamped elsewhere and held up later.

Inside a database nothing shows that the end of a chain was cut off, or that a chain was made anew.
A root that somebody else has kept, or dated, does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import Connection, func, select

from storage.chain import Missing
from storage.errors import RefusedError, StoreError, reason_for
from storage.records import canonical, digest
from storage.schema import envelopes

_MOST_BYTES = 16 << 20


class ChainHead(msgspec.Struct, frozen=True, kw_only=True):
    """The last place of a vantage's chain, and the hash of its envelope."""

    vantage: str
    last: int
    head: str


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """The heads of all chains, and the SHA-256 of their canonical form."""

    format: Literal["sitewatch-root/1"] = "sitewatch-root/1"
    root: str
    chains: list[ChainHead]


def root_of(connection: Connection) -> Root:
    """Return the root of a database; RefusedError without the database's name if it is empty."""
    last = func.max(envelopes.c.sequence).label("last")
    lasts = select(envelopes.c.vantage, last).group_by(envelopes.c.vantage).subquery()
    heads = select(envelopes.c.vantage, envelopes.c.sequence, envelopes.c.hash).join(
        lasts,
        (envelopes.c.vantage == lasts.c.vantage) & (envelopes.c.sequence == lasts.c.last),
    )
    rows = connection.execute(heads.order_by(envelopes.c.vantage, envelopes.c.hash))
    chains = [ChainHead(vantage=row[0], last=row[1], head=row[2]) for row in rows]
    if not chains:
        raise RefusedError("it holds no records yet")
    return Root(root=digest(canonical(chains)), chains=chains)


def root_in(path: Path) -> Root:
    """Return the root that a file holds; StoreError naming the file if it holds none."""
    try:
        with path.open("rb") as file:
            root = msgspec.json.decode(file.read(_MOST_BYTES), type=Root)
    except OSError as error:
        raise StoreError(f"{path}: {reason_for(error)}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not a root ({error})") from error
    if digest(canonical(root.chains)) != root.root:
        raise StoreError(f"{path}: its chains are not those of its root")
    return root


class RootCheck:
    """Holds the envelopes of a file against a root."""

    def __init__(self, root: Root | None) -> None:
        chains = root.chains if root else []
        self._wanted: dict[tuple[str, int], set[str]] = {}
        for chain in chains:
            self._wanted.setdefault((chain.vantage, chain.last), set()).add(chain.head)
        self._others: set[tuple[str, int]] = set()

    def wants(self, vantage: str, sequence: int) -> bool:
        """Return whether the root says something of this place."""
        return (vantage, sequence) in self._wanted

    def meet(self, vantage: str, sequence: int, hash: str) -> None:
        """Take note of an envelope that is there, at a place that is wanted."""
        place = (vantage, sequence)
        if hash in self._wanted[place]:
            self._wanted[place].discard(hash)
        else:
            self._others.add(place)

    def lines(self) -> list[str]:
        """Return a line for each head of the root that was not met."""
        found: list[str] = []
        for (vantage, last), heads in self._wanted.items():
            if not heads:
                continue
            if (vantage, last) in self._others:
                found.append(f"vantage {vantage}: place {last} is another than in the root")
            else:
                found.append(Missing(f"vantage {vantage}: place {last} of the root is not there"))
        return found
