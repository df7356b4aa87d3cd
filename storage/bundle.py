"""The format of bundles: the items of which one consists, and how much of each may be.

A bundle is a row of items. Each is one line of JSON with its kind in `item`; where it has a `size`,
that many bytes follow, then a line feed. docs/formats.md tells the whole format.

An exact bundle: head, keys, then for each unbroken stretch of a chain its anchor and its records in
the order of their places, each blob right before the first record that names it, then the end.
A public one: head, derived records in the order of their originals' ids, end.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from storage.chain import Certification, Envelope
from storage.errors import RefusedError
from storage.records import canonical

FORMAT = "sitewatch-bundle/1"
MAX_LINE_BYTES = 8 << 10
# Blobs of one record: they enter together with it, so they are held in memory until it comes.
MAX_PENDING_BYTES = 64 << 20
MAX_KEYS = 20_000

Absence: TypeAlias = Literal["withheld", "thinned", "damaged"]


class Head(msgspec.Struct, frozen=True, kw_only=True, tag="head", tag_field="item"):
    """The first item: what kind of bundle this is."""

    format: Literal["sitewatch-bundle/1"] = "sitewatch-bundle/1"
    exact: bool  # False: public, derived records only
    simulated: bool
    tool: str


class Key(msgspec.Struct, frozen=True, kw_only=True, tag="key", tag_field="item"):
    """A public key of one of the vantages."""

    certification: Certification


class Anchor(msgspec.Struct, frozen=True, kw_only=True, tag="anchor", tag_field="item"):
    """What the exporter says of one unbroken stretch of a vantage's chain, all of which follows.

    Signed by the vantage's own key, or by the key of the bundle's seal where somebody else exports.
    """

    format: Literal["sitewatch-anchor/1"] = "sitewatch-anchor/1"
    vantage: str
    first: int  # sequence numbers
    last: int
    previous: str | None  # hash of the envelope before the first
    count: int  # envelopes; more than last - first + 1 only if the installation was copied
    head: str  # hash of the last envelope
    key: str
    signature: str = ""


class Content(msgspec.Struct, frozen=True, kw_only=True, tag="blob", tag_field="item"):
    """A blob, whose bytes follow."""

    id: str
    size: int


class Place(msgspec.Struct, frozen=True, kw_only=True, tag="record", tag_field="item"):
    """A place in a chain. The record's canonical bytes follow unless `size` is null.

    `absent` says why they do not: `withheld` (not asked for at export), `thinned` (the exporter no
    longer has them), `damaged` (what the exporter has does not verify). Both null: an earlier place
    of the bundle has the same record.
    """

    envelope: Envelope
    size: int | None = None
    absent: Absence | None = None


class Derived(msgspec.Struct, frozen=True, kw_only=True, tag="derived", tag_field="item"):
    """A derived record, whose bytes follow, signed by whoever derived it."""

    format: Literal["sitewatch-derived/1"] = "sitewatch-derived/1"
    id: str  # hash of the bytes that follow
    vantage: str
    key: str
    size: int
    signature: str = ""


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end", tag_field="item"):
    """The last item: how much there was."""

    records: int
    blobs: int


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """The signature under the whole file, in its last frame."""

    format: Literal["sitewatch-seal/1"] = "sitewatch-seal/1"
    sha256: str  # of every byte of the file before the frame of the seal
    key: str
    signature: str = ""


Item: TypeAlias = Head | Key | Anchor | Content | Place | Derived | End

_item: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Item)


def line_of(item: Item) -> bytes:
    """Return the line of an item, without what follows it."""
    return canonical(item) + b"\n"


def item_in(line: bytes) -> Item:
    """Return the item of a line; RefusedError if it is none."""
    try:
        return _item.decode(line)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"not an item of a bundle ({error})") from error
