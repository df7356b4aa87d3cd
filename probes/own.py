"""The volunteer's own addresses: in memory only, to keep them out of everything that is kept."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeVar

import msgspec

from probes.own_words import is_ours
from probes.spellings import (
    base64_cores,
    base64_pattern,
    encoded_pattern,
    ipv6_tokens,
    readings,
    texts_of,
)
from storage.records import Record, canonical

MARK = "[scrubbed]"
MOST_ADDRESSES = 32  # more than any line has: who tells us further ones is lying
_PREFIX = 64  # of IPv6: what is behind it changes daily and names nobody, what is before it does

_R = TypeVar("_R", bound=Record)


class OwnAddresses:
    """Own addresses as far as known; everything is scrubbed of them before it is hashed.

    Sockets tell them, whoami names do, and neutral hosts in valid TLS that say whom they see.
    """

    MARK = MARK

    def __init__(self) -> None:
        self._known: dict[str, _Forms] = {}

    def learn(self, sock: socket.socket) -> None:
        """Remember the local address of a connected socket, if it could identify somebody."""
        self.learn_told(str(sock.getsockname()[0]).split("%")[0])

    def learn_told(self, text: str) -> bool:
        """Remember an address that somebody says is ours; False where it can be none of ours."""
        try:
            address = ip_address(text.strip().removeprefix("::ffff:"))
        except ValueError:
            return False
        if address.is_loopback or address.is_unspecified or address.is_multicast:
            return False
        if str(address) not in self._known and len(self._known) < MOST_ADDRESSES:
            self._known[str(address)] = _Forms(address)
        return str(address) in self._known

    def public(self) -> list[str]:
        """Return the global addresses known, for looking up the network that they belong to."""
        return [each for each, forms in self._known.items() if forms.address.is_global]

    def is_own(self, address: str) -> bool:
        """Tell whether an address is this line's; in IPv6 its whole /64 is."""
        try:
            parsed = ip_address(address.split("%")[0])
        except ValueError:
            return False
        return any(forms.covers(parsed) for forms in self._known.values())

    def found_in(self, data: bytes, *, packed: bool = False) -> bool:
        """Tell whether an own address stands in `data` in any spelling.

        `packed`: also as its bare four or sixteen bytes, for what is not text.
        """
        if not self._known:
            return False
        if packed and any(forms.address.packed in data for forms in self._known.values()):
            return True
        return any(self._reads(plain) for plain in readings(data))

    def scrub(self, text: str) -> str:
        """Return `text` with every own address replaced."""
        data = text.encode("utf-8", "surrogatepass")
        scrubbed = self.scrub_bytes(data)
        return text if scrubbed is data else scrubbed.decode("utf-8", "replace")

    def scrub_bytes(self, data: bytes) -> bytes:
        """Return `data` with every own address replaced; the very same object where none is."""
        if not self.found_in(data):
            return data
        mark, scrubbed = MARK.encode(), data
        for forms in self._known.values():
            scrubbed = forms.pattern.sub(mark, scrubbed)
        scrubbed = self._without_tokens(scrubbed)
        # An encoding inside an encoding: better nothing at all than a trace of the volunteer.
        return mark if self.found_in(scrubbed) else scrubbed

    def scrub_record(self, record: _R) -> _R:
        """Return the record without own addresses; the same object where there are none."""
        if not self.found_in(canonical(record)):
            return record
        scrubbed = self._scrub_value(msgspec.to_builtins(record))
        return msgspec.convert(scrubbed, type(record))

    def scrub_blobs(self, blobs: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the blobs that hold no own address: raw replies and certificates are not cut."""
        return {id: data for id, data in blobs.items() if not self.found_in(data, packed=True)}

    def _scrub_value(self, value: Any) -> Any:
        match value:
            case str():
                return value if is_ours(value) else self.scrub(value)
            case list():
                return [self._scrub_value(each) for each in value]
            case dict():
                return {self._scrub_value(k): self._scrub_value(each) for k, each in value.items()}
        return value

    def _reads(self, data: bytes) -> bool:
        lower = data.lower()
        return any(forms.stands_in(data, lower) for forms in self._known.values()) or any(
            self._covers(token) for token in self._tokens(lower)
        )

    def _tokens(self, lower: bytes) -> Iterator[IPv6Address]:
        if any(isinstance(forms.address, IPv6Address) for forms in self._known.values()):
            yield from ipv6_tokens(lower)

    def _covers(self, token: IPv6Address) -> bool:
        return any(forms.covers(token) for forms in self._known.values())

    def _without_tokens(self, data: bytes) -> bytes:
        """Replace IPv6 addresses of own networks that are spelled in no usual way."""

        def replaced(found: re.Match[bytes]) -> bytes:
            return (
                MARK.encode()
                if any(map(self._covers, ipv6_tokens(found[0].lower())))
                else (found[0])
            )

        if not any(self._covers(token) for token in self._tokens(data.lower())):
            return data
        return re.sub(rb"[0-9A-Fa-f:.]+", replaced, data)


class _Forms:
    """One address in all its spellings."""

    def __init__(self, address: IPv4Address | IPv6Address) -> None:
        self.address = address
        self._texts = texts_of(address)
        self._encoded = [*self._plain_texts(), address.packed]
        self._cores = sorted({core for each in self._encoded for core in base64_cores(each)})
        self._network = (
            IPv6Network((address, _PREFIX), strict=False)
            if isinstance(address, IPv6Address)
            else None
        )

    def _plain_texts(self) -> list[bytes]:
        texts = {str(self.address), self.address.exploded, str(self.address).upper()}
        return sorted(text.encode() for text in texts)

    def covers(self, address: IPv4Address | IPv6Address) -> bool:
        if self._network is not None:
            return address in self._network
        if isinstance(address, IPv6Address):
            mapped = address.ipv4_mapped or address.sixtofour
            return mapped == self.address
        return address == self.address

    def stands_in(self, data: bytes, lower: bytes) -> bool:
        return any(text in lower for text in self._texts) or any(
            core in data for core in self._cores
        )

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """Matches every spelling; slow, so only used where one is known to be."""
        texts = b"|".join(encoded_pattern(text) for text in self._texts)
        encoded = b"|".join(each for text in self._encoded for each in base64_pattern(text))
        return re.compile(b"(?i:" + texts + b")|" + encoded)
