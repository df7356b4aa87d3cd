"""Attempts: what each load of the page came to, by the addresses that a browser would have used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from reports.techniques import (
    HTTP_TECHNIQUES,
    TCP_TECHNIQUES,
    TLS_TECHNIQUES,
    dns_technique,
    is_special,
)
from storage.failures import Failure
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    Layer,
    Line,
    Lookup,
    Measurement,
    Step,
)

_S = TypeVar("_S", Connect, Handshake, Exchange)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt ended, at the last name that it came to.

    `page` is the answer that a browser would have shown; without one `layer`, `technique`,
    `failure` and `address` say where and how it ended (all None where nothing was tried).
    """

    attempt: int
    hop: int
    name: str
    secure: bool
    page: Exchange | None = None
    verified: bool = False  # the page came inside TLS that is valid for `name`
    layer: Layer | None = None
    technique: str | None = None
    failure: str | None = None
    address: str | None = None

    @property
    def kind(self) -> tuple[Layer | None, str | None]:
        return self.layer, self.technique


def outcomes(measurement: Measurement) -> list[Outcome]:
    """Return the outcome of every attempt of `measurement`, the first load first."""
    steps = [step for step in measurement.steps if step.purpose in ("main", "repeat")]
    return [
        _outcome(_last_hop(measurement, steps, attempt))
        for attempt in sorted({step.attempt for step in steps})
    ]


def same_failure(one: Outcome, failed: Outcome) -> bool:
    """Tell whether an attempt failed as `failed` did.

    An address at which a name was cut off may be silent for every packet for minutes (residual
    blocking): then the next connections are not even opened.
    """
    if one.kind == failed.kind:
        return True
    return failed.layer in ("tls", "http") and one.layer == "tcp" and one.address == failed.address


def standing_failure(failed: Sequence[Outcome]) -> Outcome:
    """Return the failure that stands for several: the first that another repeats, else the first.

    On a poor line a load may fail for a question or a packet that was lost, and the others for what
    everybody meets there.
    """
    for one in failed:
        if sum(same_failure(other, one) for other in failed) > 1:
            return one
    return failed[0]


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def path_of(url: str) -> str:
    """Return the path of a URL with its query, at least "/"."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/"
    return f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"


def same_site(first: str, second: str) -> bool:
    """Tell whether two hosts share their registrable name, as far as one can without a list."""
    one, other = first.split("."), second.split(".")
    # Under second levels such as co.uk or com.kz the registrable name has three labels.
    labels = 3 if len(one) > 2 and len(one[-2]) <= 3 else 2
    return first == second or (len(one) >= labels and one[-labels:] == other[-labels:])


class _Hop(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of one attempt at one name."""

    attempt: int
    number: int
    name: str
    secure: bool
    line: Line
    system: Sequence[Lookup]  # what the system's resolver said
    connects: Sequence[Connect]
    handshakes: Sequence[Handshake]
    exchanges: Sequence[Exchange]

    def own(self, steps: Sequence[_S]) -> list[_S]:
        """Keep the steps at addresses that the system's resolver gave."""
        if not self.system:  # an address as host, or a resolver that was not asked
            return list(steps)
        addresses = {address for lookup in self.system for address in lookup.answers}
        return [step for step in steps if step.address in addresses]


def _last_hop(measurement: Measurement, steps: Sequence[Step], attempt: int) -> _Hop:
    number = max(step.hop for step in steps if step.attempt == attempt)
    there = [step for step in steps if step.hop == number]
    now = [step for step in there if step.attempt == attempt]
    handshakes = [step for step in now if isinstance(step, Handshake)]
    exchanges = [step for step in now if isinstance(step, Exchange)]
    connects = [step for step in now if isinstance(step, Connect)]
    # A reload may reuse the addresses of the first load.
    lookups = [step for step in now if isinstance(step, Lookup)]
    lookups = lookups or [step for step in there if isinstance(step, Lookup)]
    first_secure = number == 0 and measurement.url.startswith("https:")
    return _Hop(
        attempt=attempt,
        number=number,
        name=_name(measurement, number, lookups, handshakes, exchanges),
        secure=first_secure or bool(handshakes) or any(c.port == 443 for c in connects),
        line=measurement.line,
        system=[step for step in lookups if step.resolver == "system"],
        connects=connects,
        handshakes=handshakes,
        exchanges=exchanges,
    )


