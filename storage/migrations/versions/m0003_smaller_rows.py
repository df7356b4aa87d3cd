"""Blobs are referred to by number, and tables with a key of their own are kept by it: less room.

The tables are made anew from copies, which works alike on every database.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_STEP = (
    *("record", "position", "kind", "purpose", "hop", "attempt", "connection", "arm", "name"),
    *("resolver", "address", "port", "url", "status", "rcode", "valid", "failure", "start"),
    "duration_us",
)


def upgrade() -> None:
    """Make `blobs`, `blob_uses` and `steps` anew, with their triggers, and narrow an index."""
    for table in ("blob_uses", "blobs", "steps"):  # whoever refers comes first
        op.execute(f"CREATE TEMPORARY TABLE old_{table} AS SELECT * FROM {table}")
        op.drop_table(table)
    _create_blobs()
    _create_blob_uses()
    _create_steps()
    _fill()
    for table in ("blob_uses", "blobs", "steps"):
        op.execute(f"DROP TABLE old_{table}")
    op.drop_index("ix_records_kind_time_id", "records")
    op.create_index("ix_records_kind_time", "records", ["kind", "time"])
    if op.get_bind().dialect.name == "sqlite":
        _create_triggers()


def _create_blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column(
            "number", _NUMBER, nullable=False, comment="Local number; means nothing elsewhere."
        ),
        sa.Column("id", sa.String(length=71), nullable=False, comment="SHA-256 of the content."),
        sa.Column(
            "codec", sa.String(length=32), nullable=False, comment="How `content` is compressed."
        ),
        sa.Column(
            "content", sa.LargeBinary(), nullable=False, comment="Body, certificate or DNS reply."
        ),
        sa.PrimaryKeyConstraint("number", name="pk_blobs"),
        sa.UniqueConstraint("id", name="uq_blobs_id"),
        comment="Bulky content that records refer to by hash, stored once.",
    )


def _create_blob_uses() -> None:
    op.create_table(
        "blob_uses",
        sa.Column("record", _NUMBER, nullable=False, comment="Who."),
        sa.Column("blob", _NUMBER, nullable=False, comment="To what."),
        sa.ForeignKeyConstraint(["blob"], ["blobs.number"], name="fk_blob_uses_blob"),
        sa.ForeignKeyConstraint(["record"], ["records.number"], name="fk_blob_uses_record"),
        sa.PrimaryKeyConstraint("record", "blob", name="pk_blob_uses"),
        comment="Which record refers to which kept blob; derived from the records.",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_blob_uses_blob", "blob_uses", ["blob"])


def _create_steps() -> None:
    op.create_table(
        "steps",
        sa.Column("record", _NUMBER, nullable=False, comment="Whose."),
        sa.Column(
            "position",
            sa.Integer(),
            nullable=False,
            comment="Place among the record's steps, from 0.",
        ),
        sa.Column(
            "kind",
            sa.String(length=16),
            nullable=False,
            comment="lookup, connect, handshake or exchange.",
        ),
        sa.Column(
            "purpose",
            sa.String(length=16),
            nullable=False,
            comment="main, repeat, contrast or ttl-walk.",
        ),
        sa.Column("hop", sa.Integer(), nullable=False, comment="Redirects followed before it."),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="Reloads made before it."),
        sa.Column("connection", sa.Integer(), comment="Ties connect, handshake and exchange."),
        sa.Column("arm", sa.String(length=32), comment="Arm of a contrast, as name@address."),
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
            "start", sa.String(length=27), nullable=False, comment="UTC, by the machine's clock."
        ),
        sa.Column("duration_us", sa.BigInteger(), nullable=False, comment="Microseconds."),
        sa.ForeignKeyConstraint(["record"], ["records.number"], name="fk_steps_record"),
        sa.PrimaryKeyConstraint("record", "position", name="pk_steps"),
        comment="One row for each step, derived from the records for people who ask by SQL.",
        sqlite_with_rowid=False,
    )


def _fill() -> None:
    names = ", ".join(_STEP)
    op.execute(f"INSERT INTO steps ({names}) SELECT {names} FROM old_steps")
    op.execute("INSERT INTO blobs (id, codec, content) SELECT id, codec, content FROM old_blobs")
    op.execute(
        "INSERT INTO blob_uses (record, blob) SELECT old_blob_uses.record, blobs.number "
        "FROM old_blob_uses JOIN blobs ON blobs.id = old_blob_uses.blob"
    )


def _create_triggers() -> None:
    stub = "EXISTS (SELECT 1 FROM records WHERE number = OLD.record AND canonical IS NULL)"
    thinnable = (
        "EXISTS (SELECT 1 FROM records AS user JOIN records AS judged "
        "ON judged.id = COALESCE(user.follows, user.id) "
        "JOIN verdicts ON verdicts.record = judged.number WHERE user.number = OLD.record "
        "AND verdicts.status IN ('accessible', 'down', 'restricted'))"
    )
    unused = "NOT EXISTS (SELECT 1 FROM blob_uses WHERE blob = OLD.number)"
    for table, allowed in (("steps", stub), ("blob_uses", thinnable), ("blobs", unused)):
        reason = "append-only" if table == "blobs" else "derived: rebuild it instead"
        for action, when in (("update", ""), ("delete", f" WHEN NOT ({allowed})")):
            op.execute(
                f"CREATE TRIGGER no_{action}_{table} BEFORE {action.upper()} ON {table}{when} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is {reason}'); END"
            )
