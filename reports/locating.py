"""What the walks to one address say together: at which hop it happens, and to which name.

Pure: walks in, findings out. A hop is counted from 1; the box that reads names stands before the
router of that number, so that packets which die earlier never meet it.

A server ends a handshake that does not come by itself, after some seconds, and in a walk inside one
connection that looks like a box at whatever hop was tried just then. Two things tell it apart: what
answers a packet comes soon after it, and a neutral name got further, and was waited for longer.
Where a neutral name got no further, nothing is said of the name at all: a firewall before the
server may have forgotten a connection that took so long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from reports.catalogue import N_
from reports.ways import Cut, cut_after_opening, cut_between
from reports.wording import ENGLISH, Words
from storage.records import Walk

What: TypeAlias = Literal[
    "swallowed", "answered", "address-swallowed", "address-answered", "reached", "unknown"
]

# What answers a packet comes within its round trip and a little more: jitter, a busy machine.
_ROUND_TRIPS, _SLACK_US = 1.25, 200_000
_ON_ONE_CONNECTION = frozenset({"one-hello", "one-request"})

_ANSWERS = {
    "reset": N_("A reset in the name of {name} comes from a box {where}."),
    "data": N_("An answer in the name of {name} comes from a box {where}."),
    "closed": N_("An end of the connection in the name of {name} comes from a box {where}."),
    "unreachable": N_("Word that {name} cannot be reached comes from a box {where}."),
}


class Located(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: `hop` is where `what` happens, `peer_at` how far away the address is.

    `hop_at_most` is set where routers from `hop` on are silent to every walk, so that it happens
    somewhere up to there.
    """

    address: str
    name: str | None
    what: What
    hop: int | None = None
    hop_at_most: int | None = None
    answer: str | None = None
    peer_at: int | None = None
    before_asn: int | None = None  # network of the last router that answered before the hop
    at_asn: int | None = None  # network of the router at the hop, or at the last that it may be
    by_name: bool | None = None  # a neutral name came through on the same way
    sentence: str = ""


def located(walks: Sequence[Walk], words: Words = ENGLISH) -> Located | None:
    """Return what the walks of one follow-up say, None where there are none to the address."""
    named = next((walk for walk in walks if walk.arm == "name@site"), None)
    control = next((walk for walk in walks if walk.arm == "neutral@site"), None)
    main = named or control
    address = main.address if main else next((walk.address for walk in walks), None)
    if address is None:
        return None
    syn = next((w for w in walks if w.method == "syn" and w.address == address), None)
    cut = _cut(walks, syn)
    peer_at = None if cut is not None and cut.how != "silence" else _peer_at(syn, control)
    found = Located(address=address, name=named.name if named else None, what="unknown")
    what, hop, answer = _what(cut, named, control, peer_at)
    at_most = _at_most(hop, syn, control) if what == "swallowed" else None
    found = msgspec.structs.replace(
        found,
        what=what,
        hop=hop,
        hop_at_most=at_most,
        answer=answer,
        peer_at=peer_at,
        before_asn=_asn(walks, (hop or 0) - 1),
        at_asn=_asn(walks, at_most or hop or 0),
        by_name=None if control is None or named is None else control.answered_at == peer_at,
    )
    return msgspec.structs.replace(found, sentence=_sentence(found, words))


def _peer_at(syn: Walk | None, control: Walk | None) -> int | None:
    if syn is not None and syn.answer in {"peer", "reset"}:
        return syn.answered_at
    return control.answered_at if control is not None and _is_an_answer(control) else None


def _cut(walks: Sequence[Walk], syn: Walk | None) -> Cut | None:
    """Return where packets to the address end although others go on, by one walk to each."""
    if syn is None:
        return None
    beside = (w for w in walks if w.method == "syn" and w.address != syn.address)
    acks = (w for w in walks if w.method == "ack" and w.address == syn.address)
    found = [cut_between(syn, other) for other in beside]
    found += [cut_after_opening(syn, ack) for ack in acks]
    return next(filter(None, found), None)


