"""What verifying a file has found, counted by vantage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from storage.bundle import Absence
from storage.chain import Envelope, Missing

State = Literal["intact", "missing", "broken"] | Absence


class KeyUse(msgspec.Struct, kw_only=True):
    """One key of a vantage: how many places it signed, and the times of their records."""

    key: str
    places: int = 0
    first_time: str
    last_time: str


class Chain(msgspec.Struct, kw_only=True):
    """One vantage: how many places of its chain are in which state.

    `intact`: hash and signature are right. `withheld`, `thinned`: only the envelope is there, as
    the exporter, or this database, says. `missing`: nothing says why it is not there. `broken`:
    there, and wrong.
    """

    vantage: str
    first: int
    last: int
    intact: int = 0
    withheld: int = 0
    thinned: int = 0
    missing: int = 0
    broken: int = 0
    anchored_by: Literal["vantage", "exporter"] | None = None
    keys: list[KeyUse] = []


class Publisher(msgspec.Struct, kw_only=True):
    """One vantage of a public export: how many derived records, signed by which key."""

    vantage: str
    key: str
    derived: int = 0


class Findings(msgspec.Struct, kw_only=True):
    """What is in a file, and `missing` and `broken` in one line each.

    `complete` is False where a fault ended the reading: what comes after it was not looked at.
    """

    format: Literal["sitewatch-verification/1"] = "sitewatch-verification/1"
    file: str
    kind: Literal["database", "bundle", "public bundle"]
    encrypted: bool = False
    simulated: bool | None = None
    complete: bool = True
    sealed_by: str | None = None
    blobs: int = 0
    blobs_missing: int = 0
    chains: list[Chain] = []
    publishers: list[Publisher] = []
    missing: list[str] = []
    broken: list[str] = []

    @property
    def healthy(self) -> bool:
        """Whether nothing is missing or broken; what was thinned or withheld is neither."""
        return not self.missing and not self.broken

    def sort_in(self, lines: Iterable[str]) -> None:
        """Take the lines of a check as missing or broken."""
        for line in lines:
            (self.missing if isinstance(line, Missing) else self.broken).append(str(line))


class Tally:
    """Counts places of chains into findings, in the order of (vantage, sequence)."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def count(self, envelope: Envelope, state: State) -> None:
        """Count one place."""
        chains = self._findings.chains
        if not chains or chains[-1].vantage != envelope.vantage:
            place = envelope.sequence
            chains.append(Chain(vantage=envelope.vantage, first=place, last=place))
        chain = chains[-1]
        chain.last = max(chain.last, envelope.sequence)
        if state == "damaged":
            state = "withheld"  # the exporter had it, and gave only its envelope
        setattr(chain, state, getattr(chain, state) + 1)
        self._use(chain, envelope)

    def _use(self, chain: Chain, envelope: Envelope) -> None:
        time = envelope.time
        for use in reversed(chain.keys):  # nearly always the last
            if use.key == envelope.key:
                break
        else:
            use = KeyUse(key=envelope.key, first_time=time, last_time=time)
            chain.keys.append(use)
        use.places += 1
        use.first_time, use.last_time = min(use.first_time, time), max(use.last_time, time)
