"""What a kernel leaves undone on a packet that it hands to a TUN device, and doing it.

With a packet comes a struct virtio_net_hdr. It may say that the checksum is still to be filled in
and that the packet is a giant one, to be cut into segments of ordinary size. Handed to another
kernel with the same header neither ever has to be done: that is what makes the path fast.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lab.wire import FIN, PSH, checksum, folded_sum, header_size, pseudo_header

# flags, kind of giant, bytes of headers, bytes in a segment, where the checksum's cover begins,
# where in it the checksum stands
HEADER = struct.Struct("=BBHHHH")
NOTHING = bytes(HEADER.size)

_NEEDS_CHECKSUM = 1
_TCP_CHECKSUM_AT = 16


def segment_size(header: bytes) -> int:
    """Return the payload bytes of each segment of a giant packet, 0 for an ordinary one."""
    return int(HEADER.unpack(header)[3]) if header and header[1] else 0


def split(data: bytes, header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the segments of a giant TCP packet, each with a header of its own.

    A packet that is no giant is yielded as it is.
    """
    size = segment_size(header)
    if not size:
        yield data, header
        return
    start = header_size(data)
    payload_at = start + (data[start + 12] >> 4) * 4
    (sequence,) = struct.unpack_from("!I", data, start + 4)
    for at in range(payload_at, len(data), size):
        piece = bytearray(data[:payload_at]) + data[at : at + size]
        offset = at - payload_at
        struct.pack_into("!I", piece, start + 4, (sequence + offset) & 0xFFFFFFFF)
        if at + size < len(data):
            piece[start + 13] &= ~(FIN | PSH)
        if offset and data[0] >> 4 == 4:
            number = int.from_bytes(data[4:6], "big") + offset // size
            piece[4:6] = (number & 0xFFFF).to_bytes(2, "big")
        yield with_length(piece, start)


def with_length(piece: bytearray, start: int) -> tuple[bytes, bytes]:
    """Correct a TCP packet whose payload was cut; its checksum is left to the next kernel."""
    version, length = piece[0] >> 4, len(piece) - start
    if version == 4:
        piece[2:4] = len(piece).to_bytes(2, "big")
        piece[10:12] = b"\0\0"
        piece[10:12] = checksum(bytes(piece[:start])).to_bytes(2, "big")
        ends = bytes(piece[12:16]), bytes(piece[16:20])
    else:
        piece[4:6] = (len(piece) - 40).to_bytes(2, "big")
        ends = bytes(piece[8:24]), bytes(piece[24:40])
    return undone(piece, start, ends, 6, length, _TCP_CHECKSUM_AT)


def undone(
    piece: bytearray,
    start: int,
    ends: tuple[bytes, bytes],
    protocol: int,
    length: int,
    checksum_at: int,
) -> tuple[bytes, bytes]:
    """Put the pseudo header's sum where the checksum belongs; return packet and header."""
    begun = folded_sum(pseudo_header(*ends, protocol, length))
    piece[start + checksum_at : start + checksum_at + 2] = begun.to_bytes(2, "big")
    return bytes(piece), HEADER.pack(_NEEDS_CHECKSUM, 0, 0, 0, start, checksum_at)


def completed(data: bytes, header: bytes) -> bytes:
    """Return an ordinary packet with its checksum filled in, for devices that take no header."""
    flags, _, _, _, start, checksum_at = HEADER.unpack(header or NOTHING)
    if not flags & _NEEDS_CHECKSUM:
        return data
    filled = bytearray(data)
    at = start + checksum_at
    filled[at : at + 2] = (checksum(data[start:]) or 0xFFFF).to_bytes(2, "big")
    return bytes(filled)
