"""Verifying what was handed over, a database or a bundle: intact, thinned, missing, broken.

The file is only read. What its signatures prove, and what not, stands in docs/formats.md.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from storage.bundle import Anchor
from storage.bundle_reading import BundleReader, DerivedEntry, Entry
from storage.chain import Missing, envelope_hash
from storage.checking import check
from storage.database import database_url, foreign_engine, writing_engine
from storage.errors import DATABASE_ERRORS, RefusedError, named, reason_for
from storage.exchange import Opener
from storage.findings import Chain, Findings, Publisher, State, Tally
from storage.insertion import kind_of
from storage.intake import referred_blobs
from storage.migrate import require_known_revision, revision_of, upgrade
from storage.reading import record_in
from storage.roots import Root, RootCheck
from storage.schema import REVISION, blob_uses, blobs, records
from storage.stretches import envelope_pages, spans

_PAGE = 256
_NAMED = re.compile(r"(?:record|envelope) (sha256:[0-9a-f]{64})")


# --- databases -----------------------------------------------------------------------------------


def verify_database(path: Path, root: Root | None = None, busy_seconds: float = 30.0) -> Findings:
    """Check a database; StoreError if it is none. It stays exactly as it is."""
    findings = Findings(file=str(path), kind="database")
    with named(str(path)), _newest(path, busy_seconds) as connection:
        findings.simulated = kind_of(connection)
        findings.sort_in(check(connection))
        try:
            _count(connection, findings, root)
        except (*DATABASE_ERRORS, RefusedError) as error:
            findings.complete = False
            findings.broken.append(f"could not be counted to the end ({reason_for(error)})")
    return findings


@contextmanager
def _newest(path: Path, busy_seconds: float) -> Iterator[Connection]:
    """Yield a connection to the database, or to a copy that was brought up to date."""
    engine = foreign_engine(path, busy_seconds)
    try:
        with engine.connect() as connection:
            require_known_revision(connection, str(path))
            if revision_of(connection) == REVISION:
                yield connection
                return
        with tempfile.TemporaryDirectory(prefix="sitewatch-") as folder:
            copied = _copied(engine, Path(folder) / "copy.db", busy_seconds)
            try:
                with copied.connect() as connection:
                    yield connection
            finally:
                copied.dispose()
    finally:
        engine.dispose()


def _copied(engine: Engine, target: Path, busy_seconds: float) -> Engine:
    copy = writing_engine(database_url(target), busy_seconds)
    source, sink = engine.raw_connection(), copy.raw_connection()
    try:
        driver: Any = source.driver_connection
        driver.backup(sink.driver_connection)
    finally:
        source.close()
        sink.close()
    with copy.begin() as connection:
        upgrade(connection, str(target))
    return copy


def _count(connection: Connection, findings: Findings, root: Root | None) -> None:
    broken = {match[1] for line in findings.broken if (match := _NAMED.match(line))}
    tally, held = Tally(findings), RootCheck(root)
    for span in spans(connection):
        for page in envelope_pages(connection, span):
            kept = _kept(connection, [envelope.id for _, envelope in page])
            for hash, envelope in page:
                if held.wants(envelope.vantage, envelope.sequence):
                    held.meet(envelope.vantage, envelope.sequence, hash)
                wrong = envelope.id in broken or hash in broken
                tally.count(envelope, "broken" if wrong else kept.get(envelope.id, "missing"))
    findings.sort_in(held.lines())
    findings.blobs = connection.execute(select(func.count()).select_from(blobs)).scalar_one()
    uses = connection.execute(select(func.count()).select_from(blob_uses)).scalar_one()
    findings.blobs_missing = max(0, _referred(connection) - uses)


def _kept(connection: Connection, ids: list[str]) -> dict[str, State]:
    query = select(records.c.id, records.c.canonical.is_(None).label("stub"))
    rows = connection.execute(query.where(records.c.id.in_(ids)))
    return {row.id: "thinned" if row.stub else "intact" for row in rows}


def _referred(connection: Connection) -> int:
    """Return how many blobs the records name, each record's counted by itself."""
    columns = [records.c[name] for name in ("number", "id", "kind", "codec", "canonical")]
    query = select(*columns).where(records.c.canonical.is_not(None)).order_by(records.c.number)
    last, named_blobs = 0, 0
    while rows := connection.execute(query.where(records.c.number > last).limit(_PAGE)).all():
        for row in rows:
            try:
                named_blobs += len(referred_blobs(record_in(row)))
            except RefusedError:
                continue  # `check` has a line for it
        last = rows[-1].number
    return named_blobs


