"""Steps of the older probes (test keys up to 0.4), whose events do not say what belongs together.

Such a probe first tries every address (connection, and TLS since 0.4), then loads the page on
connections of its own, of which only the outcome is kept. So a failure at an address that the load
met as well was met twice: the load then is a second attempt. What the load must have done to get
its page over https, but nobody wrote down, is added as a handshake without certificates; addresses
that nobody wrote down are empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from storage.failures import Failure
from storage.ooni_steps import Gathered, endpoint_of, events, location_of
from storage.ooni_values import integer
from storage.records import Connect, Exchange, Handshake, Lookup, Step

# Where the load ended, by the bits of x_status.
_STAGES: tuple[tuple[int, Literal["connect", "handshake", "exchange"]], ...] = (
    (1024, "handshake"),
    (128, "connect"),
    (256, "exchange"),
)


def legacy_steps(gathered: Gathered) -> list[Step]:
    """Return the steps in the order in which such a probe makes them."""
    document = gathered.document
    lookups = [one for entry in events(document, "queries") for one in gathered.lookups(entry)]
    connects = _connects(gathered)
    handshakes = _handshakes(gathered, connects)
    load = _Load(gathered, connects, handshakes)
    for entry in reversed(events(document, "requests")):  # they stand newest first
        load.add(entry)
    return [*lookups, *connects, *handshakes, *load.steps]


def _connects(gathered: Gathered) -> list[Connect]:
    found = []
    for position, entry in enumerate(events(gathered.document, "tcp_connect")):
        connect = gathered.connect(entry, gathered.connection(position))
        found += [connect] if connect else []
    return found


def _handshakes(gathered: Gathered, connects: Sequence[Connect]) -> list[Handshake]:
    """Return the handshakes, tied to the open connections in their common order.

    They carry no address of their own; where the numbers differ nothing can be tied.
    """
    made = events(gathered.document, "tls_handshakes")
    opened = [connect for connect in connects if connect.failure is None]
    if len(made) != len(opened):
        return []
    return [
        gathered.handshake(entry, (connect.address, connect.port), connect.connection)
        for entry, connect in zip(made, opened, strict=True)
    ]


class _Load:
    """The load of the page: its requests from the first on, as steps."""

    def __init__(
        self, gathered: Gathered, connects: Sequence[Connect], handshakes: Sequence[Handshake]
    ) -> None:
        self.steps: list[Step] = []
        self._gathered = gathered
        self._connects = connects
        self._handshakes = handshakes
        self._hop = 0
        self._attempt = 0
        self._last: Exchange | None = None

    def add(self, entry: dict[str, Any]) -> None:
        """Take the next request: after a redirect the next hop, else another attempt."""
        page = self._gathered.exchange(entry, 0, "")
        if page is None:
            return
        if self._last is not None:
            if location_of(self._last) is not None or page.url != self._last.url:
                self._hop += 1
            else:
                self._attempt += 1
        self._last = page
        place = {"hop": self._hop, "attempt": self._attempt}
        page = msgspec.structs.replace(page, **place, purpose="repeat" if self._attempt else "main")
        self.steps += self._answered(page) if page.status is not None else self._failed(page)

    def _answered(self, page: Exchange) -> list[Step]:
        """An answer came: over https inside TLS that this client had checked, if it checks."""
        carried = self._carrier(page)
        if carried is not None:
            number, where = carried
            return [msgspec.structs.replace(page, connection=number, address=where)]
        return self._on_unseen_connection(page)

    def _carrier(self, page: Exchange) -> tuple[int, str] | None:
        """Return number and address of a connection that was seen to work for this request."""
        if self._hop:
            return None
        _, port = endpoint_of(page.url)
        if page.url.startswith("https:"):
            shaken = next((h for h in self._handshakes if h.valid), None)
            return (shaken.connection, shaken.address) if shaken else None
        opened = (c for c in self._connects if c.failure is None and c.port == port)
        connect = next(opened, None)
        return (connect.connection, connect.address) if connect else None

    def _on_unseen_connection(self, page: Exchange) -> list[Step]:
        where = self._first_open(page)
        number = self._gathered.connection(("load", self._hop, self._attempt))
        placed = msgspec.structs.replace(page, connection=number, address=where)
        if not page.url.startswith("https:"):
            return [placed]
        checked = self._gathered.document.verifies
        shaken = self._handshake(placed, None, valid=True if checked else None)
        return [shaken, placed]

    def _first_open(self, page: Exchange) -> str:
        """Return an address at which the page's host and port were seen to be open."""
        host, port = endpoint_of(page.url)
        if self._hop and host != endpoint_of(self._gathered.document.url)[0]:
            return ""
        opened = (c.address for c in self._connects if c.failure is None and c.port == port)
        return next(opened, "")

    def _failed(self, page: Exchange) -> list[Step]:
        """No answer came: say so at the stage where the load ended, as far as that is known."""
        stage = self._stage(page)
        if stage == "exchange":
            return self._answered(page)
        if stage in (None, "lookup") and self._hop == 0:
            return []  # the steps before it say more
        if stage == "lookup":
            return [self._lookup(page)]
        if stage is None:
            return [self._unplaced(page)]
        return [self._ended_early(page, stage)]

    def _stage(
        self, page: Exchange
    ) -> Literal["lookup", "connect", "handshake", "exchange"] | None:
        failure = page.failure or ""
        if failure.startswith("dns_"):
            return "lookup"
        if failure.startswith("ssl_"):
            return "handshake"
        status = integer(self._gathered.document.keys.x_status, 0, 2**31)
        for bit, stage in _STAGES:
            if status is not None and status & bit:
                return stage
        if failure in (Failure.CONNECTION_REFUSED, Failure.HOST_UNREACHABLE):
            return "connect"
        return "exchange" if self._carrier(page) is not None else None

    def _ended_early(self, page: Exchange, stage: Literal["connect", "handshake"]) -> Step:
        """A connection or handshake of the load that failed: again, where one had failed before."""
        tried: Sequence[Connect | Handshake] = (
            self._connects if stage == "connect" else self._handshakes
        )
        before = [] if self._hop else [one for one in tried if one.failure is not None]
        same = [one for one in before if one.failure == page.failure] or before
        where = same[0].address if same else self._first_open(page)
        again = bool(before)
        self._attempt += again
        number = self._gathered.connection(("load", self._hop, self._attempt))
        page = msgspec.structs.replace(
            page,
            connection=number,
            address=where,
            attempt=self._attempt,
            purpose="repeat" if self._attempt else "main",
        )
        if stage == "handshake":
            invalid = page.failure in (
                Failure.TLS_INVALID_HOSTNAME,
                Failure.TLS_INVALID_CERTIFICATE,
                Failure.TLS_UNKNOWN_AUTHORITY,
            )
            return self._handshake(page, page.failure, valid=False if invalid else None)
        return self._connect(page)

    # --- steps of which only the outcome is known ----------------------------------------------

    def _connect(self, page: Exchange) -> Connect:
        return Connect(
            purpose=page.purpose,
            hop=page.hop,
            attempt=page.attempt,
            connection=page.connection,
            address=page.address,
            port=endpoint_of(page.url)[1],
            failure=page.failure,
            start=page.start,
            duration_us=0,
        )

    def _handshake(self, page: Exchange, failure: str | None, valid: bool | None) -> Handshake:
        host, port = endpoint_of(page.url)
        return Handshake(
            purpose=page.purpose,
            hop=page.hop,
            attempt=page.attempt,
            connection=page.connection,
            address=page.address,
            port=port,
            server_name=host,
            valid=valid,
            failure=failure,
            start=page.start,
            duration_us=0,
        )

    def _lookup(self, page: Exchange) -> Lookup:
        return Lookup(
            purpose=page.purpose,
            hop=page.hop,
            attempt=page.attempt,
            name=endpoint_of(page.url)[0],
            type="A",
            resolver="system",
            failure=page.failure,
            start=page.start,
            duration_us=0,
        )

    def _unplaced(self, page: Exchange) -> Exchange:
        number = self._gathered.connection(("load", self._hop, self._attempt))
        return msgspec.structs.replace(page, connection=number)