def _name(
    measurement: Measurement,
    number: int,
    lookups: Sequence[Lookup],
    handshakes: Sequence[Handshake],
    exchanges: Sequence[Exchange],
) -> str:
    if number == 0:
        return host_of(measurement.url)
    for lookup in lookups:
        return lookup.name.lower().rstrip(".")
    for handshake in handshakes:
        return (handshake.server_name or handshake.address).lower()
    for exchange in exchanges:
        return host_of(exchange.url)
    return ""


def _outcome(hop: _Hop) -> Outcome:
    blank = Outcome(attempt=hop.attempt, hop=hop.number, name=hop.name, secure=hop.secure)
    page = _verified_page(hop) if hop.secure else _plain_page(hop)
    if page is not None:
        return msgspec.structs.replace(blank, page=page, verified=hop.secure)
    for ending in (_unresolved, _broken_exchange, _broken_handshake, _broken_connect):
        found = ending(hop)
        if found is not None:
            layer, technique, failure, address = found
            return msgspec.structs.replace(
                blank, layer=layer, technique=technique, failure=failure, address=address
            )
    return blank


def _complete(exchange: Exchange) -> bool:
    return exchange.status is not None and exchange.failure is None


def _verified_page(hop: _Hop) -> Exchange | None:
    """The page, if an address of the system's resolver completed TLS that is valid for the name.

    Which of the site's valid addresses then carried the request makes no difference.
    """
    if not any(handshake.valid for handshake in hop.own(hop.handshakes)):
        return None
    connections = {handshake.connection for handshake in hop.handshakes if handshake.valid}
    pages = (e for e in hop.exchanges if e.connection in connections and _complete(e))
    return next(pages, None)


def _plain_page(hop: _Hop) -> Exchange | None:
    return next((e for e in hop.own(hop.exchanges) if _complete(e)), None)


_Ending = tuple[Layer, str | None, str | None, str | None]


def _unresolved(hop: _Hop) -> _Ending | None:
    addresses = [address for lookup in hop.system for address in lookup.answers]
    if not hop.system:
        return None
    if not addresses:
        # The A query speaks for the name; the AAAA query of a site without IPv6 always fails.
        asked = sorted(hop.system, key=lambda lookup: lookup.type != "A")
        return "dns", dns_technique(asked[0]), asked[0].failure, None
    if all(is_special(address) for address in addresses):
        return "dns", "forged-address", None, addresses[0]
    return None


def _broken_exchange(hop: _Hop) -> _Ending | None:
    connections = {handshake.connection for handshake in hop.own(hop.handshakes) if handshake.valid}
    for exchange in hop.own(hop.exchanges):
        if hop.secure and exchange.connection not in connections:
            continue
        technique = HTTP_TECHNIQUES.get(exchange.failure or "")
        if technique in ("timeout", "reset", "closed") and exchange.status is not None:
            technique = "stalled" if technique == "timeout" else "truncated"
        return "http", technique, exchange.failure, exchange.address
    return None


def _broken_handshake(hop: _Hop) -> _Ending | None:
    broken = [h for h in hop.own(hop.handshakes) if not h.valid]
    # A chain tells more than silence at another address of the same name.
    broken.sort(key=lambda handshake: not handshake.chain)
    for handshake in broken:
        failure = handshake.failure or ""
        return "tls", TLS_TECHNIQUES.get(failure), handshake.failure, handshake.address
    return None


def _broken_connect(hop: _Hop) -> _Ending | None:
    failed = [c for c in hop.own(hop.connects) if c.failure is not None]
    counted = [c for c in failed if family_counts(hop.line, c.address)]
    for connect in counted:
        if connect.failure == Failure.ADDRESS_FORBIDDEN:
            return "dns", "forged-address", connect.failure, connect.address
        technique = TCP_TECHNIQUES.get(connect.failure or "")
        return "tcp", technique, connect.failure, connect.address
    return None


def family_counts(line: Line, address: str) -> bool:
    """Tell whether failures of the address' family say anything: it must work on this line."""
    if ":" in address:
        return line.ipv6 is True
    return line.ipv4 is not False
