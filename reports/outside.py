"""Outside views: what helpers and other vantages met at the same URL at the same time."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reports.attempts import Outcome, outcomes
from reports.techniques import DNS_TECHNIQUES, HTTP_TECHNIQUES, TCP_TECHNIQUES, TLS_TECHNIQUES
from storage.records import HelperAnswer, HelperEndpoint, Layer, Measurement, Vantage


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One outside view. Exactly one of these holds: it reached the site, it failed, or neither
    can be said (`reached` False and `layer` None), and that speaks for nothing."""

    who: str
    reached: bool
    layer: Layer | None = None
    technique: str | None = None
    status: int | None = None
    title: str | None = None
    body_length: int | None = None
    addresses: frozenset[str] = frozenset()


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
    )
    if view.reached:
        return view
    layer, technique = _helper_failure(answer)
    return msgspec.structs.replace(view, layer=layer, technique=technique)


def _helper_failure(answer: HelperAnswer) -> tuple[Layer | None, str | None]:
    if answer.dns_failure is not None and not answer.dns:
        return "dns", DNS_TECHNIQUES.get(answer.dns_failure)
    connects = _failures(answer.connect)
    if connects:
        return "tcp", TCP_TECHNIQUES.get(connects[0])
    handshakes = _failures(answer.handshake)
    if handshakes:
        return "tls", TLS_TECHNIQUES.get(handshakes[0])
    if answer.exchange.failure is not None:
        return "http", HTTP_TECHNIQUES.get(answer.exchange.failure)
    return None, None


def _failures(endpoints: Mapping[str, HelperEndpoint]) -> list[str]:
    """Return how endpoints failed, empty unless all of them did."""
    if any(endpoint.status for endpoint in endpoints.values()):
        return []
    return [endpoint.failure or "" for _, endpoint in sorted(endpoints.items())]


def of_vantage(measurement: Measurement) -> View | None:
    """Return what another vantage met, None where its measurement tells nothing."""
    if not measurement.complete or measurement.line.state != "up":
        return None
    attempts = outcomes(measurement)
    if not attempts:
        return None
    seen = next((attempt for attempt in attempts if attempt.page is not None), attempts[0])
    page = seen.page
    return View(
        who=network_name(measurement.vantage),
        reached=page is not None and (seen.verified or not seen.secure),
        layer=seen.layer,
        technique=seen.technique,
        status=page.status if page else None,
        title=page.title if page else None,
        body_length=page.body_bytes if page else None,
    )


def failed_like(view: View, outcome: Outcome) -> bool:
    """Tell whether an outside view failed in the same way as `outcome`."""
    if view.reached or view.technique is None:
        return False
    if view.layer == "http" and outcome.layer in ("tcp", "tls"):
        return view.technique == outcome.technique  # a helper that names no endpoint
    return (view.layer, view.technique) == outcome.kind


def network_name(vantage: Vantage) -> str:
    """Return how a vantage's network is named for people."""
    if vantage.asn is None:
        return vantage.network or "a network without a known number"
    return f"AS{vantage.asn} ({vantage.network})" if vantage.network else f"AS{vantage.asn}"
