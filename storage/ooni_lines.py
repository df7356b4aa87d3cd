"""Reading OONI's files line by line: JSON Lines or one document, plain, gzip or zstandard.

A file may be of any size and hostile: at most one line is held at a time, and no line is longer
than MOST_LINE_BYTES.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec
import zstandard

from storage.errors import StoreError

MOST_LINE_BYTES = 32 << 20  # a page of ten redirects at half a megabyte each, as base64, fits
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MARK = b"\xef\xbb\xbf"  # some editors begin UTF-8 with it
_MOST_WINDOW = 1 << 27  # what the zstandard program itself accepts without a flag
_BUFFER = 1 << 20
_HEAD = 64 * 1024
# gzip cannot do better than 1032; zstandard can, but no file of measurements comes near.
_MOST_EXPANSION = 2000
_DAMAGES = (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError)


class Line(msgspec.Struct, frozen=True):
    """One line of the file, or why there is none; lines are counted from 1."""

    number: int
    data: bytes
    problem: str | None = None


def looks_like_json(path: Path) -> bool:
    """Tell whether a file, unpacked, begins like a JSON object. StoreError if it is unreadable."""
    try:
        with ExitStack() as stack:
            head = _opened(path, stack).read1(_HEAD)
    except _DAMAGES:
        return False
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
    return head.removeprefix(_MARK).lstrip().startswith(b"{")


def lines(path: Path) -> Iterator[Line]:
    """Yield the lines that are not blank; a damaged file ends with a line that says so.

    A file whose first line is a lone brace is one document over many lines.
    """
    number = 0
    with ExitStack() as stack:
        try:
            stream = _opened(path, stack)
            for number, data in _numbered(stream):
                data = data.removeprefix(_MARK) if number == 1 else data
                if number == 1 and data.strip() == b"{":
                    yield _whole(stream, data)
                    return
                if len(data) > MOST_LINE_BYTES:
                    yield Line(number, b"", f"longer than {MOST_LINE_BYTES} bytes")
                elif not data.isspace():
                    yield Line(number, data)
        except _DAMAGES as error:
            yield Line(number + 1, b"", f"the file is damaged here ({error})")
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from error


class _Packed(Protocol):
    """A packed file that is open for reading."""

    def read1(self, size: int = -1, /) -> bytes: ...


class _Unpacked(io.RawIOBase):
    """What a packed file expands to, handed out as it comes, so that a cut loses nothing before.

    Raises EOFError where it expands beyond all measure.
    """

    def __init__(self, packed: _Packed, file: BinaryIO) -> None:
        self._packed = packed
        self._file = file
        self._expanded = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._packed.read1(len(buffer))
        buffer[: len(data)] = data
        self._expanded += len(data)
        if self._expanded > MOST_LINE_BYTES + _MOST_EXPANSION * self._file.tell():
            raise EOFError("it expands beyond all measure")
        return len(data)


def _opened(path: Path, stack: ExitStack) -> io.BufferedReader:
    """Return a stream of the content, unpacked."""
    file = stack.enter_context(path.open("rb"))
    magic = file.peek(4)[:4]
    packed: _Packed
    if magic.startswith(_GZIP):
        packed = stack.enter_context(gzip.GzipFile(fileobj=file))
    elif magic == _ZSTD:
        expander = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW)
        packed = stack.enter_context(expander.stream_reader(file, read_across_frames=True))
    else:
        return file
    return io.BufferedReader(_Unpacked(packed, file), _BUFFER)


def _numbered(stream: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its number; of one that is too long only its beginning."""
    number = 0
    while data := stream.readline(MOST_LINE_BYTES + 1):
        number += 1
        yield number, data
        while len(data) > MOST_LINE_BYTES and not data.endswith(b"\n"):
            rest = stream.readline(_BUFFER)
            if not rest or rest.endswith(b"\n"):
                break


def _whole(stream: io.BufferedReader, first: bytes) -> Line:
    data = first + stream.read(MOST_LINE_BYTES + 1)
    if len(data) > MOST_LINE_BYTES:
        return Line(1, b"", f"one document longer than {MOST_LINE_BYTES} bytes")
    return Line(1, data)
