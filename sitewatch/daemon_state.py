"""What the daemon remembers over a restart and shows to `sitewatch status`: a file by the database.

It holds no name of a site. Losing it loses nothing that was measured: the data used are counted
again from the database, and the next round comes soon.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Literal

import msgspec

from sitewatch.daemon_lock import beside
from sitewatch.usage import Usage
from storage.records import LineState, utc_text

_MOST_TROUBLES = 20
_URL = re.compile(r"https?://\S+")


class Trouble(msgspec.Struct):
    """Something that went wrong: when first and last, how often, what, and what to do about it."""

    first: str
    last: str
    times: int
    what: str
    remedy: str


class DaemonState(msgspec.Struct):
    """All that is remembered. Times are UTC text."""

    format: Literal["sitewatch-daemon/1"] = "sitewatch-daemon/1"
    saved: str = ""
    started: str = ""
    paused: bool = False
    line: LineState | None = None
    line_since: str = ""
    clock_offset: float | None = None  # seconds to be added to the machine's clock; None: unknown
    stretch: float | None = 1.0  # None: no data are left this month
    last: dict[str, str] = {}  # when each cadence's latest round started
    next: dict[str, str] = {}  # when its next one starts
    last_success: str = ""
    vantages: list[str] = []  # pseudonyms that measured here
    usage: Usage = msgspec.field(default_factory=Usage)
    troubles: list[Trouble] = []

    def note_line(self, line: LineState, at: str) -> None:
        """Remember the line's state, and since when it is so."""
        if line != self.line:
            self.line, self.line_since = line, at

    def note_trouble(self, what: str, remedy: str, at: str) -> None:
        """Remember what went wrong, without URLs; the same again only counts."""
        what = _URL.sub("[a site]", what)
        for trouble in self.troubles:
            if trouble.what == what:
                trouble.last, trouble.times = at, trouble.times + 1
                return
        self.troubles.append(Trouble(at, at, 1, what, remedy))
        self.troubles.sort(key=lambda trouble: trouble.last)
        del self.troubles[:-_MOST_TROUBLES]

    def save(self, database: str, now: float) -> None:
        """Write the file atomically, mode 0600. Raises OSError."""
        self.saved = utc_text(now)
        path = beside(database, ".state")
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(self, order="sorted"))
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise


def load_state(database: str) -> DaemonState | None:
    """Return what was remembered, None where there is nothing that can be read."""
    try:
        return msgspec.json.decode(beside(database, ".state").read_bytes(), type=DaemonState)
    except (OSError, msgspec.DecodeError):
        return None  # starting afresh is always safe
