"""Hashes, keys, signatures and pseudonyms as bytes, starts of steps counted: half the room.

The tables are made anew from copies, which works alike on every database. What their rows say
does not change.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.digits import Digits

revision = "0005"
down_revision = "0004"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PAGE = 256

# Whoever refers comes first.
_TABLES = ("verdicts", "blob_uses", "steps", "blobs", "envelopes", "certifications", "records")

# A verdict whose inputs were not hashed is judged anew, unless it is fixed.
_NO_INPUTS = "sha256:" + 64 * "0"


def upgrade() -> None:
    """Make all tables of records anew, with their indexes and triggers."""
    for table in _TABLES:
        op.execute(f"CREATE TEMPORARY TABLE old_{table} AS SELECT * FROM {table}")
        op.drop_table(table)
    made = (
        (_records(), "number"),
        (_envelopes(), "hash"),
        (_certifications(), "vantage, key"),
        (_blobs(), "number"),
        (_blob_uses(), "record, blob"),
        (_steps(), "record, position"),
        (_verdicts(), "record"),
    )
    for new, order in made:
        _fill(new, order)
    for table in _TABLES:
        op.execute(f"DROP TABLE old_{table}")
    for table, columns in (
        ("records", ["kind", "time"]),
        ("records", ["follows"]),
        ("records", ["url", "time"]),
        ("envelopes", ["id"]),
        ("envelopes", ["vantage", "sequence"]),
        ("blob_uses", ["blob"]),
    ):
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
    if op.get_bind().dialect.name == "sqlite":
        _create_triggers()


# --- the tables -----------------------------------------------------------------------------------


def _hash(name: str, comment: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, Digits(32, "sha256:"), nullable=nullable, comment=comment)


def _digits(name: str, length: int, comment: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, Digits(length), nullable=nullable, comment=comment)


def _text(name: str, length: int, comment: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=nullable, comment=comment)


def _number(name: str, comment: str) -> sa.Column[Any]:
    return sa.Column(name, _NUMBER, nullable=False, comment=comment)


def _records() -> sa.Table:
    return op.create_table(
        "records",
        _number("number", "Local number; means nothing elsewhere."),
        _hash("id", "SHA-256 of the canonical form."),
        _text("kind", 16, "round or measurement."),
        _text("time", 27, "Start, UTC, by the machine's clock."),
        _digits("vantage", 16, "Pseudonym of installation + network."),
        _text("country", 2, "ISO 3166 code; null: unknown.", nullable=True),
        sa.Column("asn", sa.BigInteger(), comment="Number of the network; null: unknown."),
        _text("vantage_kind", 16, "field or reference.", nullable=True),
        sa.Column("network", sa.Text(), comment="Name of the network; null: unknown."),
        sa.Column(
            "clock_offset_us", sa.BigInteger(), comment="To be added to `time`; null counts as 0."
        ),
        sa.Column("url", sa.Text(), comment="The target; null for rounds."),
        _hash("round", "Id of the round; null for rounds.", nullable=True),
        _hash("follows", "Id of the measurement that this one follows up.", nullable=True),
        _text("line", 16, "State of the vantage's own line."),
        sa.Column(
            "complete", sa.Boolean(), nullable=False, comment="False: stopped before its end."
        ),
        _text("codec", 32, "How `canonical` is compressed."),
        sa.Column(
            "canonical",
            sa.LargeBinary(),
            comment="The bytes that were hashed; null: dropped, a stub.",
        ),
        _text("thinned", 27, "When retention dropped `canonical`, UTC; null: kept.", nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_records"),
        sa.UniqueConstraint("id", name="uq_records_id"),
        comment="Rounds and measurements: the canonical bytes and columns to find them by.",
    )


def _envelopes() -> sa.Table:
    return op.create_table(
        "envelopes",
        _hash("hash", "SHA-256 of the canonical envelope."),
        _digits("vantage", 16, "The vantage whose chain this is."),
        sa.Column(
            "sequence", sa.BigInteger(), nullable=False, comment="Place in the chain, from 1."
        ),
        _hash("previous", "Hash of the envelope before; null for the first.", nullable=True),
        _hash("id", "Id of the record inside."),
        _text("time", 27, "Time of the record inside."),
        _digits("key", 32, "Ed25519 public key that signed."),
        _digits("signature", 64, "Over the rest."),
        sa.PrimaryKeyConstraint("hash", name="pk_envelopes"),
        comment="What signs each record and chains it to the one before of the same vantage.",
    )


def _certifications() -> sa.Table:
    return op.create_table(
        "certifications",
        _digits("vantage", 16, "Hash of its first key, cut."),
        _digits("key", 32, "Ed25519 public key."),
        _digits("previous", 32, "Key that signed this one; null for the first.", nullable=True),
        _text("since", 27, "Time of the first record it signed."),
        _digits("signature", 64, "By `previous`; the first by itself."),
        sa.PrimaryKeyConstraint("vantage", "key", name="pk_certifications"),
        comment="Public keys of vantages, each signed by the one before.",
    )


def _blobs() -> sa.Table:
    return op.create_table(
        "blobs",
        _number("number", "Local number; means nothing elsewhere."),
        _hash("id", "SHA-256 of the content."),
        _text("codec", 32, "How `content` is compressed."),
        sa.Column(
            "content", sa.LargeBinary(), nullable=False, comment="Body, certificate or DNS reply."
        ),
        sa.PrimaryKeyConstraint("number", name="pk_blobs"),
        sa.UniqueConstraint("id", name="uq_blobs_id"),
        comment="Bulky content that records refer to by hash, stored once.",
    )


def _blob_uses() -> sa.Table:
    return op.create_table(
        "blob_uses",
        _number("record", "Who."),
        _number("blob", "To what."),
        sa.ForeignKeyConstraint(["blob"], ["blobs.number"], name="fk_blob_uses_blob"),
        sa.ForeignKeyConstraint(["record"], ["records.number"], name="fk_blob_uses_record"),
        sa.PrimaryKeyConstraint("record", "blob", name="pk_blob_uses"),
        comment="Which record refers to which kept blob; derived from the records.",
        sqlite_with_rowid=False,
    )


def _steps() -> sa.Table:
    return op.create_table(
        "steps",
        _number("record", "Whose."),
        sa.Column(
            "position",
            sa.Integer(),
            nullable=False,
            comment="Place among the record's steps, from 0.",
        ),
        _text("kind", 16, "lookup, connect, handshake or exchange."),
        _text("purpose", 16, "main, repeat, contrast or ttl-walk."),
        sa.Column("hop", sa.Integer(), nullable=False, comment="Redirects followed before it."),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="Reloads made before it."),
        sa.Column("connection", sa.Integer(), comment="Ties connect, handshake and exchange."),
        _text("arm", 32, "Arm of a contrast, as name@address.", nullable=True),
        sa.Column(
            "name", sa.Text(), comment="Name looked up, or server name sent in the handshake."
        ),
        sa.Column(
            "resolver", sa.Text(), comment="Lookups: system, udp, or the URL of a DoH server."
        ),
        sa.Column("address", sa.Text(), comment="Peer; null: the system's resolver."),
        sa.Column("port", sa.Integer(), comment="Port of the peer."),
        sa.Column("url", sa.Text(), comment="Exchanges: what was asked for."),
        sa.Column("status", sa.SmallInteger(), comment="Exchanges: HTTP status."),
        sa.Column("rcode", sa.SmallInteger(), comment="Lookups: DNS response code."),
        sa.Column("valid", sa.Boolean(), comment="Handshakes: does the chain verify for the name?"),
        sa.Column(
            "failure",
            sa.Text(),
            comment="Why it failed, in the closed vocabulary; null: it did not.",
        ),
        sa.Column(
            "start_us",
            sa.BigInteger(),
            nullable=False,
            comment="Microseconds after the record's `time`.",
        ),
        sa.Column("duration_us", sa.BigInteger(), nullable=False, comment="Microseconds."),
        sa.ForeignKeyConstraint(["record"], ["records.number"], name="fk_steps_record"),
        sa.PrimaryKeyConstraint("record", "position", name="pk_steps"),
        comment="One row for each step, derived from the records for people who ask by SQL.",
        sqlite_with_rowid=False,
    )


def _verdicts() -> sa.Table:
    return op.create_table(
        "verdicts",
        _number("record", "Judged."),
        _text("rules_version", 32, "Version of the rules."),
        _hash("inputs", "Hash of all that was judged together."),
        _text("status", 16, "accessible, blocked, down, …"),
        _text("layer", 8, "Where the interference was seen.", nullable=True),
        _text("technique", 32, "What it was.", nullable=True),
        _text("certainty", 16, "suspected, likely or confirmed.", nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False, comment="The whole verdict as JSON."),
        sa.Column(
            "fixed",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="True: it, or what it was judged with, was thinned; it stays as it is.",
        ),
        sa.ForeignKeyConstraint(["record"], ["records.number"], name="fk_verdicts_record"),
        sa.PrimaryKeyConstraint("record", name="pk_verdicts"),
        comment="Cache of conclusions, never signed: may be dropped at any time unless fixed.",
    )


# --- their rows -----------------------------------------------------------------------------------


def _fill(table: sa.Table, order: str) -> None:
    """Take the rows over, a page at a time, in the order of the key."""
    connection = op.get_bind()
    source = f"SELECT old_{table.name}.* FROM old_{table.name}"
    if table.name == "steps":
        source = (
            "SELECT old_steps.*, records.time AS began FROM old_steps "
            "JOIN records ON records.number = old_steps.record"
        )
    # The new tables are filled while this is read, but it reads only old ones and whole ones.
    rows = connection.execute(sa.text(f"{source} ORDER BY {order}")).mappings()
    for page in rows.partitions(_PAGE):
        connection.execute(sa.insert(table), list(_converted(table, page)))


def _converted(table: sa.Table, rows: Iterable[sa.RowMapping]) -> Iterable[dict[str, object]]:
    for row in rows:
        values = {column.name: row.get(column.name) for column in table.columns}
        for column in table.columns:
            if isinstance(column.type, sa.Boolean) and values[column.name] is not None:
                values[column.name] = bool(values[column.name])  # the copy has forgotten the type
        if table.name == "steps":
            begun, start = map(datetime.fromisoformat, (row["began"], row["start"]))
            values["start_us"] = (start - begun) // timedelta(microseconds=1)
        if table.name == "verdicts" and not str(row["inputs"]).startswith("sha256:"):
            values["inputs"] = _NO_INPUTS
        yield values


def _create_triggers() -> None:
    unchanged = (
        *("number", "id", "kind", "time", "vantage", "country", "asn", "vantage_kind", "network"),
        *("clock_offset_us", "url", "round", "follows", "line", "complete", "codec"),
    )
    same = " AND ".join(f"NEW.{column} IS OLD.{column}" for column in unchanged)
    fixed = (
        "EXISTS (SELECT 1 FROM verdicts JOIN records AS judged "
        "ON judged.number = verdicts.record "
        "WHERE judged.id = COALESCE(OLD.follows, OLD.id) AND verdicts.fixed "
        "AND verdicts.status IN ('accessible', 'down', 'restricted'))"
    )
    dropped = (
        "OLD.canonical IS NOT NULL AND NEW.canonical IS NULL AND OLD.thinned IS NULL AND "
        f"NEW.thinned IS NOT NULL AND {same} AND {fixed}"
    )
    stub = "EXISTS (SELECT 1 FROM records WHERE number = OLD.record AND canonical IS NULL)"
    thinnable = (
        "EXISTS (SELECT 1 FROM records AS user JOIN records AS judged "
        "ON judged.id = COALESCE(user.follows, user.id) "
        "JOIN verdicts ON verdicts.record = judged.number WHERE user.number = OLD.record "
        "AND verdicts.status IN ('accessible', 'down', 'restricted'))"
    )
    unused = "NOT EXISTS (SELECT 1 FROM blob_uses WHERE blob = OLD.number)"
    for table, update, delete in (
        ("records", dropped, None),
        ("envelopes", None, None),
        ("certifications", None, None),
        ("steps", None, stub),
        ("blob_uses", None, thinnable),
        ("blobs", None, unused),
    ):
        derived = table in ("steps", "blob_uses")
        reason = "derived: rebuild it instead" if derived else "append-only"
        for action, allowed in (("update", update), ("delete", delete)):
            when = f" WHEN NOT ({allowed})" if allowed else ""
            op.execute(
                f"CREATE TRIGGER no_{action}_{table} BEFORE {action.upper()} ON {table}{when} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is {reason}'); END"
            )
