"""Handing data on and taking it in: exporting a store to a file, importing and opening files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from storage.bundle_frames import Readable, Writable
from storage.bundle_importing import Opener, import_bundle
from storage.bundle_writing import BundleWriter
from storage.encryption import decrypting, encrypting, identities_in, recipient_from
from storage.errors import RefusedError, StoreError, named
from storage.files import Kind, written_whole
from storage.importing import Imported
from storage.lines import lines
from storage.ooni_writing import ooni_lines
from storage.roots import Root, root_of
from storage.store import Store
from storage.wanted import Exported, Wanted

__all__ = ["Exported", "Imported", "Opener", "Wanted"]


def export_bundle(
    store: Store,
    out: Path | Writable,
    wanted: Wanted,
    *,
    exact: bool,
    tool: str,
    recipients: Sequence[str] = (),
) -> Exported:
    """Write a bundle of what is wanted to a new file, or to a stream.

    With `recipients` (``age1…``) it is encrypted to them. StoreError if nothing is wanted, the file
    exists or cannot be written; then there is no file.
    """
    known = [recipient_from(text) for text in recipients]
    keys = store.export_keys()
    with ExitStack() as stack:
        file = stack.enter_context(_sink(out))
        sink = stack.enter_context(encrypting(file, known)) if known else file
        return store.read(
            lambda connection: _write(BundleWriter(connection, wanted, keys, sink, tool), exact)
        )


def export_lines(store: Store, out: Path | Writable, wanted: Wanted, *, exact: bool) -> Exported:
    """Write what is wanted as JSON Lines, with the verdicts that are kept, to a file or a stream.

    StoreError if nothing is wanted, the file exists or cannot be written; then there is no file.
    """

    def write(connection: Connection) -> Exported:
        done = Exported()
        for line in lines(connection, wanted, exact=exact, done=done):
            sink.write(line)
        if not done.records:
            raise RefusedError("no record is wanted; nothing was written")
        return done

    with _sink(out) as sink:
        return store.read(write)


def export_ooni(store: Store, out: Path | Writable, wanted: Wanted, *, exact: bool) -> Exported:
    """Write the measurements wanted as OONI's JSON Lines, to a file or a stream.

    StoreError if there is none, the file exists or cannot be written; then there is no file.
    """

    def write(connection: Connection) -> Exported:
        done = Exported()
        for line in ooni_lines(connection, wanted, exact=exact, done=done):
            sink.write(line)
        return done

    with _sink(out) as sink:
        return store.read(write)


def import_file(store: Store, path: Path, kind: Kind, identity: Path | None = None) -> Imported:
    """Merge a database or a bundle into the store; `kind` is what `kind_of_file` says of it.

    StoreError, and nothing enters, if it is neither, or anything in a bundle is wrong.
    """
    if kind == "database":
        return store.import_database(path)
    if kind == "other":
        raise StoreError(f"{path}: neither a Sitewatch database nor a bundle")
    opener = bundle_opener(path, kind, identity)
    with named(str(path)):
        return import_bundle(opener, store)


def bundle_opener(path: Path, kind: Kind, identity: Path | None) -> Opener:
    """Return the function that opens a bundle from its beginning, decrypted where it must be."""
    if kind != "encrypted":
        return lambda: _opened(path)
    if identity is None:
        raise StoreError(f"{path}: encrypted; name the file of your age identity with --identity")
    identities = identities_in(identity)
    return lambda: _decrypted(path, identities)


def root_of_store(store: Store) -> Root:
    """Return the root of all chains in the store; StoreError if there are none."""
    return store.read(root_of)


def _write(writer: BundleWriter, exact: bool) -> Exported:
    return writer.exact() if exact else writer.public()


def _sink(out: Path | Writable) -> AbstractContextManager[Writable]:
    return written_whole(out) if isinstance(out, Path) else nullcontext(out)


def _opened(path: Path) -> AbstractContextManager[Readable]:
    return path.open("rb")


@contextmanager
def _decrypted(path: Path, identities: Sequence[Any]) -> Iterator[Readable]:
    with path.open("rb") as file, decrypting(file, identities, str(path)) as plain:
        yield plain
