"""Networks by number: which operator an address belongs to, from a table that is kept offline.

The table is built from the public-domain TSV of iptoasn.com and read in place, so that opening it
costs nothing and a look-up a few microseconds. A missing or silent table gives None, never a guess.
"""

from __future__ import annotations

import gzip
import mmap
import os
import re
import socket
import sys
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import IO, Literal, NamedTuple

import msgspec

MOST_ROWS = 5_000_000  # the whole internet has a tenth of that
LARGEST_TEXT = 1024**3  # of the TSV, unpacked
_LONGEST_LINE = 4096
_LONGEST_NAME = 200
_COUNTRY = re.compile(r"[A-Z]{2}")
_BLOCK = 16  # sections of the file begin at multiples of it
_GZIP = b"\x1f\x8b"


class NetworksError(Exception):
    """The table cannot be read or built; the message is one line naming the file."""


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The operator of an address."""

    asn: int
    country: str | None = None  # where the operator is registered, not where the address is
    name: str | None = None


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    format: Literal["sitewatch-networks/1"] = "sitewatch-networks/1"
    date: str
    ipv4: int  # ranges
    ipv6: int
    networks: int
    texts: int  # bytes of the networks' descriptions


class _Row(NamedTuple):
    first: bytes  # address, 4 or 16 bytes
    last: bytes
    network: Network


# --- looking up ----------------------------------------------------------------------------------


class _Long:
    """A packed sequence of 16-byte numbers, as `bisect` wants it."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data) // 16

    def __getitem__(self, position: int) -> bytes:
        return bytes(self._data[16 * position : 16 * position + 16])


