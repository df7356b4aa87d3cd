"""One neutral host: what a visit to it showed of the line and of this machine's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from statistics import median
from urllib.parse import urlsplit

from probes.prober import NeutralHost
from probes.trace import Trace
from storage.certificate_names import covers
from storage.failures import Failure
from storage.records import Exchange, Handshake, utc_seconds

# An HTTP Date is cut to whole seconds: on average the true time is half a second later.
_DATE_ROUNDING = 0.5
# Seconds by which hosts that nothing vouches for may differ and still tell the same time.
_SAME_TIME = 600.0


@dataclass(frozen=True)
class Neutral:
    """One neutral URL and the trace of a visit to it."""

    url: str
    trace: Trace

    @property
    def first(self) -> Exchange | None:
        """What came in answer to the URL itself, before any redirect; None without an answer."""
        return next((step for step in self._exchanges() if step.hop == 0), None)

    @property
    def last(self) -> Exchange | None:
        """What the visit ended with."""
        return next(reversed(self._exchanges()), None)

    def passed(self) -> bool:
        """Tell whether the host answered, over https inside TLS that is valid for its name.

        Where it sends us does not matter. A portal that answers in its name has no valid chain.
        """
        step = self._shaken()
        return self._answered() and (not self._secure() or (step is not None and bool(step.valid)))

    def passed_through(self, issuer: str | None) -> bool:
        """Tell whether the host's own page came although `issuer` opened the TLS up.

        A portal shows one certificate for every name, or sends visitors away to itself.
        """
        step, page = self._shaken(), self.last
        if step is None or page is None or issuer is None or not self._answered():
            return False
        if _unknown_issuer(step) != issuer or not step.chain:
            return False
        name = step.server_name or step.address
        own = any(covers(pattern, name) for pattern in step.chain[0].names)
        return own and page.status is not None and urlsplit(page.url).hostname == name

    def host(self) -> NeutralHost | None:
        """Return the name and the address at which TLS for it is valid."""
        for step in self.handshakes():
            if step.valid and step.server_name and step.hop == 0:
                return NeutralHost(step.server_name, step.address)
        return None

    def offset(self) -> float | None:
        """Return the host's time minus ours in seconds, from the Date of its answer."""
        page = self.first
        if page is None:
            return None
        date = next((value for name, value in page.headers if name.lower() == "date"), None)
        try:
            told = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return None
        return told + _DATE_ROUNDING - (utc_seconds(page.start) + page.duration_us / 2e6)

    def unknown_authority(self) -> str | None:
        """Return the issuer of the chain's top, where nobody whom we trust vouches for it."""
        return next(filter(None, map(_unknown_issuer, self.handshakes())), None)

    def refused_for_its_dates(self) -> bool:
        return any(step.failure == Failure.TLS_INVALID_CERTIFICATE for step in self.handshakes())

    def handshakes(self) -> list[Handshake]:
        return [step for step in self.trace.steps if isinstance(step, Handshake)]

    def _exchanges(self) -> list[Exchange]:
        return [step for step in self.trace.steps if isinstance(step, Exchange)]

    def _secure(self) -> bool:
        return self.url.startswith("https:")

    def _answered(self) -> bool:
        return self.first is not None and self.first.failure is None

    def _shaken(self) -> Handshake | None:
        """Return the handshake inside which the first answer came."""
        answer = self.first
        if answer is None:
            return None
        mine = (step for step in self.handshakes() if step.connection == answer.connection)
        return next(mine, None)


def _unknown_issuer(step: Handshake) -> str | None:
    unknown = step.failure == Failure.TLS_UNKNOWN_AUTHORITY and step.chain
    return step.chain[-1].issuer if unknown else None


def intercepting_issuer(visited: Sequence[Neutral]) -> str | None:
    """Return the unknown authority that vouches for at least two neutral hosts' chains.

    It sits on this machine or its network and opens up everything.
    """
    issuers = [issuer for each in visited if (issuer := each.unknown_authority()) is not None]
    return next((issuer for issuer in issuers if issuers.count(issuer) > 1), None)


def clock_offset(visited: Sequence[Neutral]) -> float | None:
    """Return the seconds by which the hosts are ahead of this machine's clock.

    The median of those in valid TLS. Where there is none, of those whose chains only their dates
    refuse, if at least two tell the same time: a single one may have let its certificate run out.
    """
    proven = _offsets([each for each in visited if each.passed()])
    if proven:
        return median(proven)
    claimed = _offsets([each for each in visited if each.refused_for_its_dates()])
    if not claimed:
        return None
    middle = median(claimed)
    agreeing = [offset for offset in claimed if abs(offset - middle) <= _SAME_TIME]
    return median(agreeing) if len(agreeing) > 1 else None


def _offsets(hosts: Sequence[Neutral]) -> list[float]:
    return [offset for each in hosts if (offset := each.offset()) is not None]
