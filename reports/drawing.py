"""Drawing: what a laid-out timeline is made of, and how its states are called."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from reports.axis import Tick
from reports.catalogue import N_
from reports.readings import Network
from storage.records import LineState, Status

BAND_HEIGHT = 26

BandKind: TypeAlias = Literal["measured", "blocked", "possible", "uncertain", "line"]
MarkKind: TypeAlias = Literal["open", "blocked", "suspected", "down", "unknown"]

STATUSES: dict[Status, str] = {
    "accessible": N_("open"),
    "blocked": N_("blocked"),
    "restricted": N_("refused by the site itself"),
    "down": N_("down"),
    "inconclusive": N_("inconclusive"),
    "offline": N_("the line was not up"),
}
LINES: dict[LineState, str] = {
    "up": N_("up"),
    "captive": N_("behind a login page"),
    "down": N_("down"),
    "foreign-cut": N_("cut off from abroad"),
    "whitelisted": N_("open for a few sites only"),
}


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a lane; `title` says it in words."""

    kind: BandKind
    x: float
    width: float
    title: str


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One reading; `tick` where there is no room for a glyph, `says` what it found."""

    kind: MarkKind
    x: float
    tick: bool
    seconds: float
    says: str


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """One unit of the axis, by number and `begin` in seconds: measurements, and those that failed.

    `height` is that of its bar in the strip of sample sizes; `label` the number, where it fits.
    """

    index: int
    begin: float
    x: float
    width: float
    height: float
    label: str
    measured: int
    failing: int

    @property
    def share(self) -> float:
        """The height in a band of what failed."""
        return round(BAND_HEIGHT * self.failing / self.measured, 1)


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One network. `marks` is empty where there would be too many: then `units` show shares."""

    key: Network
    label: str
    note: str
    summary: str  # the lane in words
    y: float
    bands: tuple[Band, ...]
    marks: tuple[Mark, ...]
    units: tuple[Unit, ...]

    @property
    def is_dense(self) -> bool:
        return not self.marks and bool(self.units)


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """One annotation: where it lies, and its number in the list below the drawing."""

    x: float
    width: float
    label_x: float
    number: int
    title: str


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A laid-out timeline in units of one pixel at its natural size. `step` is in seconds."""

    id: str
    title: str
    width: float
    height: float
    top: float
    bottom: float
    since: float
    until: float
    step: float
    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    local_ticks: tuple[Tick, ...]
    local_name: str | None
    flags: tuple[Flag, ...]