class NetworksTable:
    """An open table; `date` is the day its data are from, YYYY-MM-DD."""

    def __init__(self, path: Path) -> None:
        """Open a table that `build` made. Raises NetworksError where it is none."""
        try:
            with path.open("rb") as file:
                head = file.readline(_LONGEST_LINE)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            header = msgspec.json.decode(head, type=_Header)
        except (OSError, ValueError) as error:
            raise NetworksError(f"{path}: not a table of networks ({error})") from error
        self.date = header.date
        sizes = [4 * header.ipv4] * 3 + [16 * header.ipv6] * 2 + [4 * header.ipv6]
        sizes += [4 * (header.networks + 1), header.texts]
        parts, position = [], _rounded(len(head))
        for size in sizes:
            parts.append(memoryview(self._map)[position : position + size])
            position += _rounded(size)
        if sum(map(len, parts)) != sum(sizes) or sys.byteorder != "little":
            raise NetworksError(f"{path}: the table of networks is cut off")
        self._first, self._last, self._index = (part.cast("I") for part in parts[:3])
        self._first6, self._last6 = _Long(parts[3]), _Long(parts[4])
        self._index6, self._starts = parts[5].cast("I"), parts[6].cast("I")
        self._texts = parts[7]

    def network_of(self, address: str) -> Network | None:
        """Return who operates an address (text form), None where nobody is known to."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return None
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        if isinstance(parsed, IPv6Address):
            packed = parsed.packed
            place = bisect_right(self._first6, packed) - 1
            inside = place >= 0 and packed <= self._last6[place]
            return self._network(self._index6[place]) if inside else None
        number = int(parsed)
        place = bisect_right(self._first, number) - 1
        inside = place >= 0 and number <= self._last[place]
        return self._network(self._index[place]) if inside else None

    def asn_of(self, address: str) -> int | None:
        """Return the number of the network of an address, None where it is unknown."""
        network = self.network_of(address)
        return None if network is None else network.asn

    def _network(self, number: int) -> Network:
        text = self._texts[self._starts[number] : self._starts[number + 1]]
        return msgspec.json.decode(text, type=Network)


def _rounded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


# --- building ------------------------------------------------------------------------------------


def build(source: Path, target: Path, day: date | None = None, label: str = "") -> NetworksTable:
    """Write the table `target` from the TSV `source` (plain or gzip) and return it open.

    `day` is the date of the data, by default that of the file. `label` stands for the source in
    messages. Raises NetworksError, and then `target` is as it was.
    """
    shown = label or str(source)
    try:
        with source.open("rb") as file:
            when = day or datetime.fromtimestamp(source.stat().st_mtime, UTC).date()
            rows = sorted(_rows(shown, _unpacked(file)), key=_order)
    except (OSError, EOFError, zlib.error) as error:
        raise NetworksError(f"{shown}: cannot be read: {error}") from error
    _require_disjoint(shown, rows)
    if not rows:
        raise NetworksError(f"{shown}: holds no networks")
    _write(target, rows, when.isoformat())
    return NetworksTable(target)


def _order(row: _Row) -> tuple[int, bytes, bytes]:
    return len(row.first), row.first, row.last


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    packed = file.read(2) == _GZIP
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[return-value]


def _rows(shown: str, file: IO[bytes]) -> Iterator[_Row]:
    known: dict[tuple[bytes, ...], Network] = {}
    read = 0
    for number in range(1, MOST_ROWS + 2):
        line = file.readline(_LONGEST_LINE + 1)
        read += len(line)
        if not line:
            return
        if len(line) > _LONGEST_LINE or read > LARGEST_TEXT or number > MOST_ROWS:
            raise NetworksError(f"{shown}, line {number}: longer than any real table")
        columns = tuple(line.rstrip(b"\r\n").split(b"\t"))
        try:
            row = _row(columns, known)
        except ValueError as error:
            raise NetworksError(f"{shown}, line {number}: {error}") from error
        if row is not None:
            yield row


def _row(columns: tuple[bytes, ...], known: dict[tuple[bytes, ...], Network]) -> _Row | None:
    """Return one range; None where nobody routes it."""
    if len(columns) != 5:
        raise ValueError(f"{len(columns)} columns, 5 are needed")
    first, last = _packed(columns[0]), _packed(columns[1])
    if len(first) != len(last) or first > last:
        raise ValueError("the range ends before it begins")
    if columns[2:] not in known:
        known[columns[2:]] = _network(*columns[2:])
    network = known[columns[2:]]
    return _Row(first, last, network) if network.asn else None


def _packed(text: bytes) -> bytes:
    address = text.decode("ascii", "replace")
    try:
        if text.isdigit() and int(text) < 2**32:
            return int(text).to_bytes(4)
        return socket.inet_pton(socket.AF_INET6 if b":" in text else socket.AF_INET, address)
    except OSError:
        raise ValueError(f"{address[:50]!r} is no address") from None


def _network(asn: bytes, country: bytes, name: bytes) -> Network:
    if not asn.isdigit() or int(asn) >= 2**32:
        raise ValueError(f"{asn.decode('ascii', 'replace')[:50]!r} is no AS number")
    code, words = country.decode("ascii", "replace"), name.decode("utf-8", "replace")
    words = "".join(sign for sign in words if sign.isprintable())[:_LONGEST_NAME].strip()
    return Network(
        asn=int(asn),
        country=code if _COUNTRY.fullmatch(code) else None,
        name=words or None,
    )


def _require_disjoint(shown: str, rows: Iterable[_Row]) -> None:
    before: _Row | None = None
    for row in rows:
        same_family = before is not None and len(before.first) == len(row.first)
        if before is not None and same_family and row.first <= before.last:
            where = ip_address(row.first)
            raise NetworksError(f"{shown}: two ranges claim {where}")
        before = row


def _write(target: Path, rows: list[_Row], when: str) -> None:
    networks = {row.network: 0 for row in rows}
    texts = [msgspec.json.encode(network) for network in networks]
    starts = array("I", [0])
    for place, (network, text) in enumerate(zip(list(networks), texts, strict=True)):
        networks[network] = place
        starts.append(starts[-1] + len(text))
    four, six = ([row for row in rows if len(row.first) == size] for size in (4, 16))
    parts = [
        array("I", (int.from_bytes(row.first) for row in four)).tobytes(),
        array("I", (int.from_bytes(row.last) for row in four)).tobytes(),
        array("I", (networks[row.network] for row in four)).tobytes(),
        b"".join(row.first for row in six),
        b"".join(row.last for row in six),
        array("I", (networks[row.network] for row in six)).tobytes(),
        starts.tobytes(),
        b"".join(texts),
    ]
    header = _Header(
        date=when, ipv4=len(four), ipv6=len(six), networks=len(networks), texts=len(parts[-1])
    )
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with partial.open("wb") as file:
            for part in (msgspec.json.encode(header) + b"\n", *parts):
                file.write(part.ljust(_rounded(len(part)), b"\0"))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise NetworksError(f"{target}: cannot be written: {error.strerror}") from error
