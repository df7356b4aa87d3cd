"""Outside views: what helpers and other vantages met at the same URL at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from reports.attempts import Outcome, outcomes, standing_failure
from reports.techniques import DNS_TECHNIQUES, HTTP_TECHNIQUES, TCP_TECHNIQUES, TLS_TECHNIQUES
from storage.records import HelperAnswer, HelperEndpoint, Layer, Measurement, Vantage


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One outside view. Exactly one of these holds: it reached the site, it failed, or neither
    can be said (`reached` False and `layer` None), and that speaks for nothing."""

    who: str
    reached: bool
    layer: Layer | None = None
    techniques: frozenset[str] = frozenset()  # several where its word stands for all of them
    status: int | None = None
    title: str | None = None
    body_length: int | None = None
    addresses: frozenset[str] = frozenset()
    took_us: int | None = None  # from our question to its answer, of helpers


def of_helper(answer: HelperAnswer, secure: bool) -> View | None:
    """Return what a helper saw, None where it did not answer: silence is no view."""
    if not answer.answered:
        return None
    page = answer.exchange
    got_page = page.status is not None and page.failure is None
    shook = secure and any(endpoint.status for endpoint in answer.handshake.values())
    view = View(
        who=answer.helper,
        reached=got_page or shook,
        status=page.status if got_page else None,
        title=page.title,
        body_length=page.body_length,
        addresses=frozenset(answer.dns),
        took_us=answer.duration_us,
    )
    if view.reached:
        return view
    layer, failure, ours = _helper_failure(answer)
    techniques = _meant_by(failure, ours)
    if layer == "http":  # its word is the same where a page had begun
        techniques = techniques.union(*(_HAVING_BEGUN.get(each, ()) for each in techniques))
    return msgspec.structs.replace(view, layer=layer, techniques=techniques)


# What helpers say in words of their own, where ours would be more exact (OONI's oohelperd).
_HELPERS_WORDS: dict[str, frozenset[str]] = {
    "connection_refused_error": frozenset({"refused"}),
    "connect_error": frozenset({"reset", "unreachable"}),  # whatever is no refusal nor silence
    "dns_name_error": frozenset({"nxdomain"}),
    "dns_server_failure": frozenset({"servfail", "refused"}),
}


_HAVING_BEGUN = {"timeout": ("stalled",), "reset": ("truncated",), "closed": ("truncated",)}


def _helper_failure(
    answer: HelperAnswer,
) -> tuple[Layer | None, str | None, Mapping[str, str]]:
    """Return at which layer a helper failed, its word for it, and our table of that layer."""
    opened = any(endpoint.status for endpoint in answer.connect.values())
    if answer.dns_failure is not None and not answer.dns and not opened:
        return "dns", answer.dns_failure, DNS_TECHNIQUES  # else our own addresses told it more
    connects = _failures(answer.connect)
    if connects:
        return "tcp", connects[0], TCP_TECHNIQUES
    handshakes = _failures(answer.handshake)
    if handshakes:
        return "tls", handshakes[0], TLS_TECHNIQUES
    if answer.exchange.failure is not None:
        return "http", answer.exchange.failure, HTTP_TECHNIQUES
    return None, None, {}


def _meant_by(failure: str | None, ours: Mapping[str, str]) -> frozenset[str]:
    word = failure or ""
    return frozenset({ours[word]}) if word in ours else _HELPERS_WORDS.get(word, frozenset())


def _failures(endpoints: Mapping[str, HelperEndpoint]) -> list[str]:
    """Return how endpoints failed, empty unless all of them did."""
    if any(endpoint.status for endpoint in endpoints.values()):
        return []
    return [endpoint.failure or "" for _, endpoint in sorted(endpoints.items())]


def completed_tls(answers: Iterable[HelperAnswer]) -> set[str]:
    """Return the addresses at which helpers completed TLS, as many as failed there or more.

    They verify chains, so that such an address is the site's; but one of them may lie.
    """
    balance: Counter[str] = Counter()
    completed = set()
    for answer in answers:
        for endpoint, shaken in answer.handshake.items():
            address = endpoint.rpartition(":")[0].strip("[]")
            balance[address] += 1 if shaken.status else -1
            if shaken.status:
                completed.add(address)
    return {address for address in completed if balance[address] >= 0}


def of_vantage(measurement: Measurement) -> View | None:
    """Return what another vantage met, None where its measurement tells nothing."""
    if not measurement.complete or measurement.line.state != "up":
        return None
    attempts = outcomes(measurement)
    if not attempts:
        return None
    pages = (attempt for attempt in attempts if attempt.page is not None)
    seen = next(pages, None) or standing_failure(attempts)
    page = seen.page
    return View(
        who=network_name(measurement.vantage),
        reached=page is not None and (seen.verified or not seen.secure),
        layer=seen.layer,
        techniques=frozenset(filter(None, [seen.technique])),
        status=page.status if page else None,
        title=page.title if page else None,
        body_length=page.body_bytes if page else None,
    )


def failed_like(view: View, outcome: Outcome) -> bool:
    """Tell whether an outside view failed in the same way as `outcome`."""
    if view.reached or outcome.technique not in view.techniques:
        return False
    # A helper that names no endpoint says everything of the page.
    return view.layer == outcome.layer or (view.layer == "http" and outcome.layer in ("tcp", "tls"))


def network_name(vantage: Vantage) -> str:
    """Return how a vantage's network is named for people."""
    if vantage.asn is None:
        return vantage.network or "a network without a known number"
    return f"AS{vantage.asn} ({vantage.network})" if vantage.network else f"AS{vantage.asn}"
