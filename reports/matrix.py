"""Matrix: which network blocked an incident's site by which technique, in counts."""

from __future__ import annotations

from collections import Counter

import msgspec

from reports.incidents import Incident, Part
from reports.readings import Network
from reports.text import plain


class MatrixRow(msgspec.Struct, frozen=True, kw_only=True):
    """One network: for each technique of the matrix how many of `measurements` showed it."""

    key: Network
    network: str
    part: Part
    counts: tuple[int, ...]
    failing: int
    measurements: int
    vantages: int


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Networks by techniques (`paths`, "layer.technique"), the most frequent first."""

    paths: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


def matrix_of(incident: Incident) -> Matrix:
    """Return the matrix of an incident, with the networks that did not block and the thin ones."""
    paths = tuple(incident.techniques)
    by_network: dict[Network, Counter[str]] = {}
    for episode in incident.episodes:
        by_network.setdefault(episode.network_key, Counter()).update(episode.techniques)
    rows = tuple(
        MatrixRow(
            key=part.key,
            network=plain(part.name),
            part=part.part,
            counts=tuple(by_network.get(part.key, Counter())[path] for path in paths),
            failing=part.failing,
            measurements=part.measurements,
            vantages=part.vantages,
        )
        for part in incident.networks
    )
    return Matrix(paths=paths, rows=rows)
