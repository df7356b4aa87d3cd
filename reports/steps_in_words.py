"""Steps in words: one line for each network operation, for people who read along."""

from __future__ import annotations

from reports.techniques import failure_in_words
from reports.text import plain
from storage.records import Connect, Exchange, Handshake, Lookup, Quic, Step, Walk


def step_in_words(step: Step) -> str:
    """Return what was asked of whom and what came; everything from the network made harmless."""
    arm = f" [{step.arm}]" if step.arm else ""
    ending = f": {failure_in_words(step.failure)}" if step.failure else _success(step)
    return plain(f"{_asked(step)}{arm}{ending}", 300)


def _asked(step: Step) -> str:
    if isinstance(step, Lookup):
        kinds = {"system": "the system's resolver", "udp": f"{step.address} over UDP"}
        whom = kinds.get(step.resolver, step.resolver)
        return f"lookup {step.type} {step.name} by {whom}"
    if isinstance(step, Connect):
        return f"connect {step.address} port {step.port}"
    if isinstance(step, Handshake):
        return f"TLS {step.address} with the name {step.server_name or '(none)'}"
    if isinstance(step, Exchange):
        often = f" {step.requests} times" if step.requests else ""
        return f"{step.method or 'GET'} {step.url}{often} at {step.address}"
    if isinstance(step, Quic):
        return f"QUIC {step.address} with the name {step.server_name}"
    return f"walk ({step.method}) to {step.address} with {step.name or 'no name'}"


def _success(step: Step) -> str:
    if isinstance(step, Lookup):
        raced = f", {len(step.replies)} replies" if len(step.replies) > 1 else ""
        return f": {', '.join(step.answers) or 'no address'}{raced}"
    if isinstance(step, Connect):
        return ": open"
    if isinstance(step, Handshake):
        return f": {step.version or 'no version'}, {'valid' if step.valid else 'not valid'}"
    if isinstance(step, Exchange) and step.requests:
        return f": {step.status}, {step.wire_bytes or 0} bytes in all"
    if isinstance(step, Exchange):
        return f": {step.status} “{step.title or ''}”, {step.body_bytes or 0} bytes"
    if isinstance(step, Walk):
        if step.answered_at is not None:
            return f": {step.answer} at hop {step.answered_at}"
        return f": silence from hop {step.silent_from}" if step.silent_from else ": no end"
    return ": passed"
