"""The first schema: records, envelopes, keys, steps, blobs, verdicts, and the triggers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_APPEND_ONLY = ("blobs", "certifications", "database_kind", "envelopes", "records")
_DERIVED = ("blob_uses", "steps")


def upgrade() -> None:
    """Create every table, then the triggers that keep evidence from being changed."""
    _create_blobs()
    _create_certifications()
    _create_database_kind()
    _create_envelopes()
    _create_records()
    _create_blob_uses()
    _create_steps()
    _create_verdicts()
    if op.get_bind().dialect.name == "sqlite":
        _create_triggers()


def _create_blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("id", sa.String(length=71), nullable=False, comment="SHA-256 of the content."),
        sa.Column(
            "codec", sa.String(length=32), nullable=False, comment="How `content` is compressed."
        ),
        sa.Column(
            "content", sa.LargeBinary(), nullable=False, comment="Body, certificate or DNS reply."
        ),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
        comment="Bulky content that records refer to by hash, stored once.",
    )


def _create_certifications() -> None:
    op.create_table(
        "certifications",
        sa.Column(
            "vantage",
            sa.String(length=32),
            nullable=False,
            comment="Hash of its first key, 32 digits.",
        ),
        sa.Column("key", sa.String(length=64), nullable=False, comment="Ed25519 public key, hex."),
        sa.Column(
            "previous",
            sa.String(length=64),
            comment="Key that signed this one; null for the first.",
        ),
        sa.Column(
            "since",
            sa.String(length=27),
            nullable=False,
            comment="Time of the first record it signed.",
        ),
        sa.Column(
            "signature",
            sa.String(length=128),
            nullable=False,
            comment="By `previous`; the first by itself.",
        ),
        sa.PrimaryKeyConstraint("vantage", "key", name="pk_certifications"),
        comment="Public keys of vantages, each signed by the one before.",
    )


def _create_database_kind() -> None:
    op.create_table(
        "database_kind",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False, comment="Always 1."),
        sa.Column(
            "simulated", sa.Boolean(), nullable=False, comment="Do all records say `simulated`?"
        ),
        sa.CheckConstraint("one = 1", name="ck_database_kind_single_row"),
        sa.PrimaryKeyConstraint("one", name="pk_database_kind"),
        comment="Simulated or real: one row, written with the first record and never changed.",
    )


def _create_envelopes() -> None:
    op.create_table(
        "envelopes",
        sa.Column(
            "hash",
            sa.String(length=71),
            nullable=False,
            comment="SHA-256 of the canonical envelope.",
        ),
        sa.Column(
            "vantage",
            sa.String(length=32),
            nullable=False,
            comment="The vantage whose chain this is.",
        ),
        sa.Column(
            "sequence", sa.BigInteger(), nullable=False, comment="Place in the chain, from 1."
        ),
        sa.Column(
            "previous",
            sa.String(length=71),
            comment="Hash of the envelope before; null for the first.",
        ),
        sa.Column("id", sa.String(length=71), nullable=False, comment="Id of the record inside."),
        sa.Column(
            "time", sa.String(length=27), nullable=False, comment="Time of the record inside."
        ),
        sa.Column(
            "key",
            sa.String(length=64),
            nullable=False,
            comment="Ed25519 public key that signed, hex.",
        ),
        sa.Column(
            "signature", sa.String(length=128), nullable=False, comment="Over the rest, hex."
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_envelopes"),
        comment="What signs each record and chains it to the one before of the same vantage.",
    )
    op.create_index("ix_envelopes_id", "envelopes", ["id"])
    op.create_index("ix_envelopes_vantage_sequence", "envelopes", ["vantage", "sequence"])


def _create_records() -> None:
    op.create_table(
        "records",
        sa.Column(
            "number", _NUMBER, nullable=False, comment="Local number; means nothing elsewhere."
        ),
        sa.Column(
            "id", sa.String(length=71), nullable=False, comment="SHA-256 of the canonical form."
        ),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="round or measurement."),
        sa.Column(
            "time",
            sa.String(length=27),
            nullable=False,
            comment="Start, UTC, by the machine's clock.",
        ),
        sa.Column(
            "vantage",
            sa.String(length=32),
            nullable=False,
            comment="Pseudonym of installation + network.",
        ),
        sa.Column("country", sa.String(length=2), comment="ISO 3166 code; null: unknown."),
        sa.Column("asn", sa.BigInteger(), comment="Number of the network; null: unknown."),
        sa.Column("url", sa.Text(), comment="The target; null for rounds."),
        sa.Column("round", sa.String(length=71), comment="Id of the round; null for rounds."),
        sa.Column(
            "follows",
            sa.String(length=71),
            comment="Id of the measurement that this one follows up.",
        ),
        sa.Column(
            "line", sa.String(length=16), nullable=False, comment="State of the vantage's own line."
        ),
        sa.Column(
            "complete", sa.Boolean(), nullable=False, comment="False: stopped before its end."
        ),
        sa.Column(
            "codec", sa.String(length=32), nullable=False, comment="How `canonical` is compressed."
        ),
        sa.Column(
            "canonical",
            sa.LargeBinary(),
            comment="The bytes that were hashed; null: dropped, a stub.",
        ),
        sa.PrimaryKeyConstraint("number", name="pk_records"),
        sa.UniqueConstraint("id", name="uq_records_id"),
        comment="Rounds and measurements: the canonical bytes and columns to find them by.",
    )
    op.create_index("ix_records_follows", "records", ["follows"])
    op.create_index("ix_records_kind_time_id", "records", ["kind", "time", "id"])
    op.create_index("ix_records_url_time", "records", ["url", "time"])


def _create_blob_uses() -> None:
    op.create_table(
        "blob_uses",
        sa.Column("record", _NUMBER, nullable=False, comment="Who."),
        sa.Column("blob", sa.String(length=71), nullable=False, comment="Refers to what."),
        sa.ForeignKeyConstraint(["blob"], ["blobs.id"], name="fk_blob_uses_blob"),
        sa.ForeignKeyConstraint(["record"], ["records.number"], name="fk_blob_uses_record"),
        sa.PrimaryKeyConstraint("record", "blob", name="pk_blob_uses"),
        comment="Which record refers to which kept blob; derived from the records.",
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
    )


def _create_verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("record", _NUMBER, nullable=False, comment="Judged."),
        sa.Column(
            "rules_version", sa.String(length=32), nullable=False, comment="Version of the rules."
        ),
        sa.Column(
            "inputs", sa.Text(), nullable=False, comment="Hash of all that was judged together."
        ),
        sa.Column(
            "status", sa.String(length=16), nullable=False, comment="accessible, blocked, down, …"
        ),
        sa.Column("layer", sa.String(length=8), comment="Where the interference was seen."),
        sa.Column("technique", sa.String(length=32), comment="What it was."),
        sa.Column("certainty", sa.String(length=16), comment="suspected, likely or confirmed."),
        sa.Column("verdict", sa.Text(), nullable=False, comment="The whole verdict as JSON."),
        sa.ForeignKeyConstraint(["record"], ["records.number"], name="fk_verdicts_record"),
        sa.PrimaryKeyConstraint("record", name="pk_verdicts"),
        comment="Cache of conclusions: may be dropped at any time, never signed.",
    )


def _create_triggers() -> None:
    for table in (*_APPEND_ONLY, *_DERIVED):
        reason = "append-only" if table in _APPEND_ONLY else "derived: rebuild it instead"
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER no_{action}_{table} BEFORE {action.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is {reason}'); END"
            )