# --- bundles -------------------------------------------------------------------------------------


def verify_bundle(
    path: Path, open_bundle: Opener, *, encrypted: bool, root: Root | None = None
) -> Findings:
    """Check a bundle from its first byte to its last, in constant memory.

    StoreError if it cannot be opened or decrypted. The first fault ends the reading, since after
    it nothing can be told from chance.
    """
    findings = Findings(file=str(path), kind="bundle", encrypted=encrypted)
    try:
        _read(open_bundle, findings, RootCheck(root))
    except RefusedError as error:
        findings.complete = False
        findings.broken.append(str(error))
    return findings


def _read(open_bundle: Opener, findings: Findings, held: RootCheck) -> None:
    with named(findings.file), open_bundle() as source:
        reader = BundleReader(source)
        findings.kind = "bundle" if reader.head.exact else "public bundle"
        findings.simulated = reader.head.simulated
        _parts(reader, findings, held)
        findings.sealed_by = reader.seal.key


def _parts(reader: BundleReader, findings: Findings, held: RootCheck) -> None:
    tally = Tally(findings)
    publishers: dict[str, Publisher] = {}
    stretch: Anchor | None = None
    for part in reader.parts():
        match part:
            case Anchor():
                _between(stretch, part, findings)
                stretch = part
            case Entry():
                _entry(part, findings, tally, held)
                assert stretch is not None  # the reader begins with an anchor
                own = stretch.key in reader.certified.get(stretch.vantage, ())
                _chain(findings).anchored_by = "vantage" if own else "exporter"
            case DerivedEntry():
                _publish(part, publishers)
    findings.publishers = [publishers[vantage] for vantage in sorted(publishers)]
    findings.sort_in(held.lines() if reader.head.exact else ())


def _entry(entry: Entry, findings: Findings, tally: Tally, held: RootCheck) -> None:
    envelope = entry.envelope
    if held.wants(envelope.vantage, envelope.sequence):
        held.meet(envelope.vantage, envelope.sequence, envelope_hash(envelope))
    tally.count(envelope, entry.absent or "intact")
    findings.blobs += len(entry.blobs)
    findings.blobs_missing += entry.blobs_missing
    if entry.twice:
        findings.broken.append(
            f"vantage {envelope.vantage}: place {envelope.sequence} is taken twice "
            "(was it copied or set back?)"
        )


def _between(before: Anchor | None, after: Anchor, findings: Findings) -> None:
    """Take note of what lies between two stretches of one chain."""
    if before is None or before.vantage != after.vantage:
        return
    if after.first > before.last + 1:
        _chain(findings).missing += after.first - before.last - 1
        line = f"nothing between places {before.last} and {after.first}"
        findings.missing.append(str(Missing(f"vantage {after.vantage}: {line}")))
    else:
        line = f"place {after.first} does not follow the one before"
        findings.broken.append(f"vantage {after.vantage}: {line}")


def _chain(findings: Findings) -> Chain:
    return findings.chains[-1]


def _publish(entry: DerivedEntry, publishers: dict[str, Publisher]) -> None:
    item = entry.item
    publisher = publishers.setdefault(item.vantage, Publisher(vantage=item.vantage, key=item.key))
    if publisher.key != item.key:
        raise RefusedError(f"derived record {item.id}: signed by another key than the ones before")
    publisher.derived += 1
