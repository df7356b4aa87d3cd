"""The outer shell of a bundle: compressed chunks of bounded size, and the seal under all of them.

The file is one that every zstandard program can expand: ordinary frames of at most a mebibyte, and
between them skippable frames, which such a program passes over. A skippable frame is a number that
tells its kind, its size (both 32 bits, the low byte first) and its content.

- MARK, the first: the name of the format.
- LENGTH, before each ordinary frame: how many bytes that takes, 32 bits, the low byte first.
- SEAL, the last: a signature over the SHA-256 of everything before.

So the reader knows before it expands anything how much it will get, and every byte of the file is
under the signature.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Protocol

import msgspec
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.bundle import FORMAT, MAX_LINE_BYTES, Item, Seal, line_of
from storage.chain import public_hex, signed, signed_by
from storage.errors import RefusedError
from storage.records import canonical

MARK, LENGTH, SEAL = 0x184D2A50, 0x184D2A51, 0x184D2A52
# What every bundle begins with.
BEGINNING = struct.pack("<II", MARK, len(FORMAT)) + FORMAT.encode()

_HEADER = struct.Struct("<II")
_CHUNK_BYTES = 1 << 20
_MOST_COMPRESSED = _CHUNK_BYTES + 4096  # content that does not shrink grows by a few bytes
_LEVEL = 6
# Records and certificates shrink to a fifth or so; only a bomb shrinks like this.
_MOST_RATIO = 400
_FREE_BYTES = 64 << 20


class Readable(Protocol):
    """Where bytes come from; fewer than asked for may come, none only at the end."""

    def read(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object: ...


class FrameWriter:
    """Writes items to a stream; nothing is complete before `seal`."""

    def __init__(self, out: Writable) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self._pending = bytearray()
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._write(BEGINNING)

    def item(self, item: Item, content: bytes | None = None) -> None:
        """Write an item, and the bytes that follow it."""
        self._pending += line_of(item)
        if content is not None:
            self._pending += content
            self._pending += b"\n"
        while len(self._pending) >= _CHUNK_BYTES:
            self._chunk(bytes(self._pending[:_CHUNK_BYTES]))
            del self._pending[:_CHUNK_BYTES]

    def seal(self, key: Ed25519PrivateKey) -> None:
        """Write what is pending and the signature under everything."""
        if self._pending:
            self._chunk(bytes(self._pending))
            self._pending.clear()
        unsigned = Seal(sha256=self._hash.hexdigest(), key=public_hex(key))
        content = canonical(signed(unsigned, key))
        self._out.write(_HEADER.pack(SEAL, len(content)) + content)

    def _chunk(self, content: bytes) -> None:
        compressed = self._compressor.compress(content)
        self._write(_HEADER.pack(LENGTH, 4) + struct.pack("<I", len(compressed)) + compressed)

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        self._out.write(data)


class FrameReader:
    """Reads items back. RefusedError for whatever is not exactly as it was written.

    `seal` is the signature once everything was read, None before.
    """

    def __init__(self, source: Readable) -> None:
        self.seal: Seal | None = None
        self._source = source
        self._hash = hashlib.sha256()
        self._buffer = b""
        self._at = 0
        self._compressed, self._expanded = 0, 0
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=8 << 20)
        if self._exactly(len(BEGINNING)) != BEGINNING:
            raise RefusedError("not a Sitewatch bundle")

    def line(self) -> bytes | None:
        """Return the next line without its line feed; None at the end."""
        parts, size = [], 0
        while True:
            end = self._buffer.find(b"\n", self._at)
            part = self._buffer[self._at : end if end >= 0 else len(self._buffer)]
            parts.append(part)
            size += len(part)
            if size > MAX_LINE_BYTES:
                raise RefusedError(f"a line is longer than {MAX_LINE_BYTES} bytes")
            if end >= 0:
                self._at = end + 1
                return b"".join(parts)
            if not self._refill():
                if size:
                    raise RefusedError("the last line does not end")
                return None

    def take(self, size: int) -> bytes:
        """Return the `size` bytes that follow an item."""
        parts, wanted = [], size
        while wanted:
            if self._at == len(self._buffer) and not self._refill():
                raise RefusedError("it ends in the middle of an item")
            part = self._buffer[self._at : self._at + wanted]
            self._at += len(part)
            wanted -= len(part)
            parts.append(part)
        if self._at == len(self._buffer) and not self._refill():
            raise RefusedError("it ends in the middle of an item")
        if self._buffer[self._at : self._at + 1] != b"\n":
            raise RefusedError("an item is longer than it says")
        self._at += 1
        return b"".join(parts)

    def _refill(self) -> bool:
        """Expand the next chunk into the buffer; False once the seal was met."""
        if self.seal is not None:
            return False
        before = self._hash.hexdigest()
        kind, size = _HEADER.unpack(self._exactly(_HEADER.size))
        if kind == SEAL:
            self.seal = self._sealed(before, self._exactly(min(size, MAX_LINE_BYTES)))
            if self._source.read(1):
                raise RefusedError("something follows after its seal")
            return False
        if (kind, size) != (LENGTH, 4):
            raise RefusedError("damaged: a frame is none of a bundle's")
        (length,) = struct.unpack("<I", self._exactly(4))
        if length > _MOST_COMPRESSED:
            raise RefusedError("damaged: a chunk is too long")
        self._buffer, self._at = self._expand(self._exactly(length)), 0
        return True

    def _expand(self, compressed: bytes) -> bytes:
        try:
            declared = zstandard.frame_content_size(compressed)
            # The library allocates what the frame declares, so look at that first.
            if not 0 < declared <= _CHUNK_BYTES:
                raise RefusedError(f"a chunk says that it expands to {declared} bytes")
            content = self._decompressor.decompress(compressed, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise RefusedError(f"damaged: a chunk does not expand ({error})") from error
        self._compressed += len(compressed)
        self._expanded += len(content)
        if self._expanded > max(_FREE_BYTES, _MOST_RATIO * self._compressed):
            raise RefusedError(f"it expands to more than {_MOST_RATIO} times its size")
        return content

    def _sealed(self, sha256: str, content: bytes) -> Seal:
        try:
            seal = msgspec.json.decode(content, type=Seal)
        except (ValueError, RecursionError) as error:
            raise RefusedError(f"its seal is damaged ({error})") from error
        if canonical(seal) != content:
            raise RefusedError("its seal is not in canonical form")
        if seal.sha256 != sha256:
            raise RefusedError("it was changed since it was sealed")
        if not signed_by(seal, seal.key):
            raise RefusedError("its seal has a wrong signature")
        return seal

    def _exactly(self, size: int) -> bytes:
        parts, wanted = [], size
        while wanted:
            part = self._source.read(wanted)
            if not part:
                raise RefusedError("it is cut off")
            parts.append(part)
            wanted -= len(part)
        data = b"".join(parts)
        self._hash.update(data)
        return data
