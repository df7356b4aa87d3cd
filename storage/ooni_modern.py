"""Steps of the newer probes (test keys 0.5), whose events say what belongs together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from storage.ooni_document import Document
from storage.ooni_steps import Gathered, events, location_of
from storage.ooni_values import endpoint, seconds, split
from storage.records import Exchange, Lookup, Purpose, Step

_DEPTH = re.compile(r"depth=([0-9]{1,2})", re.ASCII)
_MOST_HOPS = 20


def is_modern(document: Document) -> bool:
    """Tell whether the events are tied together by transaction ids."""
    named = (events(document, key) for key in ("tcp_connect", "tls_handshakes", "requests"))
    return any(isinstance(e.get("transaction_id"), int) for some in named for e in some) or any(
        isinstance(e.get("transaction_id"), int) for e in events(document, "queries")
    )


def modern_steps(gathered: Gathered) -> list[Step]:
    """Return the steps in the order of their kinds, then as the probe listed them."""
    document = gathered.document
    pages = _exchanges(gathered)
    schemes = _schemes(document, pages)
    steps: list[Step] = [*_lookups(gathered)]
    for entry in events(document, "tcp_connect"):
        connect = gathered.connect(
            entry, _connection(gathered, entry), _hop(entry), _purpose(entry, schemes)
        )
        steps += [connect] if connect else []
    for entry in events(document, "tls_handshakes"):
        where = endpoint(entry.get("address"))
        if where is not None and entry.get("network") in (None, "", "tcp"):
            number, hop = _connection(gathered, entry), _hop(entry)
            steps.append(gathered.handshake(entry, where, number, hop, _purpose(entry, schemes)))
    return [*steps, *pages]


def _lookups(gathered: Gathered) -> list[Lookup]:
    """Return all lookups, late replies beside the first one of the same query."""
    late: dict[str, list[dict[str, Any]]] = {}
    for entry in events(gathered.document, "x_dns_duplicate_responses"):
        late.setdefault(_question(entry), []).append(entry)
    found = []
    for entry in events(gathered.document, "queries"):
        more = late.get(_question(entry), [])
        since = seconds(entry.get("t0")) or 0.0
        for lookup in gathered.lookups(entry, _hop(entry)):
            if more and lookup.resolver == "udp":
                replies = [gathered.late_reply(one, since) for one in more]
                lookup = msgspec.structs.replace(lookup, replies=[*lookup.replies, *replies])
            found.append(lookup)
    return found


def _question(entry: dict[str, Any]) -> str:
    """Return what a query and the late replies to it have in common."""
    return f"{entry.get('transaction_id')} {entry.get('query_type')}"


def _exchanges(gathered: Gathered) -> list[Exchange]:
    pages = []
    for entry in reversed(events(gathered.document, "requests")):  # they stand newest first
        where = endpoint(entry.get("address"))
        number = _connection(gathered, entry)
        page = gathered.exchange(entry, number, where[0] if where else "", _hop(entry))
        pages += [page] if page else []
    return pages


def _schemes(document: Document, pages: list[Exchange]) -> Mapping[int, str]:
    """Return by hop whether its page was asked for over http or https."""
    schemes = {}
    for page in pages:
        target = split(location_of(page) or "")
        if target is not None:
            schemes[page.hop + 1] = target.scheme
    schemes |= {page.hop: page.url.partition(":")[0] for page in pages}
    schemes[0] = document.url.partition(":")[0]
    return schemes


def _purpose(entry: dict[str, Any], schemes: Mapping[int, str]) -> Purpose:
    """Return "contrast" for the tries of port 443 that accompany a page over plain HTTP.

    No browser makes them, so they are no load of the page; they show what else the address does.
    """
    aside = "fetch_body=false" in _tags(entry) and schemes.get(_hop(entry)) == "http"
    return "contrast" if aside else "main"


def _connection(gathered: Gathered, entry: dict[str, Any]) -> int:
    return gathered.connection(str(entry.get("transaction_id"))[:40])


def _tags(entry: dict[str, Any]) -> list[Any]:
    tags = entry.get("tags")
    return tags[:20] if isinstance(tags, list) else []


def _hop(entry: dict[str, Any]) -> int:
    for tag in _tags(entry):
        found = _DEPTH.fullmatch(tag) if isinstance(tag, str) else None
        if found:
            return min(int(found[1]), _MOST_HOPS)
    return 0
