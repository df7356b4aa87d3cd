"""Strangers: whether somebody else than the site answers at an address that a resolver gave."""

from __future__ import annotations

from reports.attempts import host_of, same_site
from reports.evidence import Evidence
from reports.techniques import CUT_OFF, is_special
from storage.certificate_names import covers
from storage.failures import Failure
from storage.records import Exchange, Handshake


def is_a_strangers(e: Evidence, address: str) -> bool:
    """Is an address reserved, or does somebody answer there who is not the site?

    An edge of the site's own may break a handshake off, show the site's certificate after its time,
    or send visitors on to the site's https.
    """
    return is_special(address) or any(
        step.address == address
        for step in e.steps
        if (isinstance(step, Handshake) and _shown_by_a_stranger(e, step))
        or (isinstance(step, Exchange) and _sent_by_a_stranger(e, step))
    )


def _shown_by_a_stranger(e: Evidence, step: Handshake) -> bool:
    spoke = step.chain or step.bytes_received
    if step.valid or not spoke or step.failure in CUT_OFF:
        return False
    expired = step.failure == Failure.TLS_INVALID_CERTIFICATE and bool(step.chain)
    return not (expired and any(covers(each, e.name) for each in step.chain[0].names))


def _sent_by_a_stranger(e: Evidence, step: Exchange) -> bool:
    location = next((v for key, v in step.headers if key.lower() == "location"), "")
    own = location.startswith("https:") and same_site(host_of(location), e.name)
    return step.status is not None and not own
