"""Where a helper never goes: into private networks, to this machine, or to ports of other services.

Anybody may ask a helper to connect somewhere. Addresses are checked after each look-up, hop by hop,
and the connection goes to the very address that was checked, so that no name can be rebound.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_WEB_PORTS = frozenset({80, 443})
_FIRST_FREE_PORT = 1024  # what lies below belongs to mail, shells and the like
# Of the documentation networks' kind: a datagram socket that is connected there sends nothing, and
# has the local address that packets abroad would have.
_ABROAD = ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1"))
_FIB_TRIE, _IF_INET6 = Path("/proc/net/fib_trie"), Path("/proc/net/if_inet6")
_LOCAL = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")


class Destinations:
    """Decides which addresses and ports may be connected to.

    `own` are this machine's addresses, as others see them too; addresses in `exempt` are allowed
    whatever they are, for helpers that serve one machine alone.
    """

    def __init__(self, own: Iterable[str] = (), *, exempt: Collection[str] = ()) -> None:
        self._own = {_plain(address) for address in own}
        self._exempt = frozenset(exempt)

    def learn(self, address: str) -> None:
        """Remember an address that somebody has reached this helper at."""
        self._own.add(_plain(address))

    def allows(self, address: str) -> bool:
        """Tell whether a helper may connect to an address in text form."""
        if address in self._exempt:
            return True
        parsed = ip_address(address)
        if isinstance(parsed, IPv6Address):
            inner = parsed.ipv4_mapped or parsed.sixtofour
            if inner is not None and not self.allows(str(inner)):
                return False
            if parsed.is_site_local:
                return False
        if parsed.is_multicast or parsed.is_reserved or not parsed.is_global:
            return False
        return parsed not in self._own

    def allows_port(self, port: int) -> bool:
        """Tell whether a port is one where sites are."""
        return port in _WEB_PORTS or _FIRST_FREE_PORT <= port <= 65535


def _plain(address: str) -> IPv4Address | IPv6Address:
    """Return an address without zone, and the IPv4 address where a socket for both shows one."""
    parsed = ip_address(address.split("%")[0])
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed


def machine_addresses() -> set[str]:
    """Return this machine's addresses: all of them on Linux, elsewhere those that it sends from."""
    if _FIB_TRIE.exists():
        found = set(_LOCAL.findall(_FIB_TRIE.read_text("ascii")))
        if _IF_INET6.exists():
            words = (line.split()[0] for line in _IF_INET6.read_text("ascii").splitlines())
            found.update(str(IPv6Address(bytes.fromhex(word))) for word in words)
        return found
    return set(filter(None, (_source(family, target) for family, target in _ABROAD)))


def _source(family: socket.AddressFamily, target: str) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((target, 9))
            return str(sock.getsockname()[0]).split("%")[0]
    except OSError:
        return None  # no route in this family: no address of it either