def _what(
    cut: Cut | None, named: Walk | None, control: Walk | None, peer_at: int | None
) -> tuple[What, int | None, str | None]:
    if cut is not None:
        what: What = "address-swallowed" if cut.how == "silence" else "address-answered"
        return what, cut.hop, cut.how
    if named is None or named.failure is not None:
        return "unknown", None, None
    answered = named.answered_at if _is_an_answer(named) else None
    if answered is not None and peer_at is not None and answered >= peer_at:
        return "reached", answered, named.answer
    if control is None:
        return "unknown", None, None
    if answered is not None and _went_beyond(control, named):
        return "answered", answered, named.answer
    silent = named.silent_from
    if silent is not None and silent <= min(peer_at or silent, _met_something_at(control)):
        return "swallowed", silent, None
    return "unknown", None, None


def _is_an_answer(walk: Walk) -> bool:
    """Tell whether what came soon followed a packet, so that it may be an answer to it."""
    if walk.method not in _ON_ONE_CONNECTION:
        return True  # every time to live has a connection, or a question, of its own
    if walk.round_trip_us is None or walk.answered_after_us is None:
        return False
    return walk.answered_after_us <= _ROUND_TRIPS * walk.round_trip_us + _SLACK_US


def _went_beyond(control: Walk, named: Walk) -> bool:
    """Tell whether a neutral name passed the hop at which the name was answered.

    On one connection it must also have been open for longer than that of the name.
    """
    if named.open_us is not None and (control.open_us or 0) <= named.open_us:
        return False
    hop = named.answered_at or 0
    return (control.last_router or 0) >= hop or _met_something_at(control) > hop


def _met_something_at(walk: Walk) -> int:
    """Return the highest time to live at which a router or somebody else answered a packet."""
    answered = walk.answered_at if _is_an_answer(walk) else None
    return max(answered or 0, walk.last_router or 0)


def _at_most(hop: int | None, *others: Walk | None) -> int | None:
    """Return the first hop behind `hop` that answers others, None where that one does itself."""
    answering = {walk.answered_at for walk in others if walk is not None}
    answering |= {
        each.ttl for walk in others if walk for each in walk.hops if each.answer == "router"
    }
    first = min((ttl for ttl in answering if ttl and ttl >= (hop or 0)), default=None)
    return None if first == hop else first


def _asn(walks: Iterable[Walk], ttl: int) -> int | None:
    hops = (hop for walk in walks for hop in walk.hops if hop.ttl == ttl)
    return next((hop.asn for hop in hops if hop.asn is not None), None)


def _sentence(found: Located, words: Words) -> str:
    where = _where(found, words)
    sentence = ""
    match found.what:
        case "swallowed":
            sentence = words.text(
                "What carries the name {name} is swallowed {where}.", name=found.name, where=where
            )
        case "answered":
            message = _ANSWERS.get(found.answer or "", _ANSWERS["data"])
            sentence = words.text(message, name=found.name, where=where)
        case "address-swallowed":
            sentence = words.text(
                "Everything sent to {address} is swallowed {where}.",
                address=found.address,
                where=where,
            )
        case "address-answered":
            message = _ANSWERS.get(found.answer or "", _ANSWERS["data"])
            sentence = words.text(message, name=found.address, where=where)
        case "reached":
            return words.text(
                "What carries the name {name} reaches the site's address {where}.",
                name=found.name,
                where=where,
            )
        case _:
            return words.text("The walks do not say where it happens.")
    if found.by_name:
        sentence += " " + words.text("A neutral name came through on the same way.")
    return sentence


def _where(found: Located, words: Words) -> str:
    networks = [f"AS{asn}" for asn in (found.before_asn, found.at_asn) if asn is not None]
    of = f"{found.hop}–{found.hop_at_most}" if found.hop_at_most else f"{found.hop}"
    of += f"/{found.peer_at}" if found.peer_at else ""
    if not networks:
        return words.text("at hop {hop}", hop=of)
    if len(set(networks)) == 1:
        return words.text("at hop {hop} ({network})", hop=of, network=networks[0])
    return words.text(
        "at hop {hop} (between {first} and {second})",
        hop=of,
        first=networks[0],
        second=networks[1],
    )
