"""Bundles for tests: written from databases, taken apart, and put together again by an attacker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.bundle import Anchor, Content, Derived, Item, Place, item_in
from storage.bundle_frames import FrameReader, FrameWriter
from storage.exchange import bundle_opener, export_bundle, import_file
from storage.files import kind_of_file
from storage.findings import Findings
from storage.importing import Imported
from storage.store import Store
from storage.verification import verify_bundle
from storage.wanted import Exported, Wanted

Piece = tuple[Item, bytes | None]


def export(
    database: Path,
    target: Path,
    *,
    exact: bool = True,
    recipients: Sequence[str] = (),
    **wanted: Any,
) -> Exported:
    """Write a bundle of a database."""
    with Store(database, create=False) as store:
        return export_bundle(
            store, target, Wanted(**wanted), exact=exact, tool="test", recipients=recipients
        )


def bundle_of(database: Path, **how: Any) -> Path:
    """Write a bundle beside a database; return its path."""
    target = database.with_suffix(".bundle")
    export(database, target, **how)
    return target


def merge(database: Path, *files: Path, identity: Path | None = None) -> list[Imported]:
    """Import files into a database, which is made where there is none."""
    with Store(database) as store:
        return [import_file(store, file, kind_of_file(file), identity) for file in files]


def verified(bundle: Path, identity: Path | None = None) -> Findings:
    """Return what verifying a bundle finds."""
    kind = kind_of_file(bundle)
    return verify_bundle(
        bundle, bundle_opener(bundle, kind, identity), encrypted=kind == "encrypted"
    )


def unpacked(bundle: Path) -> list[Piece]:
    """Return the items of a bundle, each with what follows it, unverified."""
    with bundle.open("rb") as file:
        frames = FrameReader(file)
        pieces: list[Piece] = []
        while (line := frames.line()) is not None:
            item = item_in(line)
            size = item.size if isinstance(item, Content | Place | Derived) else None
            pieces.append((item, None if size is None else frames.take(size)))
    return pieces


def packed(bundle: Path, pieces: Sequence[Piece], key: Ed25519PrivateKey | None = None) -> Path:
    """Write items with sound checksums and a seal by `key`, by default a stranger's."""
    with bundle.open("wb") as file:
        frames = FrameWriter(file)
        for item, content in pieces:
            frames.item(item, content)
        frames.seal(key or Ed25519PrivateKey.generate())
    return bundle


def places(pieces: Sequence[Piece]) -> list[int]:
    """Return where in `pieces` the places of chains stand."""
    return [at for at, (item, _) in enumerate(pieces) if isinstance(item, Place)]


def anchor_at(pieces: Sequence[Piece]) -> int:
    """Return where in `pieces` the first anchor stands."""
    return next(at for at, (item, _) in enumerate(pieces) if isinstance(item, Anchor))


def changed(piece: Piece, **fields: Any) -> Piece:
    """Return a piece with other fields in its item."""
    return msgspec.structs.replace(piece[0], **fields), piece[1]
