"""Locate: at which hop on the way somebody swallows packets, or answers in the site's name."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass
from typing import Literal

from probes.addresses import is_forbidden
from probes.answers import query
from probes.bare_walks import walk_ack, walk_syn
from probes.prober import Prober
from probes.repeating_walks import walk_many_names, walk_questions
from probes.suspicion import Endpoint, Suspect
from probes.tcp import connect
from probes.trace import Stage, Trace
from probes.walks import (
    MOST_HOPS,
    Target,
    repeats_quickly,
    walk_one_name,
)
from storage.records import Walk

_FURTHER = 2  # times to live tried beyond the one at which the peer answers a neutral name
_PAIRS = 2  # of walks to an address and to its neighbour
HTTP_PORT, HTTPS_PORT = 80, 443
_QUESTION_PATIENCE = 1.0  # seconds for each time to live


@dataclass(frozen=True)
class Place:
    """What is to be located: how the suspected name is sent, and where to."""

    suspect: Suspect
    kind: Literal["hello", "request", "question"]


def _walk_context() -> ssl.SSLContext:
    """Return a context with a ClientHello that fits one segment: one key share, no large ones."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ecdh_curve("prime256v1")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


_CONTEXT = _walk_context()


def client_hello(name: str) -> bytes:
    """Return a ClientHello with that server name, in one segment's size."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _CONTEXT.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("no handshake is complete before anything was received")


def request(name: str, path: str, user_agent: str) -> bytes:
    """Return a GET in clear for that Host and path."""
    return f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: {user_agent}\r\n\r\n".encode(
        "latin-1"
    )


async def locate(prober: Prober, trace: Trace, place: Place) -> None:
    """Walk to the suspect's address: SYNs, a neighbour's SYNs, a neutral name, the name itself.

    The walk with the name shows it once; where the kernel is too old for that, and for questions,
    the name would be repeated, and that is only done at tier conspicuous.
    """
    suspect = place.suspect
    conspicuous = prober.settings.tier == "conspicuous"
    if place.kind == "question":
        await _locate_question(prober, trace, suspect, conspicuous=conspicuous)
        return
    endpoint = Endpoint(suspect.address, suspect.port)
    bare, _ = await prober.patiently(walk_beside(prober, trace, endpoint, Stage("ttl-walk")))
    neutral = next((each.name for each in prober.neutrals if each.name != suspect.name), None)
    most = MOST_HOPS
    if neutral is not None:
        stage = Stage("ttl-walk", arm="neutral@site")
        control = await _walk_name(prober, trace, place, neutral, stage, most)
        # A server may have ended the control by itself, before anything came so far.
        reached = bare.answered_at if bare.answer == "peer" else control.answered_at
        most = min(MOST_HOPS, (reached or MOST_HOPS) + _FURTHER)
    if repeats_quickly() or conspicuous:
        stage = Stage("ttl-walk", arm="name@site")
        await _walk_name(prober, trace, place, suspect.name, stage, most)


async def walk_beside(
    prober: Prober, trace: Trace, endpoint: Endpoint, stage: Stage
) -> tuple[Walk, Walk | None]:
    """Walk with SYNs to an address and to the one beside it, at the same time."""
    beside = neighbour_of(endpoint.address)
    addresses = [endpoint.address] if beside is None else [endpoint.address, beside]
    async with prober.walking, prober.sockets.taken(len(addresses) * MOST_HOPS):
        walks = await asyncio.gather(
            *(walk_syn(trace, stage, Target(each, endpoint.port)) for each in addresses)
        )
    return walks[0], walks[1] if beside is not None else None


async def see_where_it_ends(prober: Prober, trace: Trace, *, endpoint: Endpoint) -> None:
    """See whether packets to an address end on the way, and whether another port of it answers.

    Nothing here carries a name. The walks beside one another are made twice, since a router may
    keep silent once by chance; one pair is enough where the address' packets go as far as others.
    """
    await prober.patiently(_walk_in_pairs(prober, trace, endpoint))
    other = HTTP_PORT if endpoint.port != HTTP_PORT else HTTPS_PORT
    timeout = prober.settings.limits.connect_timeout
    opened = await prober.patiently(
        connect(trace, Stage("contrast"), endpoint.address, other, timeout)
    )
    if opened is not None:
        opened.close()


async def _walk_in_pairs(prober: Prober, trace: Trace, endpoint: Endpoint) -> None:
    for attempt in range(_PAIRS):
        stage = Stage("ttl-walk", attempt=attempt)
        own, beside = await walk_beside(prober, trace, endpoint, stage)
        distance = own.answered_at if own.answer == "peer" else None
        if distance is not None:
            target = Target(endpoint.address, endpoint.port)
            async with prober.walking, prober.sockets.taken(MOST_HOPS):
                await walk_ack(trace, stage, target, distance + 1)
        elif beside is None or _reach(own) + 1 >= _reach(beside):
            break


def _reach(walk: Walk) -> int:
    """Return the highest time to live at which anybody answered."""
    return max(walk.answered_at or 0, walk.last_router or 0)


async def _walk_name(
    prober: Prober, trace: Trace, place: Place, name: str, stage: Stage, most: int
) -> Walk:
    timeout = prober.settings.limits.connect_timeout
    target = Target(place.suspect.address, place.suspect.port, name)
    hello = place.kind == "hello"
    data = (
        client_hello(name)
        if hello
        else request(name, place.suspect.path, prober.settings.user_agent)
    )
    if repeats_quickly():
        method: Literal["one-hello", "one-request"] = "one-hello" if hello else "one-request"
        return await walk_one_name(trace, stage, target, data, method, timeout, most)
    return await walk_many_names(trace, stage, target, data, timeout)


async def _locate_question(
    prober: Prober, trace: Trace, suspect: Suspect, *, conspicuous: bool
) -> None:
    neutral = next((each.name for each in prober.neutrals if each.name != suspect.name), None)
    names = [("neutral@site", neutral), ("name@site", suspect.name if conspicuous else None)]
    for arm, name in names:
        if name is not None:
            target = Target(suspect.address, suspect.port, name)
            stage = Stage("ttl-walk", arm="neutral@site" if arm == "neutral@site" else "name@site")
            data = query(name, "A").to_wire()
            await walk_questions(trace, stage, target, data, _QUESTION_PATIENCE)


def neighbour_of(address: str) -> str | None:
    """Return the address beside this one, None where it may not be sent to."""
    parsed = ipaddress.ip_address(address)
    beside = str(type(parsed)(int(parsed) ^ 1))
    return None if is_forbidden(beside) else beside
