"""Thinning of old records, readings without their records, and the log of what was announced."""

import msgspec
import sqlalchemy as sa
from alembic import op

from storage.compression import expand_record

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PAGE = 256

# Only these may lose their bytes, and only once their verdict is fixed.
_MAY_BE_THINNED = """EXISTS (
    SELECT 1 FROM verdicts JOIN records AS judged ON judged.number = verdicts.record
    WHERE judged.id = COALESCE({record}.follows, {record}.id) AND verdicts.fixed
    AND verdicts.status IN ('accessible', 'down', 'restricted'))"""
_UNCHANGED = (
    *("number", "id", "kind", "time", "vantage", "country", "asn", "vantage_kind", "network"),
    *("clock_offset_us", "url", "round", "follows", "line", "complete", "codec"),
)


def upgrade() -> None:
    """Add the columns and tables, fill the columns from the records, narrow the triggers."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    if sqlite:
        _drop_triggers("records", "blobs", "blob_uses", "steps")
    _add_columns()
    _fill_columns()
    _create_announcements()
    _create_messages()
    _create_deliveries()
    if sqlite:
        _create_triggers()


def _add_columns() -> None:
    for column in (
        sa.Column("vantage_kind", sa.String(length=16), comment="field or reference."),
        sa.Column("network", sa.Text(), comment="Name of the network; null: unknown."),
        sa.Column(
            "clock_offset_us", sa.BigInteger(), comment="To be added to `time`; null counts as 0."
        ),
        sa.Column(
            "thinned",
            sa.String(length=27),
            comment="When retention dropped `canonical`, UTC; null: kept.",
        ),
    ):
        op.add_column("records", column)
    op.add_column(
        "verdicts",
        sa.Column(
            "fixed",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="True: it, or what it was judged with, was thinned; it stays as it is.",
        ),
    )


def _fill_columns() -> None:
    """Take the new columns of each record from its bytes."""
    connection = op.get_bind()
    query = sa.text(
        "SELECT number, codec, canonical FROM records "
        "WHERE canonical IS NOT NULL AND number > :last ORDER BY number LIMIT :page"
    )
    change = sa.text(
        "UPDATE records SET vantage_kind = :kind, network = :network, clock_offset_us = :offset "
        "WHERE number = :number"
    )
    last = 0
    while rows := connection.execute(query, {"last": last, "page": _PAGE}).all():
        for number, codec, canonical in rows:
            record = msgspec.json.decode(expand_record(codec, canonical))
            values = {
                "number": number,
                "kind": record["vantage"].get("kind", "field"),
                "network": record["vantage"].get("network"),
                "offset": record["line"].get("clock_offset_us"),
            }
            connection.execute(change, values)
        last = rows[-1].number


def _create_announcements() -> None:
    op.create_table(
        "announcements",
        sa.Column("number", _NUMBER, nullable=False, comment="Local number, in order of noticing."),
        sa.Column(
            "subject",
            sa.String(length=71),
            nullable=False,
            comment="Id of the episode when first noticed.",
        ),
        sa.Column(
            "turn", sa.Integer(), nullable=False, comment="Which change of that subject, from 1."
        ),
        sa.Column(
            "kind",
            sa.String(length=16),
            nullable=False,
            comment="opened, confirmed, ended, reopened, …",
        ),
        sa.Column(
            "noticed",
            sa.String(length=27),
            nullable=False,
            comment="When, UTC, by the machine's clock.",
        ),
        sa.Column(
            "episode", sa.Text(), nullable=False, comment="The episode as it was then, as JSON."
        ),
        sa.PrimaryKeyConstraint("number", name="pk_announcements"),
        sa.UniqueConstraint("subject", "turn", name="uq_announcements_subject_turn"),
        comment="Changes of episodes in the order in which they were noticed, corrections among "
        "them.",
    )


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("number", _NUMBER, nullable=False, comment="Local number."),
        sa.Column(
            "id", sa.String(length=71), nullable=False, comment="Hash; the same in each try."
        ),
        sa.Column(
            "channel", sa.String(length=16), nullable=False, comment="command, webhook or atom."
        ),
        sa.Column("body", sa.Text(), nullable=False, comment="What is delivered, as JSON."),
        sa.Column(
            "made",
            sa.String(length=27),
            nullable=False,
            comment="When it was put together, UTC.",
        ),
        sa.Column("tries", sa.Integer(), nullable=False, comment="Deliveries tried so far."),
        sa.Column(
            "due", sa.String(length=27), nullable=False, comment="When the next try is due, UTC."
        ),
        sa.Column(
            "delivered", sa.String(length=27), comment="When it was taken, UTC; null: not yet."
        ),
        sa.Column("failure", sa.Text(), comment="Why the last try failed; null: it did not."),
        sa.PrimaryKeyConstraint("number", name="pk_messages"),
        sa.UniqueConstraint("id", name="uq_messages_id"),
        comment="Messages about announcements, each delivered until it is taken.",
    )
    op.create_index("ix_messages_delivered_due", "messages", ["delivered", "due"])


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("announcement", _NUMBER, nullable=False, comment="What is to be told."),
        sa.Column("channel", sa.String(length=16), nullable=False, comment="By which channel."),
        sa.Column("message", _NUMBER, comment="In it; null: held back."),
        sa.ForeignKeyConstraint(
            ["announcement"], ["announcements.number"], name="fk_deliveries_announcement"
        ),
        sa.ForeignKeyConstraint(["message"], ["messages.number"], name="fk_deliveries_message"),
        sa.PrimaryKeyConstraint("announcement", "channel", name="pk_deliveries"),
        comment="Which announcement is told by which channel, in which message.",
    )


def _drop_triggers(*tables: str) -> None:
    for table in tables:
        for action in ("update", "delete"):
            op.execute(f"DROP TRIGGER IF EXISTS no_{action}_{table}")


def _create_triggers() -> None:
    same = " AND ".join(f"NEW.{column} IS OLD.{column}" for column in _UNCHANGED)
    dropped = (
        "OLD.canonical IS NOT NULL AND NEW.canonical IS NULL AND OLD.thinned IS NULL AND "
        f"NEW.thinned IS NOT NULL AND {same} AND {_MAY_BE_THINNED.format(record='OLD')}"
    )
    stub = "EXISTS (SELECT 1 FROM records WHERE number = OLD.record AND canonical IS NULL)"
    thinnable = (
        "EXISTS (SELECT 1 FROM records AS user JOIN records AS judged "
        "ON judged.id = COALESCE(user.follows, user.id) "
        "JOIN verdicts ON verdicts.record = judged.number WHERE user.number = OLD.record "
        "AND verdicts.status IN ('accessible', 'down', 'restricted'))"
    )
    unused = "NOT EXISTS (SELECT 1 FROM blob_uses WHERE blob = OLD.id)"
    for table, action, allowed in (
        ("records", "update", dropped),
        ("records", "delete", None),
        ("steps", "update", None),
        ("steps", "delete", stub),
        ("blob_uses", "update", None),
        ("blob_uses", "delete", thinnable),
        ("blobs", "update", None),
        ("blobs", "delete", unused),
        ("announcements", "update", None),
        ("announcements", "delete", None),
    ):
        derived = table in ("steps", "blob_uses")
        reason = "derived: rebuild it instead" if derived else "append-only"
        when = f" WHEN NOT ({allowed})" if allowed else ""
        op.execute(
            f"CREATE TRIGGER no_{action}_{table} BEFORE {action.upper()} ON {table}{when} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is {reason}'); END"
        )
