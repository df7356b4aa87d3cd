"""Encrypting bundles to recipients in the age format, and decrypting them, as streams.

The library is the extra `age`: it is compiled, and a volunteer who encrypts nothing does not need
it. It pulls and pushes at its own pace, so it runs in a thread at the other end of a pipe.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from storage.bundle_frames import Readable, Writable
from storage.errors import RefusedError, StoreError

BEGINNING = b"age-encryption.org/v1\n"
_MOST_IDENTITY_BYTES = 64 << 10


def recipient_from(text: str) -> Any:
    """Return the recipient that an ``age1…`` text names; StoreError if it names none."""
    library = _library()
    try:
        return library.x25519.Recipient.from_str(text.strip())
    except library.RecipientError as error:
        raise StoreError(f"{text[:80]!r} is no age recipient ({error})") from error


def identities_in(path: Path) -> list[Any]:
    """Return the identities in a file as age-keygen writes it; StoreError if there are none."""
    library = _library()
    try:
        with path.open("rb") as file:
            lines = file.read(_MOST_IDENTITY_BYTES).decode("utf-8", "replace").splitlines()
        wanted = [line.strip() for line in lines if line.startswith("AGE-SECRET-KEY-")]
        found = [library.x25519.Identity.from_str(line) for line in wanted]
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except library.IdentityError as error:
        raise StoreError(f"{path}: holds a line that is no age identity ({error})") from error
    if not found:
        raise StoreError(f"{path}: holds no age identity (a line that begins AGE-SECRET-KEY-)")
    return found


@contextmanager
def encrypting(out: Writable, recipients: Sequence[Any]) -> Iterator[Writable]:
    """Yield where to write what is to stand encrypted in `out`; complete when the block ends."""
    library = _library()
    read_end, write_end = os.pipe()
    plain = os.fdopen(write_end, "wb")
    sink = _Sink(out)
    worker = _Worker(read_end, "rb", lambda pipe: library.encrypt_io(pipe, sink, [*recipients]))
    try:
        yield plain
    finally:
        with suppress(BrokenPipeError):  # it hung up, and `finish` says why
            plain.close()
        try:
            worker.finish()
        except library.EncryptError as error:
            raise sink.error or StoreError(f"cannot be encrypted ({error})") from error


@contextmanager
def decrypting(source: BinaryIO, identities: Sequence[Any], name: str) -> Iterator[Readable]:
    """Yield where to read what stands encrypted in `source`, a file called `name`.

    Reading raises StoreError if it is not for these identities, RefusedError if it is damaged.
    """
    library = _library()
    read_end, write_end = os.pipe()
    worker = _Worker(write_end, "wb", lambda pipe: library.decrypt_io(source, pipe, [*identities]))
    try:
        with os.fdopen(read_end, "rb") as plain:
            yield _Decrypted(plain, worker, name)
    finally:
        worker.join()


class _Sink:
    """Where the library writes to; keeps the error that it would turn into mere text."""

    def __init__(self, out: Writable) -> None:
        self._out = out
        self.error: Exception | None = None

    def write(self, data: bytes) -> int:
        try:
            self._out.write(data)
        except Exception as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """Whoever owns the file flushes it."""


class _Decrypted:
    """The plain end of the pipe; its end is believed only when the other end went well."""

    def __init__(self, plain: BinaryIO, worker: _Worker, name: str) -> None:
        self._plain = plain
        self._worker = worker
        self._name = name

    def read(self, size: int, /) -> bytes:
        data = self._plain.read(size)
        if len(data) < size:
            try:
                self._worker.finish()
            except OSError as error:
                raise RefusedError(f"the encrypted file is damaged ({error})") from error
            except _library().DecryptError as error:
                raise StoreError(
                    f"{self._name}: cannot be decrypted with this identity ({error})"
                ) from error
        return data


class _Worker:
    """A thread that works at one end of a pipe and closes it."""

    def __init__(self, end: int, mode: str, work: Callable[[Any], None]) -> None:
        self._end, self._mode, self._work = end, mode, work
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="sitewatch-age", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait for its end; raise what it met."""
        self.join()
        if self._error is not None:
            raise self._error

    def join(self) -> None:
        """Wait for its end, whatever came of it."""
        self._thread.join()

    def _run(self) -> None:
        try:
            with os.fdopen(self._end, self._mode) as pipe:
                self._work(pipe)
        except Exception as error:  # raised in `finish`
            self._error = error


def _library() -> Any:
    try:
        import pyrage
    except ImportError as error:
        raise StoreError(
            "encryption needs the extra `age`: pip install 'sitewatch[age]'"
        ) from error
    return pyrage
