"""How canonical records and blobs are compressed: zstandard, records with a shipped dictionary.

A codec's name is stored beside each compressed value. A dictionary that was ever shipped must stay
as it is for ever, since databases depend on it; a better one gets a new name.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import zstandard

from storage.errors import RefusedError

# Codec -> file of its dictionary. The last one is for what is written now.
_DICTIONARIES = {
    "zstd+records-1": "records-1.zdict",
    "zstd+records-2": "records-2.zdict",  # knows how pages came, walks, ICMP, instruments
    "zstd+records-3": "records-3.zdict",  # knows visits in the order in which they are made now
}
RECORD_CODEC = "zstd+records-3"
BLOB_CODEC = "zstd"
RAW_CODEC = "raw"

# Far above what a prober makes; only a hostile database holds more.
MAX_RECORD_BYTES = 16 << 20
MAX_BLOB_BYTES = 16 << 20

_LEVEL = 6  # a millisecond for a record on a small computer
_LARGE, _LARGE_LEVEL = 64 << 10, 3  # whole pages take twice as long at 6 and shrink little more


def compress_record(canonical: bytes) -> bytes:
    """Return canonical bytes as RECORD_CODEC stores them."""
    return zstandard.ZstdCompressor(level=_LEVEL, dict_data=_dictionary(RECORD_CODEC)).compress(
        canonical
    )


def compress_blob(content: bytes) -> tuple[str, bytes]:
    """Return (codec, compressed); content that does not shrink, like certificates, stays raw."""
    level = _LEVEL if len(content) <= _LARGE else _LARGE_LEVEL
    compressed = zstandard.ZstdCompressor(level=level).compress(content)
    if len(compressed) < len(content):
        return BLOB_CODEC, compressed
    return RAW_CODEC, content


def expand_record(codec: object, data: object) -> bytes:
    """Return the canonical bytes; RefusedError if `data` is damaged or the codec unknown."""
    if not isinstance(codec, str) or codec not in _DICTIONARIES:
        raise RefusedError(f"unknown codec {codec!r}")
    return _expand(zstandard.ZstdDecompressor(dict_data=_dictionary(codec)), data, MAX_RECORD_BYTES)


def expand_blob(codec: object, data: object) -> bytes:
    """Return the content; RefusedError if `data` is damaged or the codec unknown."""
    if codec == RAW_CODEC and isinstance(data, bytes):
        return data
    if codec not in (BLOB_CODEC, RAW_CODEC):
        raise RefusedError(f"unknown codec {codec!r}")
    return _expand(zstandard.ZstdDecompressor(), data, MAX_BLOB_BYTES)


def _expand(decompressor: zstandard.ZstdDecompressor, data: object, cap: int) -> bytes:
    if not isinstance(data, bytes):  # SQLite lets any column hold anything
        raise RefusedError("compressed data is not bytes")
    try:
        declared = zstandard.frame_content_size(data)
        # The library allocates what the frame declares, so look at that first.
        if not 0 <= declared <= cap:
            raise RefusedError(f"compressed data declares {declared} bytes; at most {cap} may be")
        return decompressor.decompress(data)
    except zstandard.ZstdError as error:
        raise RefusedError(f"compressed data is damaged ({error})") from error


@cache
def _dictionary(codec: str) -> zstandard.ZstdCompressionDict:
    packaged = files("storage").joinpath("dictionaries", _DICTIONARIES[codec])
    return zstandard.ZstdCompressionDict(packaged.read_bytes())
