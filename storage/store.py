"""The store: one database of rounds, measurements, blobs and verdicts, signed and append-only."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from sqlalchemy import ColumnElement, Connection

from storage import annotations as context
from storage import (
    bulk,
    checking,
    derived,
    importing,
    insertion,
    judged,
    reading,
    retention,
    signing,
)
from storage.annotations import Annotation
from storage.chain import Envelope
from storage.database import (
    StillThere,
    database_url,
    file_of,
    make_private,
    reading_engine,
    use_write_ahead_log,
    writing_engine,
)
from storage.errors import StoreError, named
from storage.importing import Imported
from storage.judged import Judged
from storage.keys import ExportKeys, KeysFile
from storage.migrate import upgrade
from storage.reading import Selection, Stored
from storage.records import Measurement, Round, Vantage, Verdict
from storage.schema import records
from storage.writer import Writer

__all__ = ["Imported", "Store", "StoreError", "Stored"]

T = TypeVar("T")


class Store:
    """A database, opened for reading and writing; a context manager.

    `database` is a path or an SQLAlchemy URL. A new file gets mode 0600 and new folders 0700.
    `keys` is the file of private keys, by default ``<database>.keys``. Everything raises
    StoreError with one line that names the file: missing (with `create` False), not a Sitewatch
    database, newer, locked for longer than `busy_seconds`, read-only, full, damaged.
    """

    def __init__(
        self,
        database: str | Path,
        *,
        create: bool = True,
        keys: Path | None = None,
        busy_seconds: float = 30.0,
    ) -> None:
        url = database_url(database)
        file = file_of(url)
        self.name = str(file or url.render_as_string(hide_password=True))
        if file is None and keys is None:
            raise StoreError(f"{self.name}: a database that is no file needs a path for its keys")
        self._busy_seconds = busy_seconds
        self._keys = KeysFile(keys or Path(f"{file}.keys"))
        with named(self.name):
            if file is not None:
                make_private(file, create=create)
            writing = writing_engine(url, busy_seconds)
            try:
                with writing.begin() as connection:
                    upgrade(connection, self.name)
                use_write_ahead_log(writing)
            except BaseException:
                writing.dispose()
                raise
        self._writing = writing
        self._reading = reading_engine(url, busy_seconds)
        self._writer = Writer(writing, self.name, StillThere(file))

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what is queued and close all connections. May be called twice."""
        self._writer.close()
        self._writing.dispose()
        self._reading.dispose()

    # --- writing -----------------------------------------------------------------------------

    def own_vantage(
        self,
        *,
        kind: Literal["field", "reference"] = "field",
        country: str | None,
        asn: int | None,
        network: str | None,
        networks_table: str | None = None,
        source: str | None = None,
    ) -> Vantage:
        """Return this installation's pseudonym for that network, made on first use.

        The same kind, source, country and ASN (without an ASN: network name) get the same
        pseudonym. `source` names the project whose data are imported, None for own measuring.
        """
        wanted = Vantage(
            id="",
            kind=kind,
            country=country,
            asn=asn,
            network=network,
            networks_table=networks_table,
            source=source,
        )
        return self._writer.submit(lambda _connection: self._keys.own(wanted)).result()

    def export_keys(self) -> ExportKeys:
        """Return the keys that sign what this installation exports."""
        return self.write(lambda _connection: self._keys.for_export())

    def own_vantages(self, wanted: Sequence[Vantage]) -> list[Vantage]:
        """Do for many networks what `own_vantage` does for one: return `wanted` with their ids."""
        return self.write(lambda _connection: self._keys.own_all(wanted))

    def add(
        self, record: Round | Measurement, blobs: Mapping[str, bytes] | None = None
    ) -> Future[str]:
        """Sign, chain and commit a record of an own vantage with its steps and blobs.

        `blobs` are by id; each must have that hash and be named by the record. Returns at once;
        the future holds the record's id once all of it is on the disk, or a StoreError, and then
        nothing of it was kept. What is already there is not added again.
        """
        contents = dict(blobs or {})
        return self._writer.submit(
            lambda connection: signing.add_own(connection, self._keys, record, contents)
        )

    def add_page(self, page: Sequence[bulk.Item]) -> Future[list[bulk.Added]]:
        """Do for many records, in one transaction, what `add` does for one.

        A refused record is told in its result and hinders no other. Blobs must have the hashes
        that they are handed in under.
        """
        return self._writer.submit(lambda connection: bulk.add_page(connection, self._keys, page))

    def put_verdicts(self, verdicts: Iterable[tuple[str, str, Verdict]]) -> None:
        """Keep (measurement id, hash of all inputs, verdict), in place of earlier verdicts."""
        rows = list(verdicts)
        self._writer.submit(lambda connection: derived.put_verdicts(connection, rows)).result()

    def annotate(self, wanted: Iterable[Annotation]) -> int:
        """Keep annotations, all or none of them; return how many were not there."""
        every = list(wanted)
        return self.write(lambda connection: context.add(connection, every))

    def remove_annotation(self, beginning: str) -> tuple[str, Annotation]:
        """Remove the one annotation whose id begins so; return its id and what it said."""
        return self.write(lambda connection: context.remove(connection, beginning))

    def rebuild_steps(self) -> int:
        """Derive the rows of steps and blob uses again; return for how many records."""
        return self._writer.submit(derived.rebuild_steps).result()

    def drop_blobs(self, *, after: int, before: str, cited: Collection[str]) -> retention.Page:
        """Drop blobs of measurements started before `before`, one page of them after `after`.

        Only of measurements judged accessible, down or restricted and not in `cited` (ids).
        """
        work = partial(retention.drop_blobs, after=after, before=before, cited=cited)
        return self.write(work)

    def drop_records(
        self,
        *,
        after: int,
        before: str,
        cited: Collection[str],
        statuses: Collection[str],
        now: float,
    ) -> retention.Page:
        """Leave of such measurements of these statuses and their follow-ups only the stubs."""
        return self.write(
            lambda connection: retention.drop_records(
                connection, after=after, before=before, cited=cited, statuses=statuses, now=now
            )
        )

    def vacuum(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Give free space back to the disk; False where that needs more room than there is.

        It ends early, with False and nothing changed, once `stopping` says so.
        """
        file = file_of(self._writing.url)
        if file is None:
            return False
        with named(self.name):
            free = shutil.disk_usage(file.parent).free
            return retention.vacuum(self._writing, free, stopping)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` of this package in a write transaction; return its result once committed."""
        return self._writer.submit(work).result()

    def import_database(self, path: Path) -> Imported:
        """Merge another Sitewatch database, which stays unchanged, into this one.

        Raises StoreError, and nothing enters, if there is no such database or if it holds the
        other kind of records (simulated or real). Single damaged records and blobs stay out and
        are named in `refused`.
        """
        return importing.import_from(path, self._writer, self._busy_seconds)

    # --- reading -----------------------------------------------------------------------------

    def simulated(self) -> bool | None:
        """Return whether the records are simulated; None while there are none."""
        return self.read(insertion.kind_of)

    def rounds(
        self, *, since: str | None = None, until: str | None = None, country: str | None = None
    ) -> Iterator[Stored[Round]]:
        """Yield rounds by (time, id); `since` is inclusive, `until` exclusive."""
        wanted = Selection(kind="round", since=since, until=until, country=country)
        with named(self.name):
            for page in reading.pages(self._reading, wanted):
                for id, record in page:
                    if isinstance(record, Round):
                        yield Stored(id, record)

    def measurements(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        country: str | None = None,
        urls: Collection[str] | None = None,
    ) -> Iterator[Stored[Measurement]]:
        """Yield measurements, follow-ups too, by (time, id); `urls` None means all."""
        wanted = Selection(kind="measurement", since=since, until=until, country=country, urls=urls)
        with named(self.name):
            for page in reading.pages(self._reading, wanted):
                for id, record in page:
                    if isinstance(record, Measurement):
                        yield Stored(id, record)

    def measurement(self, id: str) -> Stored[Measurement] | None:
        """Return one measurement; None if it is not there."""
        found = self._measurements_where(records.c.id == id)
        return found[0] if found else None

    def follow_ups(self, id: str) -> list[Stored[Measurement]]:
        """Return the measurements that follow this one, by (time, id)."""
        return self._measurements_where(records.c.follows == id)

    def canonical_bytes(self, id: str) -> bytes | None:
        """Return the bytes of a record as they were hashed; None if it is not there."""
        return self.read(lambda connection: reading.canonical_of(connection, id))

    def envelopes(self, id: str) -> list[Envelope]:
        """Return what signs a record: one envelope, unless an installation was copied."""
        return self.read(lambda connection: reading.envelopes_of(connection, id))

    def blob(self, id: str) -> bytes | None:
        """Return the content of a blob; None if it is not kept."""
        return self.read(lambda connection: reading.blob_of(connection, id))

    def verdicts(self, inputs: Mapping[str, str], rules_version: str) -> dict[str, Verdict]:
        """Return kept verdicts by measurement id, where the hash of all inputs is the same."""
        return self.read(lambda c: reading.verdicts_of(c, inputs, rules_version))

    def judged(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        country: str | None = None,
        urls: Collection[str] | None = None,
        thinned_only: bool = False,
    ) -> Iterator[Judged]:
        """Yield the kept verdicts of measurements, also of thinned ones, by (time, id).

        Nothing is judged anew, and no record is read. Follow-ups have no verdict of their own.
        """
        with named(self.name):
            yield from judged.judged(
                self._reading,
                since=since,
                until=until,
                country=country,
                urls=urls,
                thinned_only=thinned_only,
            )

    def annotations(self) -> list[tuple[str, Annotation]]:
        """Return all annotations with their ids, by day and time."""
        return self.read(context.kept)

    def urls(self) -> list[str]:
        """Return every URL that was ever measured."""
        return self.read(judged.watched_urls)

    def oldest(self) -> float | None:
        """Return when the oldest record was made, as `newest` does."""
        return self.read(judged.oldest_seconds)

    def newest(self) -> float | None:
        """Return when the newest record was made, in corrected seconds; None while there is none.

        Databases that hold the same say the same, whenever and in whatever order it came in.
        """
        return self.read(judged.newest_seconds)

    def size(self) -> retention.Size:
        """Return how large the database is, and how much of that is in use."""
        return self.read(retention.size_of)

    def thinned(self) -> retention.Thinned:
        """Return how many records retention has made stubs, and how many are whole."""
        return self.read(retention.count_thinned)

    def check(self) -> list[str]:
        """Return one line for each thing that is wrong; an empty list means intact."""
        return self.read(checking.check)

    def _measurements_where(self, condition: ColumnElement[bool]) -> list[Stored[Measurement]]:
        found = self.read(lambda connection: reading.records_where(connection, condition))
        return [Stored(id, record) for id, record in found if isinstance(record, Measurement)]

    def read(self, read: Callable[[Connection], T]) -> T:
        """Run `read` of this package in a transaction that changes nothing; return its result."""
        with named(self.name), self._reading.connect() as connection:
            return read(connection)
