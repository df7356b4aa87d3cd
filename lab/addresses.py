"""Addresses that look public, drawn by chance: blocks of them, each with an operator's number."""

from __future__ import annotations

import ipaddress
from random import Random

# First octets under which ordinary networks are found: nothing special-purpose begins with them.
_FIRST_OCTETS = (23, 31, 37, 45, 46, 62, 77, 78, 80, 82, 84, 88, 91, 93, 95, 109, 146, 151, 176)
_TAKEN = {"8.8.8": 65551, "9.9.9": 65550, "2001:4860": 65551, "2620:fe": 65550}
_FIRST_OPERATOR_ASN = 65536  # of the range reserved for documentation
_OPERATOR_ASNS = 14


def block_of(address: str) -> str:
    """Return the block of an address: three octets, or two groups of IPv6."""
    if ":" not in address:
        return address.rpartition(".")[0]
    return ":".join(f"{int(group or '0', 16):x}" for group in address.split(":")[:2])


class Blocks:
    """Hands out blocks, never one twice, each with its operator's number in `asns`."""

    def __init__(self, chance: Random, chance6: Random) -> None:
        self._chance = chance
        self._chance6 = chance6  # of its own: what is drawn for IPv6 moves no IPv4 address
        self.asns = dict(_TAKEN)
        self._count = 2  # blocks of IPv4 handed out

    def next(self, asn: int = 0) -> str:
        """Return the first three octets of a new block."""
        while True:
            first = self._chance.choice(_FIRST_OCTETS)
            block = f"{first}.{self._chance.randint(0, 255)}.{self._chance.randint(0, 255)}"
            if block not in self.asns and ipaddress.ip_network(f"{block}.0/24").is_global:
                self.asns[block] = asn or _FIRST_OPERATOR_ASN + self._count % _OPERATOR_ASNS
                self._count += 1
                return block

    def next6(self, asn: int = 0) -> str:
        """Return the first two groups of a new IPv6 block."""
        while True:
            block = f"2a{self._chance6.randint(0, 15):02x}:{self._chance6.randint(1, 0xFFFF):x}"
            if block not in self.asns and ipaddress.ip_network(f"{block}::/32").is_global:
                self.asns[block] = asn or _FIRST_OPERATOR_ASN
                return block

    def host(self) -> str:
        """Return an address in a block of its own."""
        return f"{self.next()}.{self._chance.randint(2, 250)}"

    def host6(self, same_operator_as: str) -> str:
        """Return an IPv6 address in a block of its own, of the operator of another address."""
        block = self.next6(self.asns.get(block_of(same_operator_as), 0))
        return str(ipaddress.ip_address(f"{block}::{self._chance6.randint(2, 0xFFFF):x}"))
