"""What an address is: its family, its operator, whether it may be connected to."""

from __future__ import annotations

import ipaddress
import socket


def family_of(address: str) -> socket.AddressFamily:
    """Return AF_INET or AF_INET6 of an address in text form."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def is_address(text: str) -> bool:
    """Tell whether a host is an IP address literal rather than a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_forbidden(address: str) -> bool:
    """Tell whether an answer's address is never connected to.

    Loopback, unspecified, link-local and multicast addresses lead to this machine or its
    neighbours; private ones stay allowed, a provider may host its block page there.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return (
        parsed.is_loopback or parsed.is_unspecified or parsed.is_link_local or parsed.is_multicast
    )


def is_public(address: str) -> bool:
    """Tell whether an address can be a public site's: no local network's, none that is reserved."""
    parsed = ipaddress.ip_address(address)
    return parsed.is_global and not parsed.is_multicast


def same_operator(one: str, other: str) -> bool:
    """Guess whether two addresses belong to one operator: the same /16, or /32 in IPv6."""
    if family_of(one) is not family_of(other):
        return False
    length = 16 if family_of(one) is socket.AF_INET else 32
    network = ipaddress.ip_network((one, length), strict=False)
    return ipaddress.ip_address(other) in network


def endpoint(address: str, port: int) -> str:
    """Return ``192.0.2.1:443`` or ``[2001:db8::1]:443``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
