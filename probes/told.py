"""What a neutral host says about whom it sees: own addresses in its headers and on its page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from probes.own import OwnAddresses

# Headers in which servers and what stands before them tell visitors their address.
_HEADERS = frozenset(
    {
        b"x-client-ip",
        b"x-forwarded-for",
        b"x-real-ip",
        b"x-remote-ip",
        b"x-your-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"client-ip",
        b"forwarded",
    }
)
_ADDRESS = re.compile(rb"(?<![0-9A-Fa-f:.])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:]{3,39})")
# "Your IP address is 192.0.2.1" and the like; a page that is nothing but an address counts too.
_PHRASE = re.compile(
    rb"(?:your|client|remote|visitor)[ _-]?(?:'s )?(?:ip)?[ _-]?addr(?:ess)?[^0-9a-f]{1,20}"
    rb"([0-9A-Fa-f:.]{3,45})",
    re.IGNORECASE,
)
_LONGEST_BARE_PAGE = 64


def learn_from_page(own: OwnAddresses, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
    """Learn own addresses from the reply of a neutral host in valid TLS."""
    found = [
        address
        for name, value in headers
        if name.lower() in _HEADERS
        for address in _ADDRESS.findall(value)
    ]
    found += _PHRASE.findall(body)
    if len(body) <= _LONGEST_BARE_PAGE:
        found.append(body.strip())
    for text in found:
        address = text.decode("ascii", "replace").rstrip(".")
        if _is_public(address):
            own.learn_told(address)


def _is_public(text: str) -> bool:
    """Tell whether it is an address of ours at all: proxies also name their own private ones."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.is_global
